//! Where every request of a listener arrives. What programs ask for is answered here; what is left goes on to
//! actix-web, whose router, extractors and request types cost more than most of these answers.

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
    Settings, Shared,
    error::Failure,
    extract::{self, Form, Json},
    middleware::{self, Door, RouteHandles, Seen},
    routes::{self, Listener},
    well_known::Metadata,
};
use crate::observe::Route;

/// An answer on its way.
pub(super) type Work = Pin<Box<dyn Future<Output = Response<BoxBody>>>>;

/// What a worker answers the requests of its listener with.
pub(super) struct Desk {
    pub(super) shared: Shared,
    pub(super) settings: Settings,
    pub(super) listener: Listener,
    pub(super) handles: RouteHandles,
    pub(super) door: Door,
    pub(super) metadata: Metadata,
}

impl Desk {
    pub(super) fn new(shared: &Shared, settings: &Settings, listener: Listener) -> Rc<Self> {
        #[cfg(feature = "profiling")]
        crate::observe::profile::watch_runtime(listener.as_str());
        Rc::new(Self {
            shared: shared.clone(),
            settings: settings.clone(),
            listener,
            handles: RouteHandles::new(&shared.provider.metrics),
            door: Door::new(settings, listener),
            metadata: Metadata::default(),
        })
    }
}

/// A request that is answered here.
pub(super) struct Call {
    desk: Rc<Desk>,
    handle: Route,
    request: Request,
}

impl Call {
    pub(super) fn shared(&self) -> &Shared {
        &self.desk.shared
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.desk.metadata
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.request.head().headers
    }

    pub(super) fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
    }

    /// The Authorization header.
    pub(super) fn authorization(&self) -> Result<Option<&str>, Failure> {
        extract::authorization(self.headers())
    }

    /// The body as a form.
    pub(super) async fn form(&mut self) -> Result<Form, Failure> {
        let payload = self.request.take_payload();
        Form::read(self.request.head(), payload, (&self.desk, self.handle)).await
    }

    /// The body as JSON.
    pub(super) async fn json(&mut self) -> Result<Json, Failure> {
        let payload = self.request.take_payload();
        Json::read(self.request.head(), payload, (&self.desk, self.handle)).await
    }
}

/// What a handler gives back.
pub(super) trait Answer {
    fn into_response(self) -> Response<BoxBody>;
}

impl Answer for HttpResponse {
    fn into_response(self) -> Response<BoxBody> {
        self.into()
    }
}

impl Answer for Result<HttpResponse, Failure> {
    fn into_response(self) -> Response<BoxBody> {
        self.unwrap_or_else(|failure| failure.error_response()).into()
    }
}

/// A handler at work.
pub(super) fn work<F>(handler: impl FnOnce(Call) -> F + 'static, call: Call) -> Work
where
    F: Future<Output: Answer> + 'static,
{
    Box::pin(async { handler(call).await.into_response() })
}

/// The door of a worker, before its actix-web application.
pub(super) struct Front<A> {
    app: A,
    desk: Rc<Desk>,
}

impl<A> Front<A> {
    pub(super) fn new(app: A, desk: Rc<Desk>) -> Self {
        Self { app, desk }
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

impl<A: Application> Front<A> {
    fn begin(&self, seen: &Seen, request: Request) -> Work {
        let call = Call { desk: Rc::clone(&self.desk), handle: seen.handle, request };
        routes::program(seen, call).unwrap_or_else(|call| {
            let answer = self.app.call(call.request);
            Box::pin(async { answer.await.map_or_else(|error| error.error_response().into(), Into::into) })
        })
    }
}

impl<A: Application> Service<Request> for Front<A> {
    type Response = Response<BoxBody>;
    type Error = Response<BoxBody>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.app.poll_ready(context).map_err(|error| error.error_response().into())
    }

    fn call(&self, request: Request) -> Self::Future {
        let desk = Rc::clone(&self.desk);
        let seen = Seen::of(&request, &desk);
        let work = middleware::admit(&desk, &seen).map(|inside| (inside, self.begin(&seen, request)));
        Box::pin(async move { Ok(middleware::observe(&desk, seen, work).await) })
    }
}
