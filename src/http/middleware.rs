//! What happens around every request: its id, its metrics, its limits, and the answer after a panic.

use std::{cell::Cell, future::Future, panic::AssertUnwindSafe, pin::pin, rc::Rc, sync::Arc, time::Instant};

use actix_http::{
    Request, RequestHead, Response,
    body::{BodySize, BoxBody, MessageBody as _},
};
use actix_web::{
    HttpResponse, ResponseError,
    http::{
        Method,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
};
use futures_util::FutureExt;
use tracing::field::display;

use super::{
    AppState, Settings,
    dispatch::{ResponseFuture, WorkerContext},
    error::ErrorReply,
    pages::browser_request,
    route_table::{self, Listener, ROUTES, RouteIndex},
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

/// The metrics' handles of all routes, resolved once.
pub(super) struct RouteHandles {
    known: Vec<Vec<(&'static str, RouteLabel)>>,
    unmatched: RouteLabel,
}

impl RouteHandles {
    /// Resolves the handles of `ROUTES`.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let of = |(path, methods): &(&'static str, &'static [&'static str])| {
            methods.iter().map(|method| (*method, metrics.route(method, path))).collect()
        };
        Self { known: ROUTES.iter().map(of).collect(), unmatched: metrics.route("", "") }
    }

    pub(super) fn of(&self, index: Option<RouteIndex>, method: &str) -> RouteLabel {
        let methods = index.and_then(|index| self.known.get(index.0));
        let known = methods.and_then(|methods| methods.iter().find(|(held, _)| *held == method));
        known.map_or(self.unmatched, |(_, route)| *route)
    }
}

/// The limit of requests in flight of one worker. Excess requests are refused at once: an answer that comes
/// after its client has given up is useless, and takes time from requests that could be answered in time.
pub(super) struct InFlightLimit {
    in_flight: Cell<usize>,
    limit: usize,
}

impl InFlightLimit {
    /// The limit of one worker: its share of the limit of all. The operations listener has none.
    pub(super) fn new(settings: &Settings, listener: Listener) -> Self {
        let limit = match listener {
            Listener::Public => settings.max_in_flight.div_ceil(settings.workers.max(1)),
            Listener::Operations => usize::MAX,
        };
        Self { in_flight: Cell::new(0), limit }
    }

    fn try_acquire(&self) -> bool {
        let in_flight = self.in_flight.get();
        let free = in_flight < self.limit;
        self.in_flight.set(in_flight + usize::from(free));
        free
    }

    fn release(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }
}

/// A request that counts as in flight until this is dropped.
pub(super) struct InFlightPermit(Rc<WorkerContext>);

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.0.in_flight.release();
    }
}

/// Whether a request is answered from memory without waiting for anything: shedding it would save nothing.
/// Health checks must tell an overloaded node from a dead one.
fn never_waits(path: &str) -> bool {
    ["/health/", "/.well-known/", "/assets/"].iter().any(|prefix| path.starts_with(prefix))
}

/// Counts a request in the metrics until it is dropped, also when the client goes away.
struct InFlightGauge<'m>(&'m Metrics);

impl<'m> InFlightGauge<'m> {
    fn begin(metrics: &'m Metrics) -> Self {
        metrics.request_arrived();
        Self(metrics)
    }
}

impl Drop for InFlightGauge<'_> {
    fn drop(&mut self) {
        self.0.request_left();
    }
}

/// Counts a connection as open until it is dropped.
pub(super) struct ConnectionGauge(Arc<Metrics>);

impl ConnectionGauge {
    /// Counts a new connection.
    pub(super) fn open(metrics: &Arc<Metrics>) -> Self {
        metrics.connected();
        Self(Arc::clone(metrics))
    }
}

impl Drop for ConnectionGauge {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// What is still needed of a request after its handler has taken it.
pub(super) struct RequestSummary {
    pub(super) method: Method,
    pub(super) route: Option<RouteIndex>,
    pub(super) handle: RouteLabel,
    head_size: usize,
    never_waits: bool,
    arrival: Arrival,
}

impl RequestSummary {
    pub(super) fn of(request: &Request, worker: &WorkerContext) -> Self {
        let (path, head) = (request.path(), request.head());
        let route = route_table::index(path, worker.listener);
        let (head_size, caller) = measure(head);
        // RFC 9110 §5.2: several are one list.
        let tracestate = || head.headers.get_all("tracestate").map(HeaderValue::as_bytes);
        let told = || (known(&head.method), route.map(|index| ROUTES[index.0].0));
        Self {
            method: request.method().clone(),
            route,
            handle: worker.handles.of(route, request.method().as_str()),
            head_size,
            never_waits: never_waits(path),
            arrival: Arrival::of(caller, tracestate, told),
        }
    }
}

/// Admits a request, or says why it is refused.
pub(super) fn admit(
    worker: &Rc<WorkerContext>,
    summary: &RequestSummary,
) -> Result<Option<InFlightPermit>, ErrorReply> {
    let metrics = &worker.state.provider.metrics;
    if summary.head_size > MAX_HEAD {
        metrics.rejected(Rejection::HeaderTooLarge);
        let error = OauthError::invalid_request("The request head is larger than 16 KiB.");
        return Err(ErrorReply::with_status(431, error));
    }
    if summary.never_waits {
        return Ok(None);
    }
    if !worker.in_flight.try_acquire() {
        metrics.rejected(Rejection::Overload);
        let text = "The server has too many requests in hand. Try again in a moment.";
        return Err(OauthError::new(ErrorCode::TemporarilyUnavailable, text).into());
    }
    Ok(Some(InFlightPermit(Rc::clone(worker))))
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
        let route = summary.route.map_or("unmatched", |index| ROUTES[index.0].0);
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
    route: Option<RouteIndex>,
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
fn error_answer(state: &AppState, route: Option<RouteIndex>, failure: &ErrorReply) -> Response<BoxBody> {
    let answer: HttpResponse = match route {
        Some(index) if route_table::is_for_people(index) => browser_request::unanswered(state, failure),
        _ => failure.error_response(),
    };
    answer.into()
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

    #[test]
    fn a_worker_admits_its_share_and_no_more() {
        let limit = InFlightLimit { in_flight: Cell::new(0), limit: 2 };
        assert_eq!([(); 3].map(|()| limit.try_acquire()), [true, true, false]);
        limit.release();
        assert!(limit.try_acquire());
    }

    #[actix_web::test]
    async fn a_panic_becomes_a_500_and_is_counted() {
        let metrics = Metrics::new(Labels::default());
        let outcome: Result<(), _> = catch_panic(&metrics, async { panic!("on purpose") }).await;
        assert_eq!(ErrorReply::from(outcome.unwrap_err()).status_code(), 500);
        assert!(metrics.encode().contains("chancery_panics_total 1"));
        assert!(catch_panic(&metrics, async { 1 }).await.is_ok());
    }
}
