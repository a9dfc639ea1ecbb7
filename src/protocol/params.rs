//! RFC 6749 Appendix B — `application/x-www-form-urlencoded` parameters, each at most once.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};
use smallvec::SmallVec;

use super::OauthError;

/// The most parameters a request may have (R69).
pub const MAX_PARAMETERS: usize = 100;

/// The parameters of a request. Empty values count as absent (RFC 6749 §3.1, §3.2).
#[derive(Clone, Debug, Default)]
pub struct Params<'a> {
    pairs: SmallVec<[(Cow<'a, str>, Cow<'a, str>); 8]>,
}

impl<'a> Params<'a> {
    /// Parses a query string or a form body. Refuses repeated parameters (RFC 6749 §3.1, §3.2;
    /// `resource` may be repeated, RFC 8707 §2), broken escapes and anything that is not UTF-8.
    pub fn parse(text: &'a [u8]) -> Result<Self, OauthError> {
        let text = std::str::from_utf8(text).map_err(|_| not_utf8())?;
        // Most requests have no escape at all; what is said of the whole need not be asked of each piece.
        let is_plain = memchr2(b'%', b'+', text.as_bytes()).is_none();
        let decode = |piece: &'a str| if is_plain { Ok(piece.into()) } else { decode(piece.as_bytes()) };
        let mut params = Self::default();
        for (at, piece) in pieces(text).filter(|piece| !piece.is_empty()).enumerate() {
            if at == MAX_PARAMETERS {
                return Err(OauthError::invalid_request("The request has more than 100 parameters."));
            }
            let (name, value) = match memchr(b'=', piece.as_bytes()) {
                Some(at) => (&piece[..at], &piece[at + 1..]),
                None => (piece, ""),
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if memchr2(b'[', b']', name.as_bytes()).is_some() {
                return Err(OauthError::invalid_request("Parameters with brackets are not accepted."));
            }
            // A name repeated with an empty value is still repeated: pollution hides there.
            if name != "resource" && params.pairs.iter().any(|(held, _)| *held == name) {
                return Err(OauthError::invalid_request("A parameter is given more than once."));
            }
            params.pairs.push((name, value));
        }
        Ok(params)
    }

    /// Parameters that came in another form than a form: the pairs that have a value.
    pub fn of<const N: usize>(pairs: [(&'a str, Option<&'a str>); N]) -> Self {
        let given = pairs.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into())));
        Self { pairs: given.collect() }
    }

    /// The value of a parameter; `None` if it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(held, value)| held == name && !value.is_empty()).map(|(_, value)| &**value)
    }

    /// The values of a parameter that may be repeated, empty ones left out.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.pairs
            .iter()
            .filter(move |(held, value)| held == name && !value.is_empty())
            .map(|(_, value)| &**value)
    }

    /// The value of a parameter that must be there.
    pub fn require(&self, name: &'static str) -> Result<&str, OauthError> {
        self.get(name).ok_or_else(|| OauthError::invalid_request(format!("The parameter {name} is missing.")))
    }

    /// All pairs in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }
}

fn not_utf8() -> OauthError {
    OauthError::invalid_request("A parameter is not UTF-8.")
}

/// The text between the ampersands.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let ends = memchr_iter(b'&', text.as_bytes()).chain([text.len()]);
    ends.scan(0, |start, end| Some(&text[std::mem::replace(start, end + 1)..end]))
}

/// Percent-decodes one name or value; `+` is a space.
pub fn decode(text: &[u8]) -> Result<Cow<'_, str>, OauthError> {
    if memchr2(b'%', b'+', text).is_none() {
        return std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| not_utf8());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digit = |at: usize| tail.get(at).and_then(|byte| (*byte as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    return Err(OauthError::invalid_request("A parameter has a broken percent escape."));
                };
                rest = &tail[2..];
                (high * 16 + low) as u8
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| not_utf8())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_plus_signs_are_decoded() {
        let params = Params::parse(b"a=x%20y+z&b=&c").unwrap();
        assert_eq!(params.get("a"), Some("x y z"));
        assert_eq!((params.get("b"), params.get("c")), (None, None));
    }

    #[test]
    fn empty_pieces_are_passed_over() {
        for text in ["", "&", "&&a=1&", "a=1&&b", "b&a=1"] {
            let params = Params::parse(text.as_bytes()).unwrap();
            assert_eq!(params.get("a"), text.contains('a').then_some("1"), "{text}");
            assert_eq!(params.iter().count(), text.matches(char::is_alphabetic).count(), "{text}");
        }
    }

    /// R4, T02
    #[test]
    fn repeated_and_array_parameters_are_refused() {
        for text in ["a=1&a=2", "a=1&a=", "a=&a=1", "scope[]=x", "a%5b0%5d=x", "%61=1&a=2"] {
            assert!(Params::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn resource_may_be_repeated() {
        let params = Params::parse(b"resource=a&resource=b").unwrap();
        assert_eq!(params.all("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    /// R69
    #[test]
    fn more_than_a_hundred_parameters_are_refused() {
        let text = |count: usize| (0..count).map(|at| format!("p{at}=1")).collect::<Vec<_>>().join("&");
        assert!(Params::parse(text(100).as_bytes()).is_ok());
        assert!(Params::parse(text(101).as_bytes()).is_err());
    }

    #[test]
    fn broken_escapes_and_bytes_are_refused() {
        for text in [&b"a=%"[..], b"a=%1", b"a=%zz", b"a=%ff", b"a=\xff"] {
            assert!(Params::parse(text).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Params::parse(&bytes);
        }

        #[test]
        fn what_a_client_encodes_is_what_we_read(value in "\\PC{1,40}") {
            let text: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let body = format!("v={text}");
            let params = Params::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(params.get("v"), Some(value.as_str()));
        }
    }
}
