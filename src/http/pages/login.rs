//! `GET|POST /login` — the sign-in page.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{LoginError, LoginPage, visit::Visit};
use crate::{
    http::{Shared, error::Failure, extract::Form},
    protocol::Params,
    provider::{Login, LoginFault, LoginForm, Shown},
};

/// Shows the form, or goes on when there is nothing to ask.
pub async fn get(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    let params = match Params::parse(req.query_string().as_bytes()) {
        Ok(params) => params,
        Err(error) => return visit.error(&error.into()),
    };
    match visit.provider().login_page(params.get("tx"), &visit.browser).await {
        Ok(Some(Shown::Page(form))) => page(&visit, form, None),
        Ok(Some(Shown::Step(step))) => visit.step(step),
        Ok(None) => visit.see_other("/account"),
        Err(error) => visit.error(&error),
    }
}

/// Signs in.
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Result<Form, Failure>) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    let params = match visit.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match visit.provider().login(&params, &visit.browser).await {
        Ok(Login::SignedIn { cookie, step }) => {
            let visit = visit.signed_in(cookie.expose());
            match step {
                Ok(Some(step)) => visit.step(step),
                Ok(None) => visit.see_other("/account"),
                Err(error) => visit.error(&error),
            }
        }
        Ok(Login::Again(form, fault)) => page(&visit, form, Some(fault)),
        Ok(Login::Cancelled(step)) => visit.step(step),
        Err(error) => visit.error(&error),
    }
}

fn page(visit: &Visit<'_>, form: LoginForm, fault: Option<LoginFault>) -> HttpResponse {
    let (status, error) = match fault {
        None => (200, None),
        Some(LoginFault::Credentials) => (400, Some(LoginError::Credentials)),
        Some(LoginFault::Busy) => (503, Some(LoginError::Busy)),
    };
    let view = LoginPage {
        issuer_host: visit.issuer_host(),
        client_name: form.client_name,
        tx: form.transaction,
        csrf: form.csrf,
        username: form.username,
        error,
    };
    visit.page(status, visit.pages().login(&view), form.redirect_uri.as_deref())
}
