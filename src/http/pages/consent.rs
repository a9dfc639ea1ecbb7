//! `GET|POST /consent` — the consent page (R18, R19).

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    ConsentPage, ScopeLine,
    browser_request::{BrowserRequest, returns_to},
};
use crate::{
    http::{AppState, error::ErrorReply, extract::FormBody},
    protocol::Params,
    provider::{ConsentForm, PageError, Shown},
};

/// Shows the form, or goes on when there is nothing to ask.
pub async fn get(state: Data<AppState>, req: HttpRequest) -> HttpResponse {
    let request = BrowserRequest::new(&req, &state);
    let shown = match Params::parse(req.query_string().as_bytes()) {
        Ok(params) => match params.require("tx") {
            Ok(transaction) => request.provider().sign_in.consent_page(transaction, &request.browser).await,
            Err(error) => Err(PageError::from(error)),
        },
        Err(error) => Err(error.into()),
    };
    match shown {
        Ok(Shown::Page(form)) => page(&request, form),
        Ok(Shown::Step(step)) => request.step(step),
        Err(error) => request.error(&error),
    }
}

/// Takes the person's answer.
pub async fn post(
    state: Data<AppState>,
    req: HttpRequest,
    form: Result<FormBody, ErrorReply>,
) -> HttpResponse {
    let request = BrowserRequest::new(&req, &state);
    let params = match request.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match request.provider().sign_in.consent(&params, &request.browser).await {
        Ok(step) => request.step(step),
        Err(error) => request.error(&error),
    }
}

fn page(request: &BrowserRequest<'_>, form: ConsentForm) -> HttpResponse {
    let view = ConsentPage {
        issuer_host: request.issuer_host(),
        client_name: form.client_name,
        user_name: form.username,
        scopes: ScopeLine::all(&form.scopes),
        resources: form.resources,
        access_lifetime: form.access_lifetime,
        refresh_lifetime: form.refresh_lifetime,
        returns_to: Some(returns_to(&form.redirect_uri)),
        tx: form.transaction,
        csrf: form.csrf,
    };
    request.page(200, request.pages().consent(&view), Some(&form.redirect_uri))
}
