//! RFC 6749 §6 — the refresh token grant, with rotation, families and the retry window.
//!
//! A token presented a second time inside the window gets the byte-identical answer, because the
//! client may have lost the first; anything else is reuse and revokes the family (RFC 9700 §4.14.2).

use super::{Authorization, Decision, Facts, Grant, IdTokenFor, Issue, Need, Spends};
use crate::{
    crypto::digest::sha256_parts,
    model::{Digest, RefreshToken, Scopes, SecurityEvent},
    protocol::{ErrorCode, OauthError, Params, resource},
};

/// `grant_type=refresh_token`.
pub struct RefreshTokenGrant;

impl Grant for RefreshTokenGrant {
    fn grant_type(&self) -> &'static str {
        "refresh_token"
    }

    fn public_clients(&self) -> bool {
        true
    }

    fn need<'f>(&self, form: &'f Params<'_>, facts: &Facts) -> Result<Option<Need<'f>>, OauthError> {
        if facts.refresh_token.is_pending() {
            return Ok(Some(Need::RefreshToken(form.require("refresh_token")?)));
        }
        let Some(token) = facts.refresh_token.found() else { return Ok(None) };
        if facts.family.is_pending() {
            return Ok(Some(Need::Family(token.family)));
        }
        Ok(match facts.family.found() {
            Some(family) if facts.user.is_pending() => Some(Need::User(family.user)),
            _ => None,
        })
    }

    fn decide(&self, _: &Params, facts: &Facts) -> Decision {
        let Some(token) = facts.refresh_token.found() else {
            return OauthError::invalid_grant("The refresh token is unknown.").into();
        };
        // R26. The same words as for an unknown token.
        if token.client != facts.client.key {
            let error = OauthError::invalid_grant("The refresh token is unknown.");
            return Decision::refuse_with(error, SecurityEvent::ForeignToken);
        }
        let Some((family, user)) = facts.valid_authorization() else {
            return OauthError::invalid_grant("The authorization of this refresh token has ended.").into();
        };
        if token.spent_by.is_some() {
            return presented_again(token, facts);
        }
        if facts.now >= token.expires_at {
            return OauthError::invalid_grant("The refresh token has expired. Sign in again.").into();
        }
        let scopes = match narrowed(facts.scope.as_ref(), &family.scopes) {
            Ok(scopes) => scopes,
            Err(refusal) => return refusal,
        };
        if let Err(error) = resource::within(&facts.resources, &family.resources) {
            return error.into();
        }
        let resources = if facts.resources.is_empty() { &family.resources } else { &facts.resources };
        let idle = facts.client.refresh_idle_lifetime;
        Decision::Issue(Box::new(Issue {
            spend: Spends::RefreshToken(token.id),
            authorization: Some(Authorization { family: family.clone(), user: user.clone() }),
            // OpenID Connect Core §12.2: the new ID token has no nonce.
            id_token: scopes.contains("openid").then(IdTokenFor::default),
            scopes,
            resources: resources.clone(),
            // R25: rotation never extends the family.
            refresh_until: Some(facts.now.plus(idle).min(family.expires_at)),
        }))
    }
}

/// RFC 6749 §6: the scope of the request, which must not go beyond what was granted.
fn narrowed(asked: Option<&Scopes>, granted: &Scopes) -> Result<Scopes, Decision> {
    match asked {
        None => Ok(granted.clone()),
        Some(asked) if asked.is_subset_of(granted) => Ok(asked.clone()),
        Some(_) => Err(Decision::refuse_with(
            OauthError::new(ErrorCode::InvalidScope, "The scope goes beyond what was granted."),
            SecurityEvent::ScopeEscalation,
        )),
    }
}

/// A rotated token was presented: a lost answer, or a stolen token (R24).
fn presented_again(token: &RefreshToken, facts: &Facts) -> Decision {
    let window = facts.client.retry_window.unwrap_or(facts.policy.retry_window);
    let inside = token.spent_at.is_some_and(|spent_at| facts.now.since(spent_at) < window);
    let same = token.retry_request == Some(facts.retry_request());
    match &token.retry_answer {
        Some(sealed) if inside && same && !token.successor_spent => {
            Decision::Repeat { sealed: sealed.clone() }
        }
        _ => Decision::revoke(
            OauthError::invalid_grant("The refresh token was used before. Its authorization is revoked."),
            token.family,
            SecurityEvent::RefreshReuse,
        ),
    }
}

/// Digest of what a refresh request asked for; a retry must ask for the same.
pub(super) fn request_digest(scope: Option<&Scopes>, resources: &[String]) -> Digest {
    let scope = scope.map(|scope| format!("={scope}")).unwrap_or_default();
    let mut parts = vec![scope.as_bytes()];
    parts.extend(resources.iter().map(String::as_bytes));
    sha256_parts(&parts)
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::{model::*, protocol::Policy};

    fn token() -> RefreshToken {
        RefreshToken::unspent(
            RowId(Id::new(1, [9; 10])),
            Digest([1; 32]),
            &family(),
            UnixTime(990),
            UnixTime(2_000),
        )
    }

    fn rotated() -> RefreshToken {
        RefreshToken {
            spent_by: Some(CommitId::default()),
            spent_at: Some(UnixTime(991)),
            successor: Some(RowId::default()),
            retry_request: Some(request_digest(None, &[])),
            retry_answer: Some(b"sealed".to_vec()),
            ..token()
        }
    }

    fn known(token: RefreshToken) -> Known {
        Known { refresh_token: Some(token), family: Some(family()), user: Some(user()), code: None }
    }

    fn decide_at(now: u64, scope: Option<&str>, known: Known) -> Decision {
        let policy = Policy::example();
        let scope = scope.map(|text| Scopes::parse(text).unwrap());
        let facts = Facts { now: UnixTime(now), scope, ..facts(&policy) };
        run(&RefreshTokenGrant, "refresh_token=x", facts, known)
    }

    fn reuse() -> Decision {
        Decision::revoke(
            OauthError::invalid_grant("The refresh token was used before. Its authorization is revoked."),
            family().id,
            SecurityEvent::RefreshReuse,
        )
    }

    #[test]
    fn a_living_token_is_rotated() {
        let Decision::Issue(issue) = decide_at(1_000, None, known(token())) else { panic!("refused") };
        assert_eq!(issue.spend, Spends::RefreshToken(token().id));
        assert_eq!((issue.scopes, issue.id_token), (family().scopes, Some(IdTokenFor { nonce: None })));
    }

    /// R24
    #[test]
    fn a_rotated_token_gets_the_same_answer_inside_the_window() {
        let same = Decision::Repeat { sealed: b"sealed".to_vec() };
        assert_eq!(decide_at(1_000, None, known(rotated())), same, "9 s after rotation");
        assert_eq!(decide_at(1_001, None, known(rotated())), reuse(), "10 s after rotation");
    }

    /// R24, T05
    #[test]
    fn any_other_second_presentation_revokes_the_family() {
        assert_eq!(decide_at(995, Some("read"), known(rotated())), reuse(), "another scope");
        let used = RefreshToken { successor_spent: true, ..rotated() };
        assert_eq!(decide_at(995, None, known(used)), reuse(), "the successor was used");
        let wiped = RefreshToken { retry_answer: None, ..rotated() };
        assert_eq!(decide_at(995, None, known(wiped)), reuse(), "no stored answer");
    }

    #[test]
    fn a_client_can_do_without_the_window() {
        let policy = Policy::example();
        let client = std::sync::Arc::new(Client { retry_window: Some(0), ..Client::example() });
        let facts = Facts { now: UnixTime(991), client, ..facts(&policy) };
        assert_eq!(run(&RefreshTokenGrant, "refresh_token=x", facts, known(rotated())), reuse());
    }

    /// R25
    #[test]
    fn rotation_never_extends_the_family() {
        let ends =
            Known { family: Some(Family { expires_at: UnixTime(1_100), ..family() }), ..known(token()) };
        let Decision::Issue(issue) = decide_at(1_000, None, ends.clone()) else { panic!("refused") };
        assert_eq!(issue.refresh_until, Some(UnixTime(1_100)));
        assert!(matches!(decide_at(1_100, None, ends), Decision::Refuse(_)));
    }

    /// R25
    #[test]
    fn an_idle_token_expires() {
        assert!(matches!(decide_at(1_999, None, known(token())), Decision::Issue(_)));
        assert!(matches!(decide_at(2_000, None, known(token())), Decision::Refuse(_)));
    }

    /// R26
    #[test]
    fn the_scope_can_be_narrowed_but_not_widened() {
        let Decision::Issue(issue) = decide_at(1_000, Some("read"), known(token())) else {
            panic!("refused")
        };
        assert_eq!((issue.scopes.to_string().as_str(), issue.id_token), ("read", None));
        let Decision::Refuse(refusal) = decide_at(1_000, Some("admin"), known(token())) else {
            panic!("issued")
        };
        assert_eq!((refusal.error.code, refusal.revoke), (ErrorCode::InvalidScope, None));
    }

    /// R26, T06
    #[test]
    fn another_client_learns_and_breaks_nothing() {
        let foreign = RefreshToken { client: ClientKey::default(), ..rotated() };
        let Decision::Refuse(refusal) = decide_at(995, None, known(foreign)) else { panic!("issued") };
        assert_eq!(refusal.error, OauthError::invalid_grant("The refresh token is unknown."));
        assert_eq!((refusal.revoke, refusal.event), (None, Some(SecurityEvent::ForeignToken)));
    }

    /// R27
    #[test]
    fn a_token_of_a_dead_authorization_is_refused_even_inside_the_window() {
        for token in [token(), rotated()] {
            let dead = [
                Known {
                    family: Some(Family { revoked_at: Some(UnixTime(1)), ..family() }),
                    ..known(token.clone())
                },
                Known { user: Some(User { enabled: false, ..user() }), ..known(token.clone()) },
                Known { user: Some(User { epoch: 4, ..user() }), ..known(token) },
            ];
            for known in dead {
                assert!(matches!(decide_at(995, None, known), Decision::Refuse(r) if r.revoke.is_none()));
            }
        }
    }
}
