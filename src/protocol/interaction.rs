//! OpenID Connect Core §3.1.2.3, §3.1.2.4, §11 — what comes next: sign-in, consent, or the answer.

use super::{ErrorCode, OauthError, authorize::AuthorizeRequest};
use crate::model::*;

/// A sign-in with its person.
#[derive(Clone, Copy, Debug)]
pub struct SignedIn<'a> {
    /// The browser's session.
    pub session: &'a Session,
    /// The session's person.
    pub user: &'a User,
}

/// Everything the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is asked.
    pub request: &'a AuthorizeRequest,
    /// By whom.
    pub client: &'a Client,
    /// The browser's sign-in, if it is valid.
    pub signed_in: Option<SignedIn<'a>>,
    /// The session that this very transaction began, if it did: its person was asked already.
    pub begun_session: Option<SessionId>,
    /// What the person agreed to before.
    pub consent: Option<&'a Consent>,
    /// The moment of the decision.
    pub now: UnixTime,
}

/// Why the sign-in page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginReason {
    /// There is no session.
    NoSession,
    /// `prompt=login`.
    Asked,
    /// `prompt=select_account`: the page offers to sign in as another person.
    SelectAccount,
    /// The sign-in is older than `max_age`.
    TooOld,
    /// Another person is signed in than the client wants.
    OtherSubject,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The sign-in page.
    Login(LoginReason),
    /// The consent page, for these scopes.
    Consent(Scopes),
    /// A code, for these scopes.
    Code(Scopes),
    /// An error for the client.
    Refuse(OauthError),
}

/// Decides what comes next.
pub fn next(facts: &Facts) -> Next {
    let request = facts.request;
    let login = match login_reason(facts) {
        Ok(reason) => reason,
        Err(error) => return Next::Refuse(error),
    };
    if let Some(reason) = login {
        if request.prompt.none {
            return Next::Refuse(refusal_without_a_page(reason));
        }
        return Next::Login(reason);
    }
    let scopes = grantable(&request.scopes, facts.client);
    if !needs_consent(facts, &scopes) {
        Next::Code(scopes)
    } else if request.prompt.none {
        let error = "The person has not consented to this yet.";
        Next::Refuse(OauthError::new(ErrorCode::ConsentRequired, error))
    } else {
        Next::Consent(scopes)
    }
}

fn login_reason(facts: &Facts) -> Result<Option<LoginReason>, OauthError> {
    let Some(SignedIn { session, user }) = facts.signed_in else { return Ok(Some(LoginReason::NoSession)) };
    let request = facts.request;
    let just_signed_in = facts.begun_session == Some(session.id);
    if request.subject.as_ref().is_some_and(|subject| *subject != user.id.to_string()) {
        // OpenID Connect Core §3.1.2.1 (id_token_hint), §5.5.1 (sub): no other person will do.
        if just_signed_in {
            let error = "Somebody else signed in than the client asked for.";
            return Err(OauthError::new(ErrorCode::LoginRequired, error));
        }
        return Ok(Some(LoginReason::OtherSubject));
    }
    if just_signed_in {
        return Ok(None);
    }
    let too_old = request.max_age.is_some_and(|age| age == 0 || facts.now.since(session.auth_time) > age);
    Ok(match request.prompt {
        prompt if prompt.select_account => Some(LoginReason::SelectAccount),
        prompt if prompt.login => Some(LoginReason::Asked),
        _ if too_old => Some(LoginReason::TooOld),
        _ => None,
    })
}

/// OpenID Connect Core §3.1.2.6: with `prompt=none` the client gets an error instead of a page.
fn refusal_without_a_page(reason: LoginReason) -> OauthError {
    let description = match reason {
        LoginReason::NoSession => "Nobody is signed in.",
        LoginReason::TooOld => "The sign-in is older than max_age.",
        LoginReason::OtherSubject => "Somebody else is signed in.",
        LoginReason::Asked | LoginReason::SelectAccount => "The person must sign in.",
    };
    OauthError::new(ErrorCode::LoginRequired, description)
}

/// The scopes that can be granted at all: `offline_access` only to a client whose refresh tokens
/// depend on it; elsewhere OpenID Connect Core §11 says to ignore it.
pub fn grantable(asked: &Scopes, client: &Client) -> Scopes {
    match client.refresh_policy {
        RefreshPolicy::OfflineAccess | RefreshPolicy::Always if client.may_use("refresh_token") => {
            asked.clone()
        }
        _ => asked.without("offline_access"),
    }
}

/// Whether refresh tokens come with an authorization for these scopes.
pub fn is_refreshable(granted: &Scopes, client: &Client) -> bool {
    client.may_use("refresh_token")
        && match client.refresh_policy {
            RefreshPolicy::Always => true,
            RefreshPolicy::Never => false,
            RefreshPolicy::OfflineAccess => granted.contains("offline_access"),
        }
}

/// R18: remembered per user, client, scopes and resources; asked for anything beyond that.
fn needs_consent(facts: &Facts, scopes: &Scopes) -> bool {
    if facts.request.prompt.consent {
        return true;
    }
    if facts.client.skip_consent {
        return false;
    }
    let covers = |consent: &Consent| {
        scopes.is_subset_of(&consent.scopes)
            && facts.request.resources.iter().all(|uri| consent.resources.contains(uri))
    };
    !facts.consent.is_some_and(covers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Params,
        authorize::{self, tests as example},
    };

    const NOW: UnixTime = UnixTime(1_000_000);

    fn user() -> User {
        User {
            id: UserId(Id([7; 16])),
            username: "alice".into(),
            password: None,
            enabled: true,
            epoch: 3,
            claims: serde_json::Map::new(),
            created_at: UnixTime(0),
            updated_at: UnixTime(0),
        }
    }

    fn session() -> Session {
        Session {
            id: SessionId(Id([8; 16])),
            digest: Digest([0; 32]),
            user: user().id,
            user_epoch: 3,
            auth_time: NOW.minus(100),
            amr: vec!["pwd".into()],
            user_agent: String::new(),
            seen_at: NOW.minus(10),
            expires_at: NOW.plus(1000),
        }
    }

    fn consent(scopes: &str) -> Consent {
        Consent {
            id: Id([9; 16]),
            user: user().id,
            client: example::client().key,
            scopes: Scopes::parse(scopes).unwrap(),
            resources: Vec::new(),
            created_at: UnixTime(0),
            updated_at: UnixTime(0),
        }
    }

    /// What comes next for alice, signed in 100 seconds ago, who agreed to openid and profile.
    struct Case {
        client: Client,
        session: Option<Session>,
        begun: bool,
        consent: Option<Consent>,
        changes: Vec<(&'static str, String)>,
    }

    fn case(changes: &[(&'static str, &str)]) -> Case {
        Case {
            client: example::client(),
            session: Some(session()),
            begun: false,
            consent: Some(consent("openid profile")),
            changes: changes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        }
    }

    impl Case {
        fn next(&self) -> Next {
            let changes: Vec<_> = self.changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let query = example::query(&changes);
            let params = Params::parse(query.as_bytes()).unwrap();
            let mut request = authorize::parse(&params, Some(&self.client)).unwrap();
            request.request.subject = request.id_token_hint.or(request.request.subject);
            let user = user();
            next(&Facts {
                request: &request.request,
                client: &self.client,
                signed_in: self.session.as_ref().map(|session| SignedIn { session, user: &user }),
                begun_session: self.begun.then_some(session().id),
                consent: self.consent.as_ref(),
                now: NOW,
            })
        }

        fn code(&self) -> Option<String> {
            match self.next() {
                Next::Code(scopes) => Some(scopes.to_string()),
                _ => None,
            }
        }

        fn refused(&self) -> Option<ErrorCode> {
            match self.next() {
                Next::Refuse(error) => Some(error.code),
                _ => None,
            }
        }
    }

    #[test]
    fn a_signed_in_person_who_agreed_before_is_not_asked() {
        assert_eq!(case(&[]).code().as_deref(), Some("openid profile"));
        assert_eq!(case(&[("prompt", "none")]).code().as_deref(), Some("openid profile"));
    }

    #[test]
    fn without_a_session_comes_the_sign_in() {
        let nobody = |changes: &[_]| Case { session: None, consent: None, ..case(changes) };
        assert_eq!(nobody(&[]).next(), Next::Login(LoginReason::NoSession));
        assert_eq!(nobody(&[("prompt", "consent")]).next(), Next::Login(LoginReason::NoSession));
        assert_eq!(nobody(&[("prompt", "none")]).refused(), Some(ErrorCode::LoginRequired));
    }

    #[test]
    fn prompt_login_and_select_account_ask_once() {
        for (prompt, reason) in
            [("login", LoginReason::Asked), ("select_account", LoginReason::SelectAccount)]
        {
            assert_eq!(case(&[("prompt", prompt)]).next(), Next::Login(reason));
            assert!(Case { begun: true, ..case(&[("prompt", prompt)]) }.code().is_some());
        }
    }

    #[test]
    fn a_sign_in_older_than_max_age_is_renewed() {
        assert_eq!(case(&[("max_age", "99")]).next(), Next::Login(LoginReason::TooOld));
        assert_eq!(case(&[("max_age", "0")]).next(), Next::Login(LoginReason::TooOld));
        assert!(case(&[("max_age", "100")]).code().is_some());
        assert!(Case { begun: true, ..case(&[("max_age", "0")]) }.code().is_some());
        assert_eq!(case(&[("max_age", "99"), ("prompt", "none")]).refused(), Some(ErrorCode::LoginRequired));
    }

    #[test]
    fn a_hint_about_somebody_else_is_never_answered_with_a_code() {
        let own = user().id.to_string();
        let other = UserId(Id([6; 16])).to_string();
        assert!(case(&[("id_token_hint", &own), ("prompt", "none")]).code().is_some());
        assert_eq!(case(&[("id_token_hint", &other)]).next(), Next::Login(LoginReason::OtherSubject));
        assert_eq!(
            case(&[("id_token_hint", &other), ("prompt", "none")]).refused(),
            Some(ErrorCode::LoginRequired)
        );
        assert_eq!(
            Case { begun: true, ..case(&[("id_token_hint", &other)]) }.refused(),
            Some(ErrorCode::LoginRequired)
        );
        let wanted = format!(r#"{{"id_token":{{"sub":{{"value":"{other}"}}}}}}"#);
        assert_eq!(case(&[("claims", &wanted)]).next(), Next::Login(LoginReason::OtherSubject));
    }

    /// R18
    #[test]
    fn consent_is_asked_for_what_is_not_covered() {
        let all = Scopes::parse("openid profile notes:read").unwrap();
        assert_eq!(case(&[("scope", "openid profile notes:read")]).next(), Next::Consent(all));
        assert!(case(&[("scope", "openid")]).code().is_some());
        assert!(matches!(Case { consent: None, ..case(&[]) }.next(), Next::Consent(_)));
        assert!(matches!(case(&[("resource", "https://api.example")]).next(), Next::Consent(_)));
        assert!(matches!(case(&[("prompt", "consent")]).next(), Next::Consent(_)));
        let unasked = Case { consent: None, ..case(&[("prompt", "none")]) };
        assert_eq!(unasked.refused(), Some(ErrorCode::ConsentRequired));
    }

    #[test]
    fn a_first_party_client_needs_no_page_unless_it_asks_for_one() {
        let first_party = |changes: &[_]| Case {
            client: Client { skip_consent: true, ..example::client() },
            consent: None,
            ..case(changes)
        };
        let offline = first_party(&[("scope", "openid offline_access")]);
        assert_eq!(offline.code().as_deref(), Some("openid offline_access"));
        assert!(matches!(first_party(&[("prompt", "consent")]).next(), Next::Consent(_)));
    }

    #[test]
    fn offline_access_is_granted_when_consented_now_or_before() {
        let asked = |consented| Case {
            consent: Some(consent(consented)),
            ..case(&[("scope", "openid offline_access")])
        };
        let page = Next::Consent(Scopes::parse("openid offline_access").unwrap());
        assert_eq!(asked("openid").next(), page);
        assert_eq!(asked("openid offline_access").code().as_deref(), Some("openid offline_access"));
    }

    #[test]
    fn offline_access_is_ignored_where_there_are_no_refresh_tokens() {
        let offline = Scopes::parse("openid offline_access").unwrap();
        let never = Client { refresh_policy: RefreshPolicy::Never, ..example::client() };
        let without = Client { grants: vec!["authorization_code".into()], ..example::client() };
        for client in [never, without] {
            assert!(!is_refreshable(&offline, &client));
            let case = Case { client, ..case(&[("scope", "openid offline_access")]) };
            assert_eq!(case.code().as_deref(), Some("openid"));
        }
        let always = Client { refresh_policy: RefreshPolicy::Always, ..example::client() };
        assert!(is_refreshable(&offline.without("offline_access"), &always));
        assert!(is_refreshable(&offline, &example::client()));
        assert!(!is_refreshable(&offline.without("offline_access"), &example::client()));
    }
}
