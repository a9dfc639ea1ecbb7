//! The dispatcher of a listener: every request arrives here. The routes of programs are answered here; the rest
//! goes on to actix-web, whose router, extractors and request types cost more than most of these answers.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{Request, Response, body::BoxBody};
use actix_service::Service;
use actix_web::{HttpResponse, ResponseError, dev::ServiceResponse, http::header::HeaderMap};

use super::{
    AppState, Settings,
    error::ErrorReply,
    extract::{self, FormBody, JsonBody},
    middleware::{self, InFlightLimit, RequestSummary, RouteHandles},
    route_table::{self, Listener},
    well_known::Metadata,
};
use crate::{observe::RouteLabel, protocol::ClientRequest};

/// The response of a handler, not yet finished.
pub(super) type ResponseFuture = Pin<Box<dyn Future<Output = Response<BoxBody>>>>;

/// What a worker needs to answer the requests of its listener.
pub(super) struct WorkerContext {
    pub(super) state: AppState,
    pub(super) settings: Settings,
    pub(super) listener: Listener,
    pub(super) handles: RouteHandles,
    pub(super) in_flight: InFlightLimit,
    pub(super) metadata: Metadata,
}

impl WorkerContext {
    pub(super) fn new(state: &AppState, settings: &Settings, listener: Listener) -> Rc<Self> {
        #[cfg(feature = "profiling")]
        crate::observe::profile::watch_runtime(listener.as_str());
        Rc::new(Self {
            state: state.clone(),
            settings: settings.clone(),
            listener,
            handles: RouteHandles::new(&state.provider.metrics),
            in_flight: InFlightLimit::new(settings, listener),
            metadata: Metadata::default(),
        })
    }
}

/// A request and what its handler needs to answer it.
pub(super) struct RequestContext {
    worker: Rc<WorkerContext>,
    handle: RouteLabel,
    request: Request,
}

impl RequestContext {
    pub(super) fn state(&self) -> &AppState {
        &self.worker.state
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.worker.metadata
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.request.head().headers
    }

    pub(super) fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
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
pub(super) fn work<F>(
    handler: impl FnOnce(RequestContext) -> F + 'static,
    context: RequestContext,
) -> ResponseFuture
where
    F: Future<Output: IntoResponse> + 'static,
{
    Box::pin(async { handler(context).await.into_response() })
}

/// The dispatcher of a worker, in front of its actix-web application.
pub(super) struct Dispatcher<A> {
    app: A,
    worker: Rc<WorkerContext>,
}

impl<A> Dispatcher<A> {
    pub(super) fn new(app: A, worker: Rc<WorkerContext>) -> Self {
        Self { app, worker }
    }
}

/// An actix-web application.
pub(super) trait Application:
    Service<Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error, Future: 'static> + 'static
{
}

impl<A> Application for A where
    A: Service<Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error, Future: 'static>
        + 'static
{
}

impl<A: Application> Dispatcher<A> {
    fn begin(&self, summary: &RequestSummary, request: Request) -> ResponseFuture {
        let context = RequestContext { worker: Rc::clone(&self.worker), handle: summary.handle, request };
        route_table::program(summary, context).unwrap_or_else(|context| {
            let answer = self.app.call(context.request);
            Box::pin(async { answer.await.map_or_else(|error| error.error_response().into(), Into::into) })
        })
    }
}

impl<A: Application> Service<Request> for Dispatcher<A> {
    type Response = Response<BoxBody>;
    type Error = Response<BoxBody>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.app.poll_ready(context).map_err(|error| error.error_response().into())
    }

    fn call(&self, request: Request) -> Self::Future {
        let worker = Rc::clone(&self.worker);
        let summary = RequestSummary::of(&request, &worker);
        let work = middleware::admit(&worker, &summary).map(|permit| (permit, self.begin(&summary, request)));
        Box::pin(async move { Ok(middleware::observe(&worker, summary, work).await) })
    }
}
