//! What happens around every request: its id, its metrics, its limits, and the answer after a panic.

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, time::Instant};

use actix_http::{
    Request, RequestHead, Response,
    body::{BodySize, BoxBody, MessageBody as _},
};
use actix_web::{
    HttpResponse, ResponseError,
    http::{
        Method,
        header::{ALLOW, HeaderMap, HeaderName, HeaderValue},
    },
};
use futures_util::FutureExt;
use tracing::field::display;

use super::{
    admission::{InFlightGauge, InFlightPermit},
    browser::request::error_page,
    error::ErrorReply,
    request_context::ResponseFuture,
    route::RouteAudience,
    route_table::{ROUTES, RouteEntry, RouteMatch},
    state::AppState,
    worker::WorkerContext,
};
use crate::{
    model::Id,
    observe::{
        Metrics, Rejection, RouteLabel, request_id,
        trace::{Arrival, TraceParent},
    },
    protocol::{ErrorCode, OauthError},
    provider::ProviderError,
    resilience::{
        deadline::{self, Expired},
        in_moments,
    },
};

/// The largest request head, in bytes (R69).
const MAX_HEAD: usize = 16 * 1024;

/// The metrics' handles of all routes and their methods, resolved once.
pub(super) struct RouteHandles {
    known: Vec<Vec<RouteLabel>>,
    unmatched: RouteLabel,
}

impl RouteHandles {
    /// Resolves the handles of `ROUTES`.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let of =
            |route: &RouteEntry| route.methods().map(|method| metrics.route(method, route.path)).collect();
        Self { known: ROUTES.iter().map(of).collect(), unmatched: metrics.route("", "") }
    }

    fn of(&self, found: Option<RouteMatch>) -> RouteLabel {
        let known = found.and_then(|found| self.known.get(found.index)?.get(found.method?));
        known.copied().unwrap_or(self.unmatched)
    }
}

/// What is still needed of a request after its handler has taken it.
pub(super) struct RequestSummary {
    method: Method,
    route: Option<&'static RouteEntry>,
    pub(super) handle: RouteLabel,
    head_size: usize,
    arrival: Arrival,
}

impl RequestSummary {
    pub(super) fn of(request: &Request, found: Option<RouteMatch>, handles: &RouteHandles) -> Self {
        let (head, route) = (request.head(), found.map(|found| found.route));
        let (head_size, caller) = measure(head);
        // RFC 9110 §5.2: several are one list.
        let tracestate = || head.headers.get_all("tracestate").map(HeaderValue::as_bytes);
        let told = || (known(&head.method), route.map(|route| route.path));
        Self {
            method: request.method().clone(),
            route,
            handle: handles.of(found),
            head_size,
            arrival: Arrival::of(caller, tracestate, told),
        }
    }
}

/// Admits a request, or says why it is refused.
pub(super) fn admit(
    worker: &WorkerContext,
    summary: &RequestSummary,
) -> Result<Option<InFlightPermit>, ErrorReply> {
    let metrics = &worker.state.provider.metrics;
    if summary.head_size > MAX_HEAD {
        metrics.rejected(Rejection::HeaderTooLarge);
        let error = OauthError::invalid_request("The request head is larger than 16 KiB.");
        return Err(ErrorReply::with_status(431, error));
    }
    if summary.route.is_some_and(|route| route.from_memory) {
        return Ok(None);
    }
    if let Some(permit) = worker.in_flight.try_acquire() {
        return Ok(Some(permit));
    }
    metrics.rejected(Rejection::Overload);
    let text = "The server has too many concurrent requests. Try again in a moment.";
    Err(OauthError::new(ErrorCode::TemporarilyUnavailable, text).into())
}

/// Gives each request an id, counts and times it, and turns a panic into a 500.
pub(super) async fn observe(
    worker: &WorkerContext,
    summary: RequestSummary,
    work: Result<(Option<InFlightPermit>, ResponseFuture), ErrorReply>,
) -> Response<BoxBody> {
    let provider = &worker.state.provider;
    let (began, id) = (Instant::now(), provider.random.id(provider.clock.millis()));
    let gauge = InFlightGauge::begin(&provider.metrics);
    let place = summary.arrival.position();
    // Each of these is handed the place of the one inside: a future that holds another may have room for it
    // twice, and four of them for sixteen.
    let work = pin!(answered(worker, summary.route, work));
    let work = pin!(in_moments(work));
    let mut answer = request_id::scope(id, place, summary.arrival.answer(work)).await;
    drop(gauge);

    let status = answer.status().as_u16();
    provider.metrics.request(summary.handle, status, began.elapsed());
    if let BodySize::Sized(bytes @ 1..) = answer.body().size()
        && summary.method != Method::HEAD
    {
        provider.metrics.response_body(summary.handle, bytes);
    }
    if worker.settings.log_requests {
        let method = summary.method.as_str();
        let route = summary.route.map_or("unmatched", |route| route.path);
        let micros = began.elapsed().as_micros() as u64;
        let trace_id = place.map(|place| display(place.trace));
        let span_id = place.map(|place| display(place.span));
        tracing::info!(%method, route, status, micros, request_id = %id, trace_id, span_id, "request");
    }
    summary.arrival.answered(status);
    if status >= 400 {
        add_request_id(answer.headers_mut(), id);
    }
    answer
}

/// The handler's answer, or one in its place.
async fn answered(
    worker: &WorkerContext,
    route: Option<&'static RouteEntry>,
    work: Result<(Option<InFlightPermit>, ResponseFuture), ErrorReply>,
) -> Response<BoxBody> {
    let (_permit, work) = match work {
        Ok(work) => work,
        Err(failure) => return error_answer(&worker.state, route, &failure),
    };
    let time = worker.settings.request_timeout;
    let work = pin!(deadline::enforce(time, work));
    match catch_panic(&worker.state.provider.metrics, work).await {
        Ok(Ok(answer)) => answer,
        // What the handler waited for does not observe the deadline itself.
        Ok(Err(Expired)) => {
            let late = ProviderError::Unavailable(format!("no answer within {time:?}"));
            error_answer(&worker.state, route, &late.into())
        }
        Err(panic) => error_answer(&worker.state, route, &panic.into()),
    }
}

/// What is answered in place of a handler: a page for people, JSON for programs.
fn error_answer(state: &AppState, route: Option<&RouteEntry>, failure: &ErrorReply) -> Response<BoxBody> {
    let answer: HttpResponse = match route.map(|route| route.audience) {
        Some(RouteAudience::Person) => error_page(state, failure),
        Some(RouteAudience::Program | RouteAudience::Operator) | None => failure.error_response(),
    };
    answer.into()
}

/// RFC 9110 §15.5.6: with the methods that the route has.
pub(super) fn not_allowed(state: &AppState, route: &RouteEntry) -> Response<BoxBody> {
    let error = OauthError::invalid_request("This method is not allowed here.");
    let mut answer = error_answer(state, Some(route), &ErrorReply::with_status(405, error));
    let methods: Vec<_> = route.methods().collect();
    let allow = HeaderValue::from_maybe_shared(methods.join(", ")).expect("method names are header values");
    answer.headers_mut().insert(ALLOW, allow);
    answer
}

/// Adds the id by which the request is found in the log.
fn add_request_id(headers: &mut HeaderMap, id: Id) {
    let value = HeaderValue::from_str(&id.to_string()).expect("a UUID is a header value");
    headers.insert(HeaderName::from_static("x-request-id"), value);
}

/// A panic ends its request with a 500, and nothing else.
async fn catch_panic<F: Future>(metrics: &Metrics, work: F) -> Result<F::Output, ProviderError> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| {
        metrics.panicked();
        ProviderError::Internal("a handler panicked; answering 500".into())
    })
}

/// The size of a request's head, and its trace context; `None` if `traceparent` is given twice.
fn measure(head: &RequestHead) -> (usize, Option<TraceParent>) {
    const TRACEPARENT: &str = "traceparent";
    let mut size = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let (mut caller, mut callers) = (None, 0);
    for (name, value) in &head.headers {
        size += name.as_str().len() + value.len() + 4;
        if name.as_str().len() == TRACEPARENT.len() && name.as_str() == TRACEPARENT {
            (caller, callers) = (TraceParent::read(value.as_bytes()), callers + 1);
        }
    }
    (size, caller.filter(|_| callers == 1))
}

/// A method by a name of ours: clients may make up any.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Labels;

    #[actix_web::test]
    async fn a_panic_becomes_a_500_and_is_counted() {
        let metrics = Metrics::new(Labels::default());
        let outcome: Result<(), _> = catch_panic(&metrics, async { panic!("on purpose") }).await;
        assert_eq!(ErrorReply::from(outcome.unwrap_err()).status_code(), 500);
        assert!(metrics.encode().contains("chancery_panics_total 1"));
        assert!(catch_panic(&metrics, async { 1 }).await.is_ok());
    }
}
