//! `GET|POST /login` — the sign-in page.

use actix_web::HttpResponse;

use super::request::BrowserRequest;
use crate::{
    http::{
        pages::{LoginError, LoginPage},
        request_context::RequestContext,
    },
    protocol::Params,
    provider::{Login, LoginFault, LoginForm, Shown},
};

/// Shows the form, or goes on when there is nothing to ask.
pub(in crate::http) async fn get(context: RequestContext) -> HttpResponse {
    let request = BrowserRequest::new(&context);
    let params = match Params::parse(context.query().as_bytes()) {
        Ok(params) => params,
        Err(error) => return request.error(&error.into()),
    };
    match request.provider().sign_in.login_page(params.get("tx"), &request.browser).await {
        Ok(Some(Shown::Page(form))) => page(&request, form, None),
        Ok(Some(Shown::Step(step))) => request.step(step),
        Ok(None) => request.see_other("/account"),
        Err(error) => request.error(&error),
    }
}

/// Signs in.
pub(in crate::http) async fn post(mut context: RequestContext) -> HttpResponse {
    let form = context.form().await;
    let request = BrowserRequest::new(&context);
    let params = match request.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match request.provider().sign_in.login(&params, &request.browser).await {
        Ok(Login::SignedIn { cookie, step }) => {
            let request = request.signed_in(cookie.expose());
            match step {
                Ok(Some(step)) => request.step(step),
                Ok(None) => request.see_other("/account"),
                Err(error) => request.error(&error),
            }
        }
        Ok(Login::Again(form, fault)) => page(&request, form, Some(fault)),
        Ok(Login::Cancelled(step)) => request.step(step),
        Err(error) => request.error(&error),
    }
}

fn page(request: &BrowserRequest<'_>, form: LoginForm, fault: Option<LoginFault>) -> HttpResponse {
    let (status, error) = match fault {
        None => (200, None),
        Some(LoginFault::Credentials) => (400, Some(LoginError::Credentials)),
        Some(LoginFault::Busy) => (503, Some(LoginError::Busy)),
    };
    let view = LoginPage {
        issuer_host: request.issuer_host(),
        client_name: form.client_name,
        tx: form.transaction,
        csrf: form.csrf,
        username: form.username,
        error,
    };
    request.page(status, request.pages().login(&view), form.redirect_uri.as_deref())
}
