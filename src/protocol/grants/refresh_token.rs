//! RFC 6749 §6 — the refresh token grant, with rotation, families and the retry window.
//!
//! A family has one row, which says which of its tokens can be used. The token spent last gets the
//! byte-identical answer when it comes again inside the window, because the client may have lost the
//! first; any other token of a living family is reuse and revokes it (RFC 9700 §4.14.2).

use super::{Authorization, Decision, Facts, Grant, IdTokenFor, Issue, Need, PresentedToken, Spends};
use crate::{
    crypto::digest::sha256_parts,
    model::{Digest, Scopes, SecurityEvent},
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
        let Some(presented) = facts.refresh_token.found() else { return Ok(None) };
        if facts.family.is_pending() {
            return Ok(Some(Need::Family(presented.token.family)));
        }
        Ok(match facts.family.found() {
            Some(family) if facts.user.is_pending() => Some(Need::User(family.user)),
            _ => None,
        })
    }

    fn decide(&self, _: &Params, facts: &Facts) -> Decision {
        let (Some(presented), Some(family)) = (facts.refresh_token.found(), facts.family.found()) else {
            return OauthError::invalid_grant("The refresh token is unknown.").into();
        };
        // R26. The same words as for an unknown token.
        if family.client != facts.client.key {
            let error = OauthError::invalid_grant("The refresh token is unknown.");
            return Decision::refuse_with(error, SecurityEvent::ForeignToken);
        }
        // The family and the user may come from a cache; what the primary says comes with the row.
        let valid = facts.valid_authorization().filter(|_| presented.rotation.stands);
        let Some((family, user)) = valid else {
            return OauthError::invalid_grant("The authorization of this refresh token has ended.").into();
        };
        if !presented.is_current() {
            return presented_again(presented, facts);
        }
        if facts.now >= presented.rotation.expires_at {
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
            spend: Spends::RefreshToken(presented.token),
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

/// A token that is not the current one: a lost answer, a stolen token (R24), or a store that has lost
/// what it acknowledged.
fn presented_again(presented: &PresentedToken, facts: &Facts) -> Decision {
    let (token, current) = (&presented.token, &presented.rotation.current);
    if let Some(answer) = answer_for_retry(presented, facts) {
        return Decision::Repeat { sealed: answer.clone() };
    }
    // A token is given out when its row is durable. One that is newer than its row, or another of the
    // same generation, was given out by a history that this store does not know.
    if token.generation >= current.generation {
        let error = OauthError::invalid_grant(
            "The refresh token does not match the server's data. Its authorization is revoked.",
        );
        return Decision::revoke(error, token.family, SecurityEvent::StoreBehind);
    }
    Decision::revoke(
        OauthError::invalid_grant("The refresh token was used before. Its authorization is revoked."),
        token.family,
        SecurityEvent::RefreshReuse,
    )
}

/// The sealed answer of the first time, if it may be given again: to the token spent last, inside the
/// window, for the same request. Its successor is unspent then, because it is the current token.
fn answer_for_retry<'f>(presented: &'f PresentedToken, facts: &Facts) -> Option<&'f Vec<u8>> {
    let PresentedToken { token, rotation } = presented;
    let last = rotation.last.as_ref()?;
    let window = facts.client.retry_window.unwrap_or(facts.policy.retry_window);
    let was_last =
        token.generation.checked_add(1) == Some(rotation.current.generation) && token.digest == last.previous;
    let inside = last.age.is_some_and(|age| age < window);
    let same = last.request == facts.retry_request();
    last.answer.as_ref().filter(|_| was_last && inside && same)
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

    fn token(generation: u64, digest: u8) -> RefreshToken {
        RefreshToken { family: family().id, generation, digest: Digest([digest; 32]) }
    }

    /// The third token of the family, which was issued nine seconds ago.
    fn rotation() -> Rotation {
        Rotation {
            current: token(2, 2),
            issued_at: UnixTime(991),
            expires_at: UnixTime(2_000),
            stands: true,
            last: Some(LastRotation {
                previous: Digest([1; 32]),
                request: request_digest(None, &[]),
                by: CommitId::default(),
                age: Some(9),
                answer: Some(b"sealed".to_vec()),
            }),
        }
    }

    fn last(change: impl Fn(&mut LastRotation)) -> Rotation {
        let mut rotation = rotation();
        rotation.last.iter_mut().for_each(change);
        rotation
    }

    fn current() -> Known {
        known(token(2, 2), rotation())
    }

    /// The token that was spent nine seconds ago.
    fn previous() -> Known {
        known(token(1, 1), rotation())
    }

    fn known(token: RefreshToken, rotation: Rotation) -> Known {
        let refresh_token = Some(PresentedToken { token, rotation });
        Known { refresh_token, family: Some(family()), user: Some(user()), code: None }
    }

    fn decide_at(now: u64, scope: Option<&str>, known: Known) -> Decision {
        let policy = Policy::example();
        let scope = scope.map(|text| Scopes::parse(text).unwrap());
        let facts = Facts { now: UnixTime(now), scope, ..facts(&policy) };
        run(&RefreshTokenGrant, "refresh_token=x", facts, known)
    }

    fn repeat() -> Decision {
        Decision::Repeat { sealed: b"sealed".to_vec() }
    }

    fn reuse() -> Decision {
        Decision::revoke(
            OauthError::invalid_grant("The refresh token was used before. Its authorization is revoked."),
            family().id,
            SecurityEvent::RefreshReuse,
        )
    }

    fn store_behind() -> Decision {
        Decision::revoke(
            OauthError::invalid_grant(
                "The refresh token does not match the server's data. Its authorization is revoked.",
            ),
            family().id,
            SecurityEvent::StoreBehind,
        )
    }

    fn ended() -> Decision {
        OauthError::invalid_grant("The authorization of this refresh token has ended.").into()
    }

    fn unknown() -> OauthError {
        OauthError::invalid_grant("The refresh token is unknown.")
    }

    #[test]
    fn the_current_token_is_rotated() {
        let Decision::Issue(issue) = decide_at(1_000, None, current()) else { panic!("refused") };
        assert_eq!(issue.spend, Spends::RefreshToken(token(2, 2)));
        assert_eq!((issue.scopes, issue.id_token), (family().scopes, Some(IdTokenFor { nonce: None })));
    }

    #[test]
    fn a_token_without_a_row_or_a_family_is_unknown() {
        assert_eq!(decide_at(1_000, None, Known { refresh_token: None, ..current() }), unknown().into());
        assert_eq!(decide_at(1_000, None, Known { family: None, ..current() }), unknown().into());
    }

    /// R24
    #[test]
    fn the_token_spent_last_gets_the_same_answer_inside_the_window() {
        assert_eq!(decide_at(1_000, None, previous()), repeat(), "9 s after rotation");
        let late = last(|last| last.age = Some(10));
        assert_eq!(decide_at(1_000, None, known(token(1, 1), late)), reuse(), "10 s after rotation");
        let unclear = last(|last| last.age = None);
        assert_eq!(decide_at(1_000, None, known(token(1, 1), unclear)), reuse(), "the clock was set back");
        assert_eq!(decide_at(50_000, None, previous()), repeat(), "only the store's clock counts");
    }

    /// R24, T05
    #[test]
    fn every_other_token_of_a_living_family_revokes_it() {
        assert_eq!(decide_at(995, Some("read"), previous()), reuse(), "another scope");
        assert_eq!(decide_at(995, None, known(token(0, 0), rotation())), reuse(), "the successor was used");
        let gone = last(|last| last.answer = None);
        assert_eq!(decide_at(995, None, known(token(1, 1), gone)), reuse(), "no stored answer");
        assert_eq!(
            decide_at(995, None, known(token(1, 9), rotation())),
            reuse(),
            "another of its generation"
        );
        let first = Rotation { current: token(0, 0), last: None, ..rotation() };
        assert_eq!(decide_at(995, None, known(token(0, 9), first)), store_behind(), "of a first token");
    }

    /// A failover or a restored backup lost what was acknowledged.
    #[test]
    fn a_token_that_is_newer_than_its_row_revokes_the_family() {
        for (generation, digest) in [(2, 9), (2, 1), (3, 3), (u64::MAX, 3)] {
            let known = known(token(generation, digest), rotation());
            assert_eq!(decide_at(995, None, known), store_behind(), "{generation}, {digest}");
        }
    }

    /// The row outlives the token, so that reuse is recognised as long as the family lives.
    #[test]
    fn reuse_is_recognised_when_the_current_token_has_expired() {
        assert_eq!(decide_at(2_000, None, known(token(0, 0), rotation())), reuse());
    }

    #[test]
    fn a_client_can_do_without_the_window() {
        let policy = Policy::example();
        let client = std::sync::Arc::new(Client { retry_window: Some(0), ..Client::example() });
        let facts = Facts { now: UnixTime(991), client, ..facts(&policy) };
        let at_once = known(token(1, 1), last(|last| last.age = Some(0)));
        assert_eq!(run(&RefreshTokenGrant, "refresh_token=x", facts, at_once), reuse());
    }

    /// R25
    #[test]
    fn rotation_never_extends_the_family() {
        let ends = Known { family: Some(Family { expires_at: UnixTime(1_100), ..family() }), ..current() };
        let Decision::Issue(issue) = decide_at(1_000, None, ends.clone()) else { panic!("refused") };
        assert_eq!(issue.refresh_until, Some(UnixTime(1_100)));
        assert_eq!(decide_at(1_100, None, ends), ended());
    }

    /// R25
    #[test]
    fn an_idle_token_expires() {
        assert!(matches!(decide_at(1_999, None, current()), Decision::Issue(_)));
        let expired = OauthError::invalid_grant("The refresh token has expired. Sign in again.");
        assert_eq!(decide_at(2_000, None, current()), expired.into());
    }

    /// R26
    #[test]
    fn the_scope_can_be_narrowed_but_not_widened() {
        let Decision::Issue(issue) = decide_at(1_000, Some("read"), current()) else { panic!("refused") };
        assert_eq!((issue.scopes.to_string().as_str(), issue.id_token), ("read", None));
        let Decision::Refuse(refusal) = decide_at(1_000, Some("admin"), current()) else { panic!("issued") };
        assert_eq!((refusal.error.code, refusal.revoke), (ErrorCode::InvalidScope, None));
    }

    /// R26, T06
    #[test]
    fn another_client_learns_and_breaks_nothing() {
        let foreign = Decision::refuse_with(unknown(), SecurityEvent::ForeignToken);
        for (generation, digest) in [(0, 0), (1, 1), (2, 2), (2, 9), (3, 3)] {
            let family = Some(Family { client: ClientKey::default(), ..family() });
            let known = Known { family, ..known(token(generation, digest), rotation()) };
            assert_eq!(decide_at(995, None, known), foreign, "{generation}, {digest}");
        }
    }

    /// R27
    #[test]
    fn a_token_of_a_dead_authorization_is_refused_even_inside_the_window() {
        for (generation, digest) in [(0, 0), (1, 1), (2, 2), (3, 3)] {
            let presented = known(token(generation, digest), rotation());
            let fallen = Rotation { stands: false, ..rotation() };
            let dead = [
                known(token(generation, digest), fallen),
                Known {
                    family: Some(Family { revoked_at: Some(UnixTime(1)), ..family() }),
                    ..presented.clone()
                },
                Known { user: Some(User { enabled: false, ..user() }), ..presented.clone() },
                Known { user: Some(User { epoch: 4, ..user() }), ..presented },
            ];
            for known in dead {
                assert_eq!(decide_at(995, None, known), ended());
            }
        }
    }
}
