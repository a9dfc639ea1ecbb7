//! RFC 6749 §4.4 — the client credentials grant: the client acts for itself.

use super::{Decision, Facts, Grant, Issue, Need, Spends};
use crate::{
    model::{Scopes, SecurityEvent},
    protocol::{ErrorCode, OauthError, Params},
};

/// `grant_type=client_credentials`.
pub struct ClientCredentials;

/// Scopes that are about a person; there is none here.
const ABOUT_A_PERSON: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

impl Grant for ClientCredentials {
    fn grant_type(&self) -> &'static str {
        "client_credentials"
    }

    fn public_clients(&self) -> bool {
        false // RFC 6749 §4.4: MUST only be used by confidential clients
    }

    fn need<'f>(&self, _: &'f Params<'_>, _: &Facts) -> Result<Option<Need<'f>>, OauthError> {
        Ok(None)
    }

    fn decide(&self, _: &Params, facts: &Facts) -> Decision {
        let own: Scopes =
            facts.client.scopes.iter().filter(|scope| !ABOUT_A_PERSON.contains(scope)).collect();
        let scopes = match &facts.scope {
            None => own, // RFC 6749 §3.3: a default, here all the client may have
            Some(asked) if asked.is_subset_of(&own) => asked.clone(),
            Some(_) => {
                return Decision::refuse_with(
                    OauthError::new(ErrorCode::InvalidScope, "The client may not ask for this scope."),
                    SecurityEvent::ScopeEscalation,
                );
            }
        };
        Decision::Issue(Box::new(Issue {
            spend: Spends::Nothing,
            authorization: None,
            scopes,
            resources: facts.resources.clone(),
            refresh_until: None, // RFC 6749 §4.4.3: a refresh token SHOULD NOT be included
            id_token: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::protocol::Policy;

    fn scopes(asked: Option<&str>) -> Result<String, ErrorCode> {
        let policy = Policy::example();
        let facts = Facts { scope: asked.map(|text| Scopes::parse(text).unwrap()), ..facts(&policy) };
        match run(&ClientCredentials, "", facts, Known::default()) {
            Decision::Issue(issue) => {
                assert_eq!((issue.refresh_until, issue.id_token), (None, None));
                Ok(issue.scopes.to_string())
            }
            Decision::Refuse(refusal) => Err(refusal.error.code),
            Decision::Repeat { .. } => unreachable!("nothing to repeat"),
        }
    }

    /// R30, T18
    #[test]
    fn a_client_gets_what_it_asks_for_within_its_list() {
        assert_eq!(scopes(None).as_deref(), Ok("read write"));
        assert_eq!(scopes(Some("write")).as_deref(), Ok("write"));
        assert_eq!(scopes(Some("admin")), Err(ErrorCode::InvalidScope));
        assert_eq!(scopes(Some("read admin")), Err(ErrorCode::InvalidScope));
        assert_eq!(scopes(Some("openid")), Err(ErrorCode::InvalidScope), "no person signed in");
    }
}
