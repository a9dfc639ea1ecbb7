//! OpenID Connect RP-Initiated Logout 1.0 — `GET|POST /oauth/logout`.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    http::{
        Shared,
        error::Failure,
        extract::Form,
        pages::{LoggedOutPage, LogoutPage, visit::Visit},
    },
    protocol::{Params, discovery::path, logout::AfterLogout},
    provider::{LogoutForm, LogoutStep},
};

/// A client's request, or the person's own.
pub async fn get(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    let params = match Params::parse(req.query_string().as_bytes()) {
        Ok(params) => params,
        Err(error) => return visit.error(&error.into()),
    };
    match visit.provider().logout(&params, &visit.browser).await {
        Ok(step) => reply(visit, step),
        Err(error) => visit.error(&error),
    }
}

/// A client's request in a form body, or the answer to our own page, which has an `action`.
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Result<Form, Failure>) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    let params = match visit.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    let step = match params.get("action") {
        Some(_) => visit.provider().confirm_logout(&params, &visit.browser).await,
        None if visit.is_new() => return visit.again_as_get(path::LOGOUT, &params),
        None => visit.provider().logout(&params, &visit.browser).await,
    };
    match step {
        Ok(step) => reply(visit, step),
        Err(error) => visit.error(&error),
    }
}

fn reply(visit: Visit<'_>, step: LogoutStep) -> HttpResponse {
    match step {
        LogoutStep::Ask(form) => ask(&visit, form),
        LogoutStep::Ended(Some(after)) => visit.signed_out().see_other(&after.uri),
        LogoutStep::Ended(None) => done(&visit.signed_out(), true, None),
        LogoutStep::Nobody(after) => done(&visit, true, after),
        LogoutStep::Stayed(after) => done(&visit, false, after),
    }
}

fn ask(visit: &Visit<'_>, form: LogoutForm) -> HttpResponse {
    let view = LogoutPage {
        issuer_host: visit.issuer_host(),
        client_name: form.client_name,
        user_name: Some(form.username),
        tx: form.transaction,
        csrf: form.csrf,
    };
    visit.page(200, visit.pages().logout(&view), form.redirect_uri.as_deref())
}

fn done(visit: &Visit<'_>, signed_out: bool, after: Option<AfterLogout>) -> HttpResponse {
    let (continue_to, client_name) = after.map(|after| (after.uri, after.client_name)).unzip();
    let view = LoggedOutPage { issuer_host: visit.issuer_host(), signed_out, continue_to, client_name };
    visit.page(200, visit.pages().logged_out(&view), None)
}
