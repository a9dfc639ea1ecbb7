//! A request as its handler sees it, and the one shape of all handlers: from this to a response.

use std::{future::Future, pin::Pin, rc::Rc};

use actix_http::{Request, Response, body::BoxBody};
use actix_web::{
    HttpResponse, ResponseError,
    http::{Method, header::HeaderMap},
};

use super::{
    document::PublicDocuments,
    error::ErrorReply,
    extract::{self, FormBody, JsonBody},
    route,
    state::AppState,
    worker::WorkerContext,
};
use crate::{observe::RouteLabel, protocol::ClientRequest};

/// The response of a handler, not yet finished.
pub(super) type ResponseFuture = Pin<Box<dyn Future<Output = Response<BoxBody>>>>;

/// What answers a method of a route.
pub(super) type Handler = fn(RequestContext) -> ResponseFuture;

/// A request and what its handler needs to answer it.
pub(super) struct RequestContext {
    pub(super) worker: Rc<WorkerContext>,
    /// Its route and method, for metrics.
    pub(super) handle: RouteLabel,
    /// Its route's path, with the names of parameters.
    pub(super) template: &'static str,
    pub(super) request: Request,
}

impl RequestContext {
    pub(super) fn state(&self) -> &AppState {
        &self.worker.state
    }

    pub(super) fn documents(&self) -> &PublicDocuments {
        &self.worker.documents
    }

    pub(super) fn method(&self) -> &Method {
        self.request.method()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.request.head().headers
    }

    pub(super) fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
    }

    /// What stands in the path in place of a parameter, as it was sent.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        route::parameter(self.template, self.request.path(), name)
    }

    /// The Authorization header.
    pub(super) fn authorization(&self) -> Result<Option<&str>, ErrorReply> {
        extract::authorization(self.headers())
    }

    /// The body as a form.
    pub(super) async fn form(&mut self) -> Result<FormBody, ErrorReply> {
        let payload = self.request.take_payload();
        FormBody::read(self.request.head(), payload, (&self.worker, self.handle)).await
    }

    /// What the form and the headers say, read once.
    pub(super) fn client_request<'r>(&'r self, form: &'r FormBody) -> Result<ClientRequest<'r>, ErrorReply> {
        Ok(ClientRequest { authorization: self.authorization()?, form: form.params()? })
    }

    /// The body as JSON.
    pub(super) async fn json(&mut self) -> Result<JsonBody, ErrorReply> {
        let payload = self.request.take_payload();
        JsonBody::read(self.request.head(), payload, (&self.worker, self.handle)).await
    }
}

/// What a handler gives back.
pub(super) trait IntoResponse {
    fn into_response(self) -> Response<BoxBody>;
}

impl IntoResponse for HttpResponse {
    fn into_response(self) -> Response<BoxBody> {
        self.into()
    }
}

impl IntoResponse for Result<HttpResponse, ErrorReply> {
    fn into_response(self) -> Response<BoxBody> {
        self.unwrap_or_else(|failure| failure.error_response()).into()
    }
}

/// Runs a handler.
pub(super) fn respond<F>(
    handler: impl FnOnce(RequestContext) -> F + 'static,
    context: RequestContext,
) -> ResponseFuture
where
    F: Future<Output: IntoResponse> + 'static,
{
    Box::pin(async { handler(context).await.into_response() })
}
