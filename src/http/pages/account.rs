//! `/account` — one's own sessions and consents (R20).

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{AccountPage, ConsentRow, ScopeLine, SessionRow, visit::Visit};
use crate::{
    http::{Shared, error::Failure, extract::Form},
    provider::{Account, AccountAction, AccountStep},
};

/// `GET /account`.
pub async fn get(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    match visit.provider().account(&visit.browser).await {
        Ok(Some(account)) => page(&visit, account),
        Ok(None) => visit.see_other("/login"),
        Err(error) => visit.error(&error),
    }
}

/// `POST /account/sessions/end`.
pub async fn end_session(
    shared: Data<Shared>,
    req: HttpRequest,
    form: Result<Form, Failure>,
) -> HttpResponse {
    act(&shared, &req, form, AccountAction::EndSession).await
}

/// `POST /account/consents/withdraw`.
pub async fn withdraw_consent(
    shared: Data<Shared>,
    req: HttpRequest,
    form: Result<Form, Failure>,
) -> HttpResponse {
    act(&shared, &req, form, AccountAction::WithdrawConsent).await
}

/// `POST /account/sign-out-everywhere`.
pub async fn sign_out_everywhere(
    shared: Data<Shared>,
    req: HttpRequest,
    form: Result<Form, Failure>,
) -> HttpResponse {
    act(&shared, &req, form, AccountAction::SignOutEverywhere).await
}

async fn act(
    shared: &Shared,
    req: &HttpRequest,
    form: Result<Form, Failure>,
    action: AccountAction,
) -> HttpResponse {
    let visit = Visit::new(req, shared);
    let params = match visit.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match visit.provider().account_action(action, &params, &visit.browser).await {
        Ok(AccountStep::Done) => visit.see_other("/account"),
        Ok(AccountStep::SignedOut) => visit.signed_out().see_other("/login"),
        Ok(AccountStep::Login) => visit.see_other("/login"),
        Err(error) => visit.error(&error),
    }
}

fn page(visit: &Visit<'_>, account: Account) -> HttpResponse {
    let session = |session: crate::model::Session| SessionRow {
        id: session.id,
        signed_in: session.auth_time,
        last_seen: session.seen_at,
        current: session.id == account.current,
        user_agent: session.user_agent,
    };
    let consent = |(consent, client_name): (crate::model::Consent, String)| ConsentRow {
        id: consent.client,
        client_name,
        scopes: ScopeLine::all(&consent.scopes),
        since: consent.created_at,
    };
    let view = AccountPage {
        issuer_host: visit.issuer_host(),
        user_name: account.user.username.clone(),
        notice: None,
        sessions: account.sessions.into_iter().map(session).collect(),
        consents: account.consents.into_iter().map(consent).collect(),
        csrf: account.csrf,
    };
    visit.page(200, visit.pages().account(&view), None)
}
