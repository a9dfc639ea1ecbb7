//! `/account` — one's own sessions and consents (R20).

use actix_web::HttpResponse;

use super::request::BrowserRequest;
use crate::{
    http::{
        pages::{AccountPage, ConsentRow, ScopeLine, SessionRow},
        request_context::RequestContext,
    },
    provider::{Account, AccountAction, AccountStep},
};

/// `GET /account`.
pub(in crate::http) async fn get(context: RequestContext) -> HttpResponse {
    let request = BrowserRequest::new(&context);
    match request.provider().sign_in.account(&request.browser).await {
        Ok(Some(account)) => page(&request, account),
        Ok(None) => request.see_other("/login"),
        Err(error) => request.error(&error),
    }
}

/// `POST /account/sessions/end`.
pub(in crate::http) async fn end_session(context: RequestContext) -> HttpResponse {
    act(context, AccountAction::EndSession).await
}

/// `POST /account/consents/withdraw`.
pub(in crate::http) async fn withdraw_consent(context: RequestContext) -> HttpResponse {
    act(context, AccountAction::WithdrawConsent).await
}

/// `POST /account/sign-out-everywhere`.
pub(in crate::http) async fn sign_out_everywhere(context: RequestContext) -> HttpResponse {
    act(context, AccountAction::SignOutEverywhere).await
}

async fn act(mut context: RequestContext, action: AccountAction) -> HttpResponse {
    let form = context.form().await;
    let request = BrowserRequest::new(&context);
    let params = match request.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match request.provider().sign_in.account_action(action, &params, &request.browser).await {
        Ok(AccountStep::Done) => request.see_other("/account"),
        Ok(AccountStep::SignedOut) => request.signed_out().see_other("/login"),
        Ok(AccountStep::Login) => request.see_other("/login"),
        Err(error) => request.error(&error),
    }
}

fn page(request: &BrowserRequest<'_>, account: Account) -> HttpResponse {
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
        issuer_host: request.issuer_host(),
        user_name: account.user.username.clone(),
        notice: None,
        sessions: account.sessions.into_iter().map(session).collect(),
        consents: account.consents.into_iter().map(consent).collect(),
        csrf: account.csrf,
    };
    request.page(200, request.pages().account(&view), None)
}
