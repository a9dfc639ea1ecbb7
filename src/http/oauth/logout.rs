//! OpenID Connect RP-Initiated Logout 1.0 — `GET|POST /oauth/logout`.

use actix_web::HttpResponse;

use crate::{
    http::{
        browser::request::BrowserRequest,
        pages::{LoggedOutPage, LogoutPage},
        request_context::RequestContext,
    },
    protocol::{Params, discovery::path, logout::AfterLogout},
    provider::{LogoutForm, LogoutStep},
};

/// A client's request, or the person's own.
pub(in crate::http) async fn get(context: RequestContext) -> HttpResponse {
    let request = BrowserRequest::new(&context);
    let params = match Params::parse(context.query().as_bytes()) {
        Ok(params) => params,
        Err(error) => return request.error(&error.into()),
    };
    match request.provider().sign_in.logout(&params, &request.browser).await {
        Ok(step) => reply(request, step),
        Err(error) => request.error(&error),
    }
}

/// A client's request in a form body, or the answer to our own page, which has an `action`.
pub(in crate::http) async fn post(mut context: RequestContext) -> HttpResponse {
    let form = context.form().await;
    let request = BrowserRequest::new(&context);
    let params = match request.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    let step = match params.get("action") {
        Some(_) => request.provider().sign_in.confirm_logout(&params, &request.browser).await,
        None if request.is_new() => return request.again_as_get(path::LOGOUT, &params),
        None => request.provider().sign_in.logout(&params, &request.browser).await,
    };
    match step {
        Ok(step) => reply(request, step),
        Err(error) => request.error(&error),
    }
}

fn reply(request: BrowserRequest<'_>, step: LogoutStep) -> HttpResponse {
    match step {
        LogoutStep::Ask(form) => ask(&request, form),
        LogoutStep::Ended(Some(after)) => request.signed_out().see_other(&after.uri),
        LogoutStep::Ended(None) => done(&request.signed_out(), true, None),
        LogoutStep::NotSignedIn(after) => done(&request, true, after),
        LogoutStep::Stayed(after) => done(&request, false, after),
    }
}

fn ask(request: &BrowserRequest<'_>, form: LogoutForm) -> HttpResponse {
    let view = LogoutPage {
        issuer_host: request.issuer_host(),
        client_name: form.client_name,
        user_name: Some(form.username),
        tx: form.transaction,
        csrf: form.csrf,
    };
    request.page(200, request.pages().logout(&view), form.redirect_uri.as_deref())
}

fn done(request: &BrowserRequest<'_>, signed_out: bool, after: Option<AfterLogout>) -> HttpResponse {
    let (continue_to, client_name) = after.map(|after| (after.uri, after.client_name)).unzip();
    let view = LoggedOutPage { issuer_host: request.issuer_host(), signed_out, continue_to, client_name };
    request.page(200, request.pages().logged_out(&view), None)
}
