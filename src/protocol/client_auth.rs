//! RFC 6749 §2.3 — client authentication: client_secret_basic, client_secret_post, none.

use std::borrow::Cow;

use base64_simd::STANDARD;

use super::{ClientRequest, OauthError, params, standing};
use crate::{
    crypto::digest::{equal, sha256},
    model::{AuthMethod, Client, Digest, UnixTime},
};

/// The client credentials of a request, before anything was verified.
#[derive(Debug)]
pub struct Presented<'a> {
    /// The `client_id`.
    pub client_id: Cow<'a, str>,
    /// How it is presented.
    pub method: AuthMethod,
    /// The digest of the secret, if the method has one. Nothing else is ever needed of it.
    pub secret: Option<Digest>,
}

/// Reads the credentials of a request; more than one method is refused (R33, RFC 6749 §2.3).
pub fn presented<'r>(request: &'r ClientRequest<'_>) -> Result<Presented<'r>, OauthError> {
    read(request, |secret| Some(sha256(secret)))
}

/// The `client_id` that a request presents, by the same rules. Its secret is not looked at.
pub fn named<'r>(request: &'r ClientRequest<'_>) -> Result<Cow<'r, str>, OauthError> {
    read(request, |_| None).map(|presented| presented.client_id)
}

fn read<'r>(
    request: &'r ClientRequest<'_>,
    digest: fn(&[u8]) -> Option<Digest>,
) -> Result<Presented<'r>, OauthError> {
    let (authorization, form) = (request.authorization, &request.form);
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
        return Err(OauthError::new(
            super::ErrorCode::InvalidClient,
            "Client assertions are not supported. Use client_secret_basic or client_secret_post.",
        ));
    }
    match (authorization, id, secret) {
        (Some(_), _, Some(_)) => {
            Err(OauthError::invalid_request("The request authenticates the client in more than one way."))
        }
        (Some(header), id, None) => {
            let presented = basic(header, digest)?;
            if id.is_some_and(|id| id != presented.client_id) {
                return Err(OauthError::invalid_request(
                    "The client_id of the body differs from the one in the Authorization header.",
                ));
            }
            Ok(presented)
        }
        (None, Some(id), Some(secret)) => Ok(Presented {
            client_id: Cow::Borrowed(id),
            method: AuthMethod::ClientSecretPost,
            secret: digest(secret.as_bytes()),
        }),
        (None, Some(id), None) => {
            Ok(Presented { client_id: Cow::Borrowed(id), method: AuthMethod::None, secret: None })
        }
        (None, None, _) => Err(OauthError::invalid_client()),
    }
}

/// RFC 6749 §2.3.1: `Basic base64(urlencode(id):urlencode(secret))`.
fn basic(header: &str, digest: fn(&[u8]) -> Option<Digest>) -> Result<Presented<'static>, OauthError> {
    let malformed = || {
        OauthError::new(
            super::ErrorCode::InvalidClient,
            "The Authorization header is not HTTP Basic with a form-encoded client_id and client_secret.",
        )
    };
    let (scheme, credentials) = header.split_at_checked("basic ".len()).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic ") {
        return Err(malformed());
    }
    let bytes = STANDARD.decode_to_vec(credentials.trim_ascii()).map_err(|_| malformed())?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let at = memchr::memchr(b':', &bytes).ok_or_else(malformed)?;
    let decoded = |bytes| params::decode(bytes).map_err(|_| malformed());
    let secret = decoded(&bytes[at + 1..])?;
    let digest = digest(secret.as_bytes());
    if let Cow::Owned(secret) = secret {
        drop(zeroize::Zeroizing::new(secret));
    }
    Ok(Presented {
        client_id: Cow::Owned(decoded(&bytes[..at])?.into_owned()),
        method: AuthMethod::ClientSecretBasic,
        secret: digest,
    })
}

/// Verifies the credentials. One error for every cause; secrets in constant time.
pub fn verify(presented: &Presented, client: Option<&Client>, now: UnixTime) -> Result<(), OauthError> {
    // Without a secret there is none to match: a public client has no secrets, others need one.
    let digest = presented.secret.unwrap_or(Digest([0; 32]));
    let known = client.is_some_and(|client| {
        // R31: a client uses its registered method and no other.
        client.enabled && client.auth_method == presented.method && {
            // Compares with every secret, so that the time does not tell which one matched.
            let matches = |found, secret: &crate::model::ClientSecret| {
                found | (equal(&secret.digest.0, &digest.0) & standing::secret_is_valid(secret, now))
            };
            client.is_public() || client.secrets.iter().fold(false, matches)
        }
    });
    if known { Ok(()) } else { Err(OauthError::invalid_client()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ErrorCode, Params};

    fn request<'r>(authorization: Option<&'r str>, body: &'r str) -> ClientRequest<'r> {
        ClientRequest { authorization, form: Params::parse(body.as_bytes()).unwrap() }
    }

    fn read(header: Option<&str>, body: &str) -> Result<(String, AuthMethod, Option<Digest>), ErrorCode> {
        presented(&request(header, body))
            .map(|p| (p.client_id.to_string(), p.method, p.secret))
            .map_err(|error| error.code)
    }

    fn header(id: &str, secret: &str) -> String {
        format!("Basic {}", STANDARD.encode_to_string(format!("{id}:{secret}")))
    }

    #[test]
    fn basic_credentials_are_percent_decoded() {
        let got = read(Some(&header("a%3Ab", "p%25+q")), "");
        assert_eq!(got, Ok(("a:b".into(), AuthMethod::ClientSecretBasic, Some(sha256(b"p% q")))));
    }

    #[test]
    fn the_example_of_rfc_6749_is_read() {
        let got = read(Some("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"), "grant_type=x");
        let secret = Some(sha256(b"gX1fBat3bV"));
        assert_eq!(got, Ok(("s6BhdRkqt3".into(), AuthMethod::ClientSecretBasic, secret)));
    }

    /// R33
    #[test]
    fn more_than_one_method_is_refused() {
        let got = read(Some(&header("a", "b")), "client_id=a&client_secret=b");
        assert_eq!(got, Err(ErrorCode::InvalidRequest));
        assert_eq!(read(Some(&header("a", "b")), "client_id=c"), Err(ErrorCode::InvalidRequest));
        assert!(read(Some(&header("a", "b")), "client_id=a").is_ok());
    }

    #[test]
    fn a_client_is_named_by_the_rules_that_authenticate_it() {
        let basic = header("a", "b");
        for (header, body) in [
            (Some(basic.as_str()), ""),
            (Some(basic.as_str()), "client_id=c"),
            (Some(basic.as_str()), "client_secret=b"),
            (Some("Bearer a"), ""),
            (None, "client_id=a&client_secret=b"),
            (None, "client_id=a"),
            (None, ""),
        ] {
            let request = request(header, body);
            let expected = presented(&request).map(|presented| presented.client_id);
            assert_eq!(named(&request), expected, "{header:?} {body}");
        }
    }

    #[test]
    fn malformed_credentials_are_invalid_client() {
        // The credentials of those with another scheme are good ones.
        for bad in [
            "",
            "Basic",
            "Basic !!",
            "Basic YQ==",
            "Basic YTolZ2c=",
            "Bearer abc",
            "Bearer YTpi",
            "Digest YTpi",
            "Basic\tYTpi",
            "BasicAYTpi",
        ] {
            assert_eq!(read(Some(bad), "").map(|_| ()), Err(ErrorCode::InvalidClient), "{bad}");
        }
        assert_eq!(read(None, "client_secret=b"), Err(ErrorCode::InvalidClient));
        assert!(read(Some("bAsIc YTpi"), "").is_ok(), "RFC 9110 §11.1: a scheme has no case");
    }

    fn client(method: AuthMethod, secrets: &[(&str, Option<u64>)]) -> Client {
        let secrets = secrets.iter().map(|(secret, until)| crate::model::ClientSecret {
            digest: sha256(secret.as_bytes()),
            created_at: UnixTime(0),
            expires_at: until.map(UnixTime),
        });
        Client { auth_method: method, secrets: secrets.collect(), ..Client::example() }
    }

    fn check(method: AuthMethod, secret: &str, client: Option<&Client>) -> bool {
        let presented = Presented { client_id: "c".into(), method, secret: Some(sha256(secret.as_bytes())) };
        verify(&presented, client, UnixTime(100)).is_ok()
    }

    /// R31, R34
    #[test]
    fn a_client_authenticates_with_its_own_method_and_a_living_secret() {
        use AuthMethod::{ClientSecretBasic as Basic, ClientSecretPost as Post};
        let held = client(Basic, &[("new", None), ("old", Some(200)), ("dead", Some(100))]);
        assert!(check(Basic, "new", Some(&held)) && check(Basic, "old", Some(&held)));
        assert!(!check(Basic, "dead", Some(&held)), "an expired secret");
        assert!(!check(Basic, "other", Some(&held)) && !check(Post, "new", Some(&held)));
        assert!(!check(AuthMethod::None, "new", Some(&held)), "no fall-back to no authentication");
        assert!(!check(Basic, "new", None));
        assert!(!check(Basic, "", Some(&client(Basic, &[]))), "no secret registered");
        assert!(check(AuthMethod::None, "", Some(&client(AuthMethod::None, &[]))));
        assert!(!check(Basic, "new", Some(&Client { enabled: false, ..held })));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_headers_never_panic(text in "\\PC{0,80}") {
            let digest = |secret: &[u8]| Some(sha256(secret));
            let _ = basic(&text, digest);
            let _ = basic(&format!("Basic {}", STANDARD.encode_to_string(&text)), digest);
        }
    }
}
