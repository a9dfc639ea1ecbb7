//! `GET|POST /consent` — the consent page (R18, R19).

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    ConsentPage, ScopeLine,
    visit::{Visit, returns_to},
};
use crate::{
    http::{Shared, error::Failure, extract::Form},
    protocol::Params,
    provider::{ConsentForm, PageError, Shown},
};

/// Shows the form, or goes on when there is nothing to ask.
pub async fn get(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    let shown = match Params::parse(req.query_string().as_bytes()) {
        Ok(params) => match params.require("tx") {
            Ok(transaction) => visit.provider().consent_page(transaction, &visit.browser).await,
            Err(error) => Err(PageError::from(error)),
        },
        Err(error) => Err(error.into()),
    };
    match shown {
        Ok(Shown::Page(form)) => page(&visit, form),
        Ok(Shown::Step(step)) => visit.step(step),
        Err(error) => visit.error(&error),
    }
}

/// Takes the person's answer.
pub async fn post(shared: Data<Shared>, req: HttpRequest, form: Result<Form, Failure>) -> HttpResponse {
    let visit = Visit::new(&req, &shared);
    let params = match visit.posted(&form) {
        Ok(params) => params,
        Err(page) => return page,
    };
    match visit.provider().consent(&params, &visit.browser).await {
        Ok(step) => visit.step(step),
        Err(error) => visit.error(&error),
    }
}

fn page(visit: &Visit<'_>, form: ConsentForm) -> HttpResponse {
    let view = ConsentPage {
        issuer_host: visit.issuer_host(),
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
    visit.page(200, visit.pages().consent(&view), Some(&form.redirect_uri))
}
