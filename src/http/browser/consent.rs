//! `GET|POST /consent` — the consent page (R18, R19).

use actix_web::HttpResponse;

use super::request::{BrowserRequest, returns_to};
use crate::{
    http::{
        pages::{ConsentPage, ScopeLine},
        request_context::RequestContext,
    },
    protocol::Params,
    provider::{ConsentForm, PageError, Shown},
};

/// Shows the form, or goes on when there is nothing to ask.
pub(in crate::http) async fn get(context: RequestContext) -> HttpResponse {
    let request = BrowserRequest::new(&context);
    let shown = match Params::parse(context.query().as_bytes()) {
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
pub(in crate::http) async fn post(mut context: RequestContext) -> HttpResponse {
    let form = context.form().await;
    let request = BrowserRequest::new(&context);
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
