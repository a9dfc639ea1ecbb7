//! OpenID Connect RP-Initiated Logout 1.0 — the logout request.

use serde::{Deserialize, Serialize};

use super::{ErrorCode, OauthError, Params, authorize_response::with_query, id_token::Hint};
use crate::model::{Client, Session};

/// Where the browser goes after signing out; carried through the confirmation page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterLogout {
    /// Registered, with `state` added.
    #[serde(rename = "u")]
    pub uri: String,
    /// The client's name, as people know it.
    #[serde(rename = "n")]
    pub client_name: String,
}

/// What a logout request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logout {
    /// Ask the person first (R62).
    Ask(Option<AfterLogout>),
    /// End the session, if there is one, and go on at once.
    Done(Option<AfterLogout>),
    /// There is no session; say so, and offer the way back instead of taking it.
    NotSignedIn(Option<AfterLogout>),
}

/// The client a request speaks for: `client_id`, else the hint's audience. The hint was verified,
/// but may have expired (§2): it names a session, it does not prove one.
pub fn client_id<'a>(params: &'a Params, hint: Option<&'a Hint>) -> Result<Option<&'a str>, OauthError> {
    match (params.get("client_id"), hint) {
        // §2: when both are there, the token must have been issued to that client.
        (Some(id), Some(hint)) if hint.aud != id => {
            Err(OauthError::invalid_request("The id_token_hint was issued to another client."))
        }
        (Some(id), _) => Ok(Some(id)),
        (None, hint) => Ok(hint.map(|hint| hint.aud.as_str())),
    }
}

/// Decides. `client` is the one [`client_id`] names, `session` the browser's, if it is valid.
pub fn decide(
    params: &Params,
    hint: Option<&Hint>,
    client: Option<&Client>,
    session: Option<&Session>,
) -> Result<Logout, OauthError> {
    let after = after_logout(params, client)?;
    Ok(match (session, hint) {
        (None, Some(_)) => Logout::Done(after),
        (None, None) => Logout::NotSignedIn(after),
        (Some(session), Some(hint)) if is_about(hint, session) => Logout::Done(after),
        // Without a hint, or with one about another session, any site could have made this link.
        (Some(_), _) => Logout::Ask(after),
    })
}

/// Whether the hint names this session's person, and this session if it names one.
fn is_about(hint: &Hint, session: &Session) -> bool {
    hint.sub == session.user.to_string() && hint.sid.as_ref().is_none_or(|sid| *sid == session.id.to_string())
}

/// §3.1: only to a URI the client registered, compared byte for byte.
fn after_logout(params: &Params, client: Option<&Client>) -> Result<Option<AfterLogout>, OauthError> {
    let Some(uri) = params.get("post_logout_redirect_uri") else { return Ok(None) };
    let client = client.filter(|client| client.enabled).ok_or_else(|| {
        let error = "A post_logout_redirect_uri needs an id_token_hint or the client_id of a client.";
        OauthError::new(ErrorCode::InvalidRequest, error)
    })?;
    if !client.post_logout_redirect_uris.iter().any(|registered| registered == uri) {
        return Err(OauthError::invalid_request(
            "The post_logout_redirect_uri is not registered for this client.",
        ));
    }
    let state: Vec<_> = params.get("state").map(|state| ("state", state)).into_iter().collect();
    Ok(Some(AfterLogout { uri: with_query(uri, &state), client_name: client.name.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::*, protocol::authorize::tests::client};

    const BYE: &str = "post_logout_redirect_uri=https://app.example/bye";

    fn session() -> Session {
        Session {
            id: SessionId(Id([8; 16])),
            digest: Digest([0; 32]),
            user: UserId(Id([7; 16])),
            user_epoch: 0,
            auth_time: UnixTime(0),
            amr: Vec::new(),
            user_agent: String::new(),
            seen_at: UnixTime(0),
            expires_at: UnixTime(9),
        }
    }

    fn hint() -> Hint {
        Hint {
            iss: "https://id.example".into(),
            sub: session().user.to_string(),
            aud: "web".into(),
            sid: Some(session().id.to_string()),
        }
    }

    fn judge(query: &str, hint: Option<&Hint>, session: Option<&Session>) -> Result<Logout, OauthError> {
        let params = Params::parse(query.as_bytes()).unwrap();
        let client = client_id(&params, hint)?.is_some_and(|id| id == "web").then(client);
        decide(&params, hint, client.as_ref(), session)
    }

    fn back(uri: &str) -> Option<AfterLogout> {
        Some(AfterLogout { uri: uri.into(), client_name: "A web application".into() })
    }

    /// R62
    #[test]
    fn without_a_hint_about_this_very_session_the_person_is_asked() {
        let session = session();
        let by_client = format!("client_id=web&{BYE}");
        assert_eq!(judge("", None, Some(&session)), Ok(Logout::Ask(None)));
        assert_eq!(judge(&by_client, None, Some(&session)), Ok(Logout::Ask(back("https://app.example/bye"))));
        let other_user = Hint { sub: "other".into(), ..hint() };
        let other_session = Hint { sid: Some("other".into()), ..hint() };
        for other in [other_user, other_session] {
            assert_eq!(judge("", Some(&other), Some(&session)), Ok(Logout::Ask(None)));
        }
    }

    #[test]
    fn a_hint_about_this_session_needs_no_question() {
        let query = format!("{BYE}&state=a%26b");
        let expected = Ok(Logout::Done(back("https://app.example/bye?state=a%26b")));
        assert_eq!(judge(&query, Some(&hint()), Some(&session())), expected);
        let without_sid = Hint { sid: None, ..hint() };
        assert_eq!(judge("", Some(&without_sid), Some(&session())), Ok(Logout::Done(None)));
        assert_eq!(judge(BYE, Some(&hint()), None), Ok(Logout::Done(back("https://app.example/bye"))));
    }

    #[test]
    fn without_a_session_and_a_hint_the_person_is_told_and_not_redirected() {
        let query = format!("client_id=web&{BYE}");
        assert_eq!(judge(&query, None, None), Ok(Logout::NotSignedIn(back("https://app.example/bye"))));
    }

    /// R62, T25
    #[test]
    fn only_an_exactly_registered_uri_is_gone_to() {
        for uri in [
            "https://app.example/bye/",
            "https://app.example/BYE",
            "https://app.example/bye?x=1",
            "https://app.example/cb",
            "https://evil.example/bye",
            "//evil.example",
            "javascript:alert(1)",
            "https://app.example/bye%23",
        ] {
            for session in [None, Some(&session())] {
                let query = format!("post_logout_redirect_uri={uri}");
                assert!(judge(&query, Some(&hint()), session).is_err(), "{uri}");
            }
        }
        assert!(judge(BYE, None, Some(&session())).is_err(), "no client");
        assert!(judge(&format!("client_id=gone&{BYE}"), None, None).is_err(), "unknown client");
    }

    #[test]
    fn a_disabled_client_is_not_gone_back_to() {
        let disabled = Client { enabled: false, ..client() };
        let params = Params::parse(BYE.as_bytes()).unwrap();
        assert!(decide(&params, Some(&hint()), Some(&disabled), None).is_err());
    }

    #[test]
    fn the_client_must_be_the_hints() {
        assert!(judge("client_id=other", Some(&hint()), None).is_err());
    }
}
