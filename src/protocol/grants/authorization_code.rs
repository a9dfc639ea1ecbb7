//! RFC 6749 §4.1.3 — the authorization code grant at the token endpoint.

use super::{Authorization, Decision, Facts, Grant, IdTokenFor, Issue, Need, Spends};
use crate::{
    model::{Code, SecurityEvent},
    protocol::{OauthError, Params, pkce, resource},
};

/// `grant_type=authorization_code`.
pub struct AuthorizationCode;

impl Grant for AuthorizationCode {
    fn grant_type(&self) -> &'static str {
        "authorization_code"
    }

    fn public_clients(&self) -> bool {
        true
    }

    fn need<'f>(&self, form: &'f Params<'_>, facts: &Facts) -> Result<Option<Need<'f>>, OauthError> {
        if facts.code.is_pending() {
            return Ok(Some(Need::Code(form.require("code")?)));
        }
        let Some(code) = facts.code.found() else { return Ok(None) };
        if facts.family.is_pending() {
            return Ok(Some(Need::Family(code.family)));
        }
        Ok(match facts.family.found() {
            Some(family) if facts.user.is_pending() => Some(Need::User(family.user)),
            _ => None,
        })
    }

    fn decide(&self, form: &Params, facts: &Facts) -> Decision {
        let code = match bound_code(form, facts) {
            Ok(code) => code,
            Err(refusal) => return refusal,
        };
        // RFC 6749 §4.1.2: on a second use, revoke what the first one issued. Only now, because a
        // replay that could not have been redeemed proves nothing (OAuth 2.1 §7.5.3, R22).
        if code.spent_by.is_some() {
            return Decision::revoke(
                OauthError::invalid_grant("The code was used before. Everything it issued is revoked."),
                code.family,
                SecurityEvent::CodeReplay,
            );
        }
        if facts.now >= code.expires_at {
            return OauthError::invalid_grant(
                "The code has expired. Start again at the authorization endpoint.",
            )
            .into();
        }
        let Some((family, user)) = facts.valid_authorization() else {
            return OauthError::invalid_grant("The authorization this code stands for has been revoked.")
                .into();
        };
        // RFC 8707 §2.2: a subset of what was granted.
        if let Err(error) = resource::within(&facts.resources, &family.resources) {
            return error.into();
        }
        let resources = if facts.resources.is_empty() { &family.resources } else { &facts.resources };
        let idle = facts.client.refresh_idle_lifetime;
        let refreshable = family.refreshable && facts.client.may_use("refresh_token");
        Decision::Issue(Box::new(Issue {
            spend: Spends::Code(code.id),
            authorization: Some(Authorization { family: family.clone(), user: user.clone() }),
            scopes: family.scopes.clone(),
            resources: resources.clone(),
            refresh_until: refreshable.then(|| facts.now.plus(idle).min(family.expires_at)),
            id_token: family.scopes.contains("openid").then(|| IdTokenFor { nonce: code.nonce.clone() }),
        }))
    }
}

/// The code, if this client may redeem it with this request (R23): its own, for the same redirect
/// URI, with the right verifier.
fn bound_code<'f>(form: &Params, facts: &'f Facts) -> Result<&'f Code, Decision> {
    let Some(code) = facts.code.found() else {
        return Err(OauthError::invalid_grant("The code is unknown.").into());
    };
    if code.client != facts.client.key {
        // The same words as for an unknown code: its owner is not disclosed.
        let error = OauthError::invalid_grant("The code is unknown.");
        return Err(Decision::refuse_with(error, SecurityEvent::ForeignToken));
    }
    // RFC 6749 §4.1.3: required, because the authorization request had one, and identical.
    if form.require("redirect_uri")? != code.redirect_uri {
        return Err(OauthError::invalid_grant(
            "The redirect_uri differs from the one in the authorization request.",
        )
        .into());
    }
    pkce::verify(code.challenge.as_deref(), form.get("code_verifier"))
        .map_err(|(error, event)| Decision::refuse_with(error, event))?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::{
        model::*,
        protocol::{ErrorCode, Policy},
    };

    const BODY: &str = "code=x&redirect_uri=https://app.example/callback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn code() -> Code {
        Code {
            id: RowId(Id::new(1, [9; 10])),
            digest: Digest([1; 32]),
            family: family().id,
            client: Client::example().key,
            redirect_uri: "https://app.example/callback".into(),
            challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into()),
            nonce: Some("n".into()),
            created_at: UnixTime(990),
            expires_at: UnixTime(1_050),
            spent_by: None,
        }
    }

    fn known() -> Known {
        Known { code: Some(code()), family: Some(family()), user: Some(user()), refresh_token: None }
    }

    fn decide(body: &str, known: Known) -> Decision {
        let policy = Policy::example();
        run(&AuthorizationCode, body, facts(&policy), known)
    }

    fn refusal(decision: Decision) -> (ErrorCode, Option<FamilyId>, Option<SecurityEvent>) {
        match decision {
            Decision::Refuse(refusal) => (refusal.error.code, refusal.revoke, refusal.event),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_code_is_exchanged_for_what_was_granted() {
        let Decision::Issue(issue) = decide(BODY, known()) else { panic!("refused") };
        assert_eq!(issue.spend, Spends::Code(code().id));
        assert_eq!(issue.scopes, family().scopes);
        assert_eq!(issue.resources, ["urn:a", "urn:b"]);
        assert_eq!(issue.refresh_until, Some(UnixTime(100_000)), "no later than the family");
        assert_eq!(issue.id_token, Some(IdTokenFor { nonce: Some("n".into()) }));
    }

    /// R22
    #[test]
    fn a_valid_second_redemption_revokes_the_family() {
        let spent = Code { spent_by: Some(CommitId::default()), ..code() };
        let got = refusal(decide(BODY, Known { code: Some(spent), ..known() }));
        assert_eq!(got, (ErrorCode::InvalidGrant, Some(family().id), Some(SecurityEvent::CodeReplay)));
    }

    /// R22
    #[test]
    fn a_replay_that_could_not_have_been_redeemed_revokes_nothing() {
        let spent = Code { spent_by: Some(CommitId::default()), ..code() };
        let wrong = BODY.replace("dBj", "xxx");
        let got = refusal(decide(&wrong, Known { code: Some(spent.clone()), ..known() }));
        assert_eq!(got, (ErrorCode::InvalidGrant, None, Some(SecurityEvent::PkceMismatch)));
        let foreign = Code { client: ClientKey::default(), ..spent };
        let got = refusal(decide(BODY, Known { code: Some(foreign), ..known() }));
        assert_eq!(got, (ErrorCode::InvalidGrant, None, Some(SecurityEvent::ForeignToken)));
    }

    /// R23, T06
    #[test]
    fn a_code_is_bound_to_client_redirect_uri_and_challenge() {
        let elsewhere = BODY.replace("callback", "callback/");
        assert_eq!(refusal(decide(&elsewhere, known())).0, ErrorCode::InvalidGrant);
        assert_eq!(refusal(decide("code=x", known())).0, ErrorCode::InvalidRequest);
        let no_challenge = Code { challenge: None, ..code() };
        let got = refusal(decide(BODY, Known { code: Some(no_challenge), ..known() }));
        assert_eq!(got, (ErrorCode::InvalidGrant, None, Some(SecurityEvent::PkceDowngrade)));
    }

    /// R21
    #[test]
    fn a_code_dies_at_the_second_of_its_expiry() {
        let at = |expires_at| decide(BODY, Known { code: Some(Code { expires_at, ..code() }), ..known() });
        assert_eq!(refusal(at(UnixTime(1_000))).0, ErrorCode::InvalidGrant);
        assert!(matches!(at(UnixTime(1_001)), Decision::Issue(_)));
    }

    /// R27
    #[test]
    fn a_code_of_a_dead_authorization_is_refused() {
        let dead = [
            Known { family: Some(Family { revoked_at: Some(UnixTime(1)), ..family() }), ..known() },
            Known { family: Some(Family { user_epoch: 2, ..family() }), ..known() },
            Known { family: Some(Family { client: ClientKey::default(), ..family() }), ..known() },
            Known { family: None, ..known() },
            Known { user: Some(User { enabled: false, ..user() }), ..known() },
            Known { user: None, ..known() },
        ];
        for known in dead {
            assert_eq!(refusal(decide(BODY, known)), (ErrorCode::InvalidGrant, None, None));
        }
    }

    /// R28
    #[test]
    fn the_resource_can_be_narrowed_but_not_widened() {
        let policy = Policy::example();
        let asked = |resource: &str| {
            let facts = Facts { resources: vec![resource.into()], ..facts(&policy) };
            run(&AuthorizationCode, BODY, facts, known())
        };
        let Decision::Issue(issue) = asked("urn:b") else { panic!("refused") };
        assert_eq!(issue.resources, ["urn:b"]);
        assert_eq!(refusal(asked("urn:c")).0, ErrorCode::InvalidTarget);
    }
}
