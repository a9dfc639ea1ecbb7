//! The browser's side: what is decided for each action, session and consent.

use super::*;
use crate::protocol::{
    Params,
    authorize::{self, tests as example},
};

const NOW: UnixTime = UnixTime(1_000_000);

fn user() -> User {
    User { id: UserId(Id([7; 16])), username: "alice".into(), epoch: 3, ..User::default() }
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

fn ask_login(reason: LoginReason) -> StillNeeds {
    StillNeeds::Ask(Page::Login(reason))
}

/// A request about alice, signed in 100 seconds ago, who agreed to openid and profile.
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
    fn facts<'a>(&'a self, user: &'a User) -> InteractionFacts<'a> {
        InteractionFacts {
            client: &self.client,
            signed_in: self.session.as_ref().map(|session| SignedIn { session, user }),
            consent: self.consent.as_ref(),
            now: NOW,
        }
    }

    fn request(&self) -> AuthorizeRequest {
        let changes: Vec<_> = self.changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let query = example::query(&changes);
        let params = Params::parse(query.as_bytes()).unwrap();
        let mut request = authorize::parse(&params, Some(&self.client)).unwrap();
        request.request.subject = request.id_token_hint.or(request.request.subject);
        request.request
    }

    fn next(&self) -> StillNeeds {
        let (request, user) = (self.request(), user());
        next(&request, self.begun.then_some(session().id), &self.facts(&user))
    }

    fn code(&self) -> Option<String> {
        match self.next() {
            StillNeeds::Code(scopes) => Some(scopes.to_string()),
            _ => None,
        }
    }

    fn refused(&self) -> Option<ErrorCode> {
        match self.next() {
            StillNeeds::Refuse(error) => Some(error.code),
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
    assert_eq!(nobody(&[]).next(), ask_login(LoginReason::NoSession));
    assert_eq!(nobody(&[("prompt", "consent")]).next(), ask_login(LoginReason::NoSession));
    assert_eq!(nobody(&[("prompt", "none")]).refused(), Some(ErrorCode::LoginRequired));
}

#[test]
fn prompt_login_and_select_account_ask_once() {
    for (prompt, reason) in [("login", LoginReason::Asked), ("select_account", LoginReason::SelectAccount)] {
        assert_eq!(case(&[("prompt", prompt)]).next(), ask_login(reason));
        assert!(Case { begun: true, ..case(&[("prompt", prompt)]) }.code().is_some());
    }
}

#[test]
fn a_sign_in_older_than_max_age_is_renewed() {
    assert_eq!(case(&[("max_age", "99")]).next(), ask_login(LoginReason::TooOld));
    assert_eq!(case(&[("max_age", "0")]).next(), ask_login(LoginReason::TooOld));
    assert!(case(&[("max_age", "100")]).code().is_some());
    assert!(Case { begun: true, ..case(&[("max_age", "0")]) }.code().is_some());
    assert_eq!(case(&[("max_age", "99"), ("prompt", "none")]).refused(), Some(ErrorCode::LoginRequired));
}

#[test]
fn a_hint_about_somebody_else_is_never_answered_with_a_code() {
    let own = user().id.to_string();
    let other = UserId(Id([6; 16])).to_string();
    assert!(case(&[("id_token_hint", &own), ("prompt", "none")]).code().is_some());
    assert_eq!(case(&[("id_token_hint", &other)]).next(), ask_login(LoginReason::OtherSubject));
    assert_eq!(
        case(&[("id_token_hint", &other), ("prompt", "none")]).refused(),
        Some(ErrorCode::LoginRequired)
    );
    assert_eq!(
        Case { begun: true, ..case(&[("id_token_hint", &other)]) }.refused(),
        Some(ErrorCode::LoginRequired)
    );
    let wanted = format!(r#"{{"id_token":{{"sub":{{"value":"{other}"}}}}}}"#);
    assert_eq!(case(&[("claims", &wanted)]).next(), ask_login(LoginReason::OtherSubject));
}

/// R18
#[test]
fn consent_is_asked_for_what_is_not_covered() {
    let all = Scopes::parse("openid profile notes:read").unwrap();
    assert_eq!(case(&[("scope", "openid profile notes:read")]).next(), StillNeeds::Ask(Page::Consent(all)));
    assert!(case(&[("scope", "openid")]).code().is_some());
    assert!(matches!(Case { consent: None, ..case(&[]) }.next(), StillNeeds::Ask(Page::Consent(_))));
    assert!(matches!(case(&[("resource", "https://api.example")]).next(), StillNeeds::Ask(Page::Consent(_))));
    assert!(matches!(case(&[("prompt", "consent")]).next(), StillNeeds::Ask(Page::Consent(_))));
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
    assert!(matches!(first_party(&[("prompt", "consent")]).next(), StillNeeds::Ask(Page::Consent(_))));
}

#[test]
fn offline_access_is_granted_when_consented_now_or_before() {
    let asked =
        |consented| Case { consent: Some(consent(consented)), ..case(&[("scope", "openid offline_access")]) };
    let page = StillNeeds::Ask(Page::Consent(Scopes::parse("openid offline_access").unwrap()));
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

fn transaction(case: &Case, carried: bool, consent_shown_in: Option<SessionId>) -> SignInTransaction {
    SignInTransaction {
        id: Id([5; 16]),
        expires_at: NOW.plus(900),
        browser: String::new(),
        begun_session: None,
        consent_shown_in,
        then: Continuation::Authorize(case.request()),
        carried,
    }
}

/// What a decision is, without the request that it answers.
fn decided(case: &Case, action: Action, transaction: &SignInTransaction) -> String {
    match decide(action, transaction, &case.facts(&user())) {
        InteractionDecision::Show(page) => format!("show {}", named(&page)),
        InteractionDecision::Redirect(page) => format!("go to {}", named(&page)),
        InteractionDecision::Approve { scopes, consented, spend, .. } => {
            format!("code for {scopes}; consented: {consented}; spend: {spend}")
        }
        InteractionDecision::Refuse { error, spend, .. } => {
            format!("{}; spend: {spend}", error.code.as_str())
        }
    }
}

fn named(page: &Page) -> String {
    match page {
        Page::Login(_) => "login".into(),
        Page::Consent(scopes) => format!("consent to {scopes}"),
    }
}

const ACTIONS: [Action; 7] = [
    Action::Begin,
    Action::ShowLogin,
    Action::SignedIn,
    Action::ShowConsent,
    Action::Allow,
    Action::CancelLogin,
    Action::Deny,
];

fn all_decided(case: &Case, transaction: &SignInTransaction) -> [String; 7] {
    ACTIONS.map(|action| decided(case, action, transaction))
}

#[test]
fn a_page_is_shown_where_it_is_asked_for_and_gone_to_from_elsewhere() {
    let nobody = Case { session: None, consent: None, ..case(&[]) };
    let denied = "access_denied; spend: true";
    let (go, show) = ("go to login", "show login");
    assert_eq!(
        all_decided(&nobody, &transaction(&nobody, true, None)),
        [go, show, go, go, go, denied, denied]
    );
    let unasked = Case { consent: None, ..case(&[]) };
    let (go, show) = ("go to consent to openid profile", "show consent to openid profile");
    assert_eq!(
        all_decided(&unasked, &transaction(&unasked, true, None)),
        [go, go, go, show, go, denied, denied]
    );
}

/// R18: nobody answers a consent page for another, or without having seen it.
#[test]
fn only_the_person_a_consent_page_was_shown_to_can_answer_it() {
    let unasked = Case { consent: None, ..case(&[]) };
    let allow = |shown_in| decided(&unasked, Action::Allow, &transaction(&unasked, true, shown_in));
    assert_eq!(allow(Some(session().id)), "code for openid profile; consented: true; spend: true");
    assert_eq!(allow(Some(SessionId(Id([1; 16])))), "go to consent to openid profile");
    assert_eq!(allow(None), "go to consent to openid profile");
    let shown = transaction(&unasked, true, Some(session().id));
    for action in [Action::Begin, Action::ShowLogin, Action::SignedIn] {
        assert_eq!(decided(&unasked, action, &shown), "go to consent to openid profile", "{action:?}");
    }
}

/// R59
#[test]
fn what_was_given_to_a_browser_is_spent_with_the_code() {
    let agreed = case(&[]);
    for action in [Action::Begin, Action::ShowLogin, Action::SignedIn, Action::ShowConsent, Action::Allow] {
        for carried in [false, true] {
            let code = format!("code for openid profile; consented: false; spend: {carried}");
            assert_eq!(decided(&agreed, action, &transaction(&agreed, carried, None)), code, "{action:?}");
        }
    }
}

#[test]
fn a_refusal_without_the_persons_doing_spends_nothing() {
    let nobody = Case { session: None, ..case(&[("prompt", "none")]) };
    let unasked = Case { consent: None, ..case(&[("prompt", "none")]) };
    for action in [Action::Begin, Action::ShowLogin, Action::ShowConsent, Action::Allow] {
        let transaction = transaction(&nobody, true, Some(session().id));
        assert_eq!(decided(&nobody, action, &transaction), "login_required; spend: false");
        assert_eq!(decided(&unasked, action, &transaction), "consent_required; spend: false");
    }
}
