//! OpenID Connect Core §3.1.2.3, §3.1.2.4, §11 — the browser's side: whether a page is shown, which one, or
//! what the client is answered.

use super::{
    ErrorCode, OauthError,
    authorize::AuthorizeRequest,
    transaction::{Continuation, SignInTransaction},
};
use crate::model::*;

/// A sign-in with its person.
#[derive(Clone, Copy, Debug)]
pub struct SignedIn<'a> {
    /// The browser's session.
    pub session: &'a Session,
    /// The session's person.
    pub user: &'a User,
}

/// What the browser asks for, wherever its request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The authorization endpoint received a request.
    Begin,
    /// The sign-in page is to be shown.
    ShowLogin,
    /// The person just signed in.
    SignedIn,
    /// The person does not want to sign in.
    CancelLogin,
    /// The consent page is to be shown.
    ShowConsent,
    /// The person agrees to what the consent page says.
    Allow,
    /// The person does not agree.
    Deny,
}

/// Everything the decision depends on besides the request.
#[derive(Clone, Copy, Debug)]
pub struct InteractionFacts<'a> {
    /// The client that waits for the end of the transaction.
    pub client: &'a Client,
    /// The browser's sign-in, if it is valid.
    pub signed_in: Option<SignedIn<'a>>,
    /// What the person agreed to before.
    pub consent: Option<&'a Consent>,
    /// The moment of the decision.
    pub now: UnixTime,
}

/// A page that asks the person for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// The sign-in page.
    Login(LoginReason),
    /// The consent page, for these scopes.
    Consent(Scopes),
}

/// What is to be done. Side effects are data: nothing is written before the endpoint commits them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InteractionDecision<'a> {
    /// Show this page, here. Commits nothing.
    Show(Page),
    /// Send the browser to this page, with the transaction. Commits nothing.
    Redirect(Page),
    /// Issue a code for the client.
    Approve {
        /// The request it answers.
        request: &'a AuthorizeRequest,
        /// The scopes granted.
        scopes: Scopes,
        /// Whether the person just agreed, so that the consent is remembered.
        consented: bool,
        /// Whether the transaction must be spent.
        spend: bool,
    },
    /// Tell the client that there will be no code.
    Refuse {
        /// The request it answers.
        request: &'a AuthorizeRequest,
        /// What the client is told.
        error: OauthError,
        /// Whether the transaction must be spent: the person ended it.
        spend: bool,
    },
}

/// Decides what the browser gets for an action in a transaction.
pub fn decide<'a>(
    action: Action,
    transaction: &'a SignInTransaction,
    facts: &InteractionFacts,
) -> InteractionDecision<'a> {
    let Continuation::Authorize(request) = &transaction.then;
    // R59: a transaction whose person said no cannot be taken up again.
    let denied = |description| InteractionDecision::Refuse {
        request,
        error: OauthError::new(ErrorCode::AccessDenied, description),
        spend: true,
    };
    match action {
        Action::CancelLogin => return denied("The person did not sign in."),
        Action::Deny => return denied("The user denied the request."),
        _ => {}
    }
    let approve = |scopes, consented| InteractionDecision::Approve {
        request,
        scopes,
        consented,
        // A transaction that no page was shown for was never given to a browser.
        spend: transaction.carried,
    };
    match next(request, transaction.begun_session, facts) {
        StillNeeds::Refuse(error) => InteractionDecision::Refuse { request, error, spend: false },
        StillNeeds::Code(scopes) => approve(scopes, false),
        StillNeeds::Ask(page @ Page::Login(_)) if action == Action::ShowLogin => {
            InteractionDecision::Show(page)
        }
        StillNeeds::Ask(page @ Page::Consent(_)) if action == Action::ShowConsent => {
            InteractionDecision::Show(page)
        }
        StillNeeds::Ask(Page::Consent(scopes))
            if action == Action::Allow && was_shown(transaction, facts) =>
        {
            approve(scopes, true)
        }
        StillNeeds::Ask(page) => InteractionDecision::Redirect(page),
    }
}

/// Whether the consent page was shown to the person who is signed in: it named its person, so only the person
/// it was shown to can answer it.
fn was_shown(transaction: &SignInTransaction, facts: &InteractionFacts) -> bool {
    let session = facts.signed_in.map(|signed_in| signed_in.session.id);
    session.is_some() && transaction.consent_shown_in == session
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

/// What stands between an authorization request and its answer.
#[derive(Debug, PartialEq, Eq)]
enum StillNeeds {
    /// Something from the person.
    Ask(Page),
    /// A code, for these scopes.
    Code(Scopes),
    /// An error for the client.
    Refuse(OauthError),
}

fn next(
    request: &AuthorizeRequest,
    begun_session: Option<SessionId>,
    facts: &InteractionFacts,
) -> StillNeeds {
    let login = match login_reason(request, begun_session, facts) {
        Ok(reason) => reason,
        Err(error) => return StillNeeds::Refuse(error),
    };
    if let Some(reason) = login {
        if request.prompt.none {
            return StillNeeds::Refuse(refusal_without_a_page(reason));
        }
        return StillNeeds::Ask(Page::Login(reason));
    }
    let scopes = grantable(&request.scopes, facts.client);
    if !needs_consent(request, facts, &scopes) {
        StillNeeds::Code(scopes)
    } else if request.prompt.none {
        let error = "The person has not consented to this yet.";
        StillNeeds::Refuse(OauthError::new(ErrorCode::ConsentRequired, error))
    } else {
        StillNeeds::Ask(Page::Consent(scopes))
    }
}

fn login_reason(
    request: &AuthorizeRequest,
    begun_session: Option<SessionId>,
    facts: &InteractionFacts,
) -> Result<Option<LoginReason>, OauthError> {
    let Some(SignedIn { session, user }) = facts.signed_in else { return Ok(Some(LoginReason::NoSession)) };
    // The session that this very transaction began: its person was asked already.
    let just_signed_in = begun_session == Some(session.id);
    if request.subject.as_ref().is_some_and(|subject| *subject != user.id.to_string()) {
        // OpenID Connect Core §3.1.2.1 (id_token_hint), §5.5.1 (sub): no other person will do.
        if just_signed_in {
            let error = "The user who signed in is not the one that the client asked for.";
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
        LoginReason::NoSession => "No user is signed in.",
        LoginReason::TooOld => "The sign-in is older than max_age.",
        LoginReason::OtherSubject => "Another user is signed in.",
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
fn needs_consent(request: &AuthorizeRequest, facts: &InteractionFacts, scopes: &Scopes) -> bool {
    if request.prompt.consent {
        return true;
    }
    if facts.client.skip_consent {
        return false;
    }
    let covers = |consent: &Consent| {
        scopes.is_subset_of(&consent.scopes)
            && request.resources.iter().all(|uri| consent.resources.contains(uri))
    };
    !facts.consent.is_some_and(covers)
}

#[cfg(test)]
mod tests;
