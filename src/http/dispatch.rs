//! The dispatcher of a listener: every request arrives here and goes to the handler that the route table names.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{Request, Response, body::BoxBody};
use actix_service::Service;

use super::{
    error::not_found,
    middleware::{self, RequestSummary, RouteHandles},
    request_context::{RequestContext, ResponseFuture},
    route_table::{self, RouteMatch},
    worker::WorkerContext,
};

/// The dispatcher of a worker.
pub(super) struct Dispatcher {
    worker: Rc<WorkerContext>,
    handles: RouteHandles,
}

impl Dispatcher {
    pub(super) fn new(worker: Rc<WorkerContext>) -> Self {
        let handles = RouteHandles::new(&worker.state.provider.metrics);
        Self { worker, handles }
    }

    /// The handler's response, or the one for a path or a method that there is not.
    fn respond(
        &self,
        found: Option<RouteMatch>,
        summary: &RequestSummary,
        request: Request,
    ) -> ResponseFuture {
        let Some(found) = found else { return Box::pin(async { not_found().into() }) };
        let worker = Rc::clone(&self.worker);
        match found.handler() {
            Some(handler) => {
                let (handle, template) = (summary.handle, found.route.path);
                handler(RequestContext { worker, handle, template, request })
            }
            None => Box::pin(async move { middleware::not_allowed(&worker.state, found.route) }),
        }
    }
}

impl Service<Request> for Dispatcher {
    type Response = Response<BoxBody>;
    type Error = Response<BoxBody>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, request: Request) -> Self::Future {
        let worker = Rc::clone(&self.worker);
        let found = route_table::find(request.path(), request.method().as_str(), worker.listener);
        let summary = RequestSummary::of(&request, found, &self.handles);
        let work = middleware::admit(&worker, &summary)
            .map(|permit| (permit, self.respond(found, &summary, request)));
        Box::pin(async move { Ok(middleware::observe(&worker, summary, work).await) })
    }
}
