//! RFC 9068 — what an access token says, sealed (compact binary) or as a JWT.

use serde::{Deserialize, Serialize};

use crate::model::*;

/// The `typ` of JWT access tokens (RFC 9068 §2.1).
pub const JWT_TYPES: &[&str] = &["at+jwt", "application/at+jwt"];

/// The claims of an access token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessClaims {
    /// `jti`.
    pub token: TokenId,
    /// The authorization it descends from; `None` if the client acts for itself.
    pub family: Option<FamilyId>,
    /// The client and its epoch.
    pub client: ClientKey,
    /// See `client`.
    pub client_epoch: u32,
    /// The `client_id`.
    pub client_id: String,
    /// The person and the person's epoch.
    pub user: Option<(UserId, u32)>,
    /// The scopes.
    pub scopes: Scopes,
    /// `aud`.
    pub audience: Vec<String>,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `exp`.
    pub expires_at: UnixTime,
    /// Digest of the key the token is bound to; `None` for bearer tokens.
    pub confirmation: Option<Digest>,
    /// Whether the family keeps a `claims` request parameter for userinfo.
    pub family_claims: bool,
}

impl AccessClaims {
    /// `sub`: the person, else the client (RFC 9068 §2.2).
    pub fn subject(&self) -> Subject<'_> {
        self.user.map_or(Subject::Client(&self.client_id), |(user, _)| Subject::User(user))
    }

    /// The compact binary form that is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        let flag = |on, bit| if on { bit } else { 0u8 };
        out.push(LAYOUT);
        out.push(
            flag(self.family.is_some(), FAMILY)
                | flag(self.user.is_some(), USER)
                | flag(self.confirmation.is_some(), CONFIRMATION)
                | flag(self.family_claims, FAMILY_CLAIMS),
        );
        out.extend_from_slice(&self.token.0.0);
        out.extend_from_slice(&self.client.0.0);
        out.extend_from_slice(&self.client_epoch.to_be_bytes());
        out.extend_from_slice(&self.issued_at.0.to_be_bytes());
        // No lifetime comes near 136 years, so the difference fits.
        out.extend_from_slice(&(self.expires_at.since(self.issued_at) as u32).to_be_bytes());
        if let Some(family) = self.family {
            out.extend_from_slice(&family.0.0);
        }
        if let Some((user, epoch)) = self.user {
            out.extend_from_slice(&user.0.0);
            out.extend_from_slice(&epoch.to_be_bytes());
        }
        if let Some(confirmation) = self.confirmation {
            out.extend_from_slice(&confirmation.0);
        }
        put_text(&mut out, &self.client_id);
        put_list(&mut out, self.scopes.iter(), self.scopes.len());
        put_list(&mut out, self.audience.iter().map(String::as_str), self.audience.len());
        out
    }

    /// Reads the binary form; `None` unless every byte of it is accounted for.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut claims = Self::default();
        claims.read(bytes)?;
        Some(claims)
    }

    /// The same in place of what was there, whose memory is used again. Means nothing after `None`.
    pub fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let mut from = ClaimsReader(bytes);
        let [layout, flags] = from.array()?;
        if layout != LAYOUT || flags & !(FAMILY | USER | CONFIRMATION | FAMILY_CLAIMS) != 0 {
            return None;
        }
        let has = |bit| flags & bit != 0;
        self.token = TokenId(Id(from.array()?));
        self.client = ClientKey(Id(from.array()?));
        self.client_epoch = u32::from_be_bytes(from.array()?);
        self.issued_at = UnixTime(u64::from_be_bytes(from.array()?));
        self.expires_at = self.issued_at.plus(u32::from_be_bytes(from.array()?).into());
        self.family = if has(FAMILY) { Some(FamilyId(Id(from.array()?))) } else { None };
        self.user = if has(USER) {
            Some((UserId(Id(from.array()?)), u32::from_be_bytes(from.array()?)))
        } else {
            None
        };
        self.confirmation = if has(CONFIRMATION) { Some(Digest(from.array()?)) } else { None };
        from.text_into(&mut self.client_id)?;
        self.scopes.clear();
        for _ in 0..from.count()? {
            self.scopes.insert(from.text().filter(|token| !token.contains(' '))?);
        }
        self.audience.resize_with(from.count()?, String::new);
        for audience in &mut self.audience {
            from.text_into(audience)?;
        }
        self.family_claims = has(FAMILY_CLAIMS);
        from.0.is_empty().then_some(())
    }

    /// The claims of the JWT form (RFC 9068 §2.2), as JSON.
    pub fn to_jwt(&self, issuer: &str) -> Vec<u8> {
        let claims = JwtClaims {
            iss: issuer,
            sub: self.subject(),
            aud: Audience::of(&self.audience),
            exp: self.expires_at,
            iat: self.issued_at,
            jti: self.token,
            client_id: &self.client_id,
            scope: self.scopes.as_str(),
            private: Private {
                client: self.client,
                client_epoch: self.client_epoch,
                family: self.family,
                user_epoch: self.user.map(|(_, epoch)| epoch),
                family_claims: self.family_claims,
            },
        };
        serde_json::to_vec(&claims).expect("plain strings and numbers become JSON")
    }

    /// Reads the claims of a JWT whose signature and `typ` were verified; `None` if it is not an
    /// access token of this issuer (RFC 9068 §4). Times are for [`super::standing`].
    pub fn from_jwt(payload: &[u8], issuer: &str) -> Option<Self> {
        let claims: ReadClaims = serde_json::from_slice(payload).ok()?;
        if claims.iss != issuer {
            return None;
        }
        let user = match claims.private.user_epoch {
            Some(epoch) => Some((UserId(Id::parse(&claims.sub)?), epoch)),
            None => None,
        };
        Some(Self {
            token: claims.jti,
            family: claims.private.family,
            client: claims.private.client,
            client_epoch: claims.private.client_epoch,
            client_id: claims.client_id,
            user,
            scopes: Scopes::parse(&claims.scope)?,
            audience: match claims.aud {
                ReadAudience::One(one) => vec![one],
                ReadAudience::Many(many) => many,
            },
            issued_at: claims.iat,
            expires_at: claims.exp,
            confirmation: None,
            family_claims: claims.private.family_claims,
        })
    }
}

const LAYOUT: u8 = 1;
const FAMILY: u8 = 1;
const USER: u8 = 2;
const CONFIRMATION: u8 = 4;
const FAMILY_CLAIMS: u8 = 8;

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Registration bounds every text that gets here to far less than 64 KiB.
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_list<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>, count: usize) {
    out.extend_from_slice(&(count as u16).to_be_bytes());
    texts.for_each(|text| put_text(out, text));
}

struct ClaimsReader<'a>(&'a [u8]);

impl<'a> ClaimsReader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        std::str::from_utf8(head).ok()
    }

    fn text_into(&mut self, text: &mut String) -> Option<()> {
        text.clear();
        text.push_str(self.text()?);
        Some(())
    }

    /// How many texts follow; each has at least its length.
    fn count(&mut self) -> Option<usize> {
        let count = usize::from(u16::from_be_bytes(self.array()?));
        (2 * count <= self.0.len()).then_some(count)
    }
}

/// The claims as they are written.
#[derive(Serialize)]
struct JwtClaims<'a> {
    iss: &'a str,
    sub: Subject<'a>,
    aud: Audience<'a>,
    exp: UnixTime,
    iat: UnixTime,
    jti: TokenId,
    client_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    /// What Chancery needs to see that the token was revoked.
    #[serde(rename = "chy")]
    private: Private,
}

/// The claims as they are read.
#[derive(Deserialize)]
struct ReadClaims {
    iss: String,
    sub: String,
    aud: ReadAudience,
    exp: UnixTime,
    iat: UnixTime,
    jti: TokenId,
    client_id: String,
    #[serde(default)]
    scope: String,
    #[serde(rename = "chy")]
    private: Private,
}

#[derive(Serialize, Deserialize)]
struct Private {
    #[serde(rename = "c")]
    client: ClientKey,
    #[serde(rename = "ce")]
    client_epoch: u32,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    family: Option<FamilyId>,
    #[serde(rename = "ue", default, skip_serializing_if = "Option::is_none")]
    user_epoch: Option<u32>,
    #[serde(rename = "fc", default, skip_serializing_if = "std::ops::Not::not")]
    family_claims: bool,
}

/// Whom a token is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Subject<'a> {
    /// A person.
    User(UserId),
    /// A client that acts for itself, by its `client_id`.
    Client(&'a str),
}

/// RFC 7519 §4.1.3: one string, or an array of them.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Audience<'a> {
    /// A single audience.
    One(&'a str),
    /// Several.
    Many(&'a [String]),
}

impl<'a> Audience<'a> {
    /// The shorter form that fits.
    pub fn of(audience: &'a [String]) -> Self {
        match audience {
            [one] => Self::One(one),
            many => Self::Many(many),
        }
    }
}

/// The same, as it is read.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReadAudience {
    One(String),
    Many(Vec<String>),
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn claims() -> AccessClaims {
        AccessClaims {
            token: TokenId(Id::new(5, [5; 10])),
            family: Some(FamilyId(Id::new(4, [4; 10]))),
            client: Client::example().key,
            client_epoch: 2,
            client_id: "example".into(),
            user: Some((UserId(Id::new(3, [3; 10])), 7)),
            scopes: Scopes::parse("openid read").expect("valid scopes"),
            audience: vec!["urn:a".into(), "https://id.example".into()],
            issued_at: UnixTime(1_000),
            expires_at: UnixTime(1_900),
            confirmation: None,
            family_claims: true,
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let person = claims();
        let machine = AccessClaims {
            family: None,
            user: None,
            family_claims: false,
            scopes: Scopes::default(),
            ..claims()
        };
        for claims in [person, machine] {
            assert_eq!(AccessClaims::decode(&claims.encode()).as_ref(), Some(&claims));
            let issuer = "https://id.example";
            assert_eq!(AccessClaims::from_jwt(&claims.to_jwt(issuer), issuer).as_ref(), Some(&claims));
            // R47
            assert_eq!(AccessClaims::from_jwt(&claims.to_jwt(issuer), "https://other.example"), None);
        }
    }

    #[test]
    fn nothing_is_left_of_the_claims_that_were_there() {
        let mut read = claims();
        let other = AccessClaims {
            client_id: "o".into(),
            scopes: Scopes::default(),
            audience: vec!["urn:b".into()],
            ..AccessClaims::default()
        };
        for claims in [&other, &claims(), &other] {
            assert_eq!(read.read(&claims.encode()), Some(()));
            assert_eq!(read, *claims);
        }
    }

    /// T08
    #[test]
    fn truncated_and_extended_claims_are_refused() {
        let bytes = claims().encode();
        for end in 0..bytes.len() {
            assert_eq!(AccessClaims::decode(&bytes[..end]), None);
        }
        assert_eq!(AccessClaims::decode(&[bytes, vec![0]].concat()), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = AccessClaims::decode(&bytes);
            let _ = AccessClaims::from_jwt(&bytes, "x");
        }
    }
}
