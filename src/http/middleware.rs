//! What happens around every request: its id, its figures, and what becomes of a panic.

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
    Settings, Shared,
    error::Failure,
    front::{Desk, Work},
    pages::visit,
    routes::{self, Listener, ROUTES, RouteIndex},
};
use crate::{
    model::Id,
    observe::{
        Metrics, Rejection, Route, request_id,
        trace::{Arrival, Caller},
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
    known: Vec<Vec<(&'static str, Route)>>,
    unmatched: Route,
}

impl RouteHandles {
    /// Resolves the handles of `ROUTES`.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let of = |(path, methods): &(&'static str, &'static [&'static str])| {
            methods.iter().map(|method| (*method, metrics.route(method, path))).collect()
        };
        Self { known: ROUTES.iter().map(of).collect(), unmatched: metrics.route("", "") }
    }

    pub(super) fn of(&self, index: Option<RouteIndex>, method: &str) -> Route {
        let methods = index.and_then(|index| self.known.get(index.0));
        let known = methods.and_then(|methods| methods.iter().find(|(held, _)| *held == method));
        known.map_or(self.unmatched, |(_, route)| *route)
    }
}

/// How many requests a worker has in hand. What is too much is refused at once: an answer that comes after
/// its client has given up helps nobody, and takes the time of those whose answers would come in time.
pub(super) struct Door {
    inside: Cell<usize>,
    most: usize,
}

impl Door {
    /// The door of one worker, which takes its share of what all may have in hand. Operators always get in.
    pub(super) fn new(settings: &Settings, listener: Listener) -> Self {
        let most = match listener {
            Listener::Public => settings.max_in_flight.div_ceil(settings.workers.max(1)),
            Listener::Operations => usize::MAX,
        };
        Self { inside: Cell::new(0), most }
    }

    fn enter(&self) -> bool {
        let inside = self.inside.get();
        let room = inside < self.most;
        self.inside.set(inside + usize::from(room));
        room
    }

    fn leave(&self) {
        self.inside.set(self.inside.get() - 1);
    }
}

/// A request in hand.
pub(super) struct Inside(Rc<Desk>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.door.leave();
    }
}

/// Whether a request is answered from memory without waiting for anything: shedding it would save nothing.
/// Health checks must tell an overloaded node from a dead one.
fn never_waits(path: &str) -> bool {
    ["/health/", "/.well-known/", "/assets/"].iter().any(|prefix| path.starts_with(prefix))
}

/// Counts a request as under way until it is dropped, also when the client goes away.
struct InFlight<'m>(&'m Metrics);

impl<'m> InFlight<'m> {
    fn begin(metrics: &'m Metrics) -> Self {
        metrics.request_arrived();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.request_left();
    }
}

/// Counts a connection as open until it is dropped.
pub(super) struct Connection(Arc<Metrics>);

impl Connection {
    /// A client has connected.
    pub(super) fn open(metrics: &Arc<Metrics>) -> Self {
        metrics.connected();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// What must be known of a request when it is gone.
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) route: Option<RouteIndex>,
    pub(super) handle: Route,
    head_size: usize,
    never_waits: bool,
    arrival: Arrival,
}

impl Seen {
    pub(super) fn of(request: &Request, desk: &Desk) -> Self {
        let (path, head) = (request.path(), request.head());
        let route = routes::index(path, desk.listener);
        let (head_size, caller) = measure(head);
        // RFC 9110 §5.2: several are one list.
        let state = || head.headers.get_all("tracestate").map(HeaderValue::as_bytes);
        let told = || (known(&head.method), route.map(|index| ROUTES[index.0].0));
        Self {
            method: request.method().clone(),
            route,
            handle: desk.handles.of(route, request.method().as_str()),
            head_size,
            never_waits: never_waits(path),
            arrival: Arrival::of(caller, state, told),
        }
    }
}

/// Lets a request in, or says why not.
pub(super) fn admit(desk: &Rc<Desk>, seen: &Seen) -> Result<Option<Inside>, Failure> {
    let metrics = &desk.shared.provider.metrics;
    if seen.head_size > MAX_HEAD {
        metrics.rejected(Rejection::HeaderTooLarge);
        let error = OauthError::invalid_request("The request head is larger than 16 KiB.");
        return Err(Failure::with_status(431, error));
    }
    if seen.never_waits {
        return Ok(None);
    }
    if !desk.door.enter() {
        metrics.rejected(Rejection::Overload);
        let text = "The server has too many requests in hand. Try again in a moment.";
        return Err(OauthError::new(ErrorCode::TemporarilyUnavailable, text).into());
    }
    Ok(Some(Inside(Rc::clone(desk))))
}

/// Gives each request an id, counts and times it, and turns a panic into a 500.
pub(super) async fn observe(
    desk: &Desk,
    seen: Seen,
    work: Result<(Option<Inside>, Work), Failure>,
) -> Response<BoxBody> {
    let provider = &desk.shared.provider;
    let (began, id) = (Instant::now(), provider.random.id(provider.clock.millis()));
    let under_way = InFlight::begin(&provider.metrics);
    let place = seen.arrival.place();
    // Each of these is handed the place of the one inside: a future that holds another may have room for it
    // twice, and four of them for sixteen.
    let work = pin!(answered(desk, seen.route, work));
    let work = pin!(in_moments(work));
    let mut answer = request_id::scope(id, place, seen.arrival.answer(work)).await;
    drop(under_way);

    let status = answer.status().as_u16();
    provider.metrics.request(seen.handle, status, began.elapsed());
    if let BodySize::Sized(bytes @ 1..) = answer.body().size()
        && seen.method != Method::HEAD
    {
        provider.metrics.response_body(seen.handle, bytes);
    }
    if desk.settings.log_requests {
        let method = seen.method.as_str();
        let route = seen.route.map_or("unmatched", |index| ROUTES[index.0].0);
        let micros = began.elapsed().as_micros() as u64;
        let trace_id = place.map(|place| display(place.trace));
        let span_id = place.map(|place| display(place.span));
        tracing::info!(%method, route, status, micros, request_id = %id, trace_id, span_id, "request");
    }
    seen.arrival.answered(status);
    if status >= 400 {
        name(answer.headers_mut(), id);
    }
    answer
}

/// The handler's answer, or one in its place.
async fn answered(
    desk: &Desk,
    route: Option<RouteIndex>,
    work: Result<(Option<Inside>, Work), Failure>,
) -> Response<BoxBody> {
    let (_inside, work) = match work {
        Ok(work) => work,
        Err(failure) => return instead(&desk.shared, route, &failure),
    };
    let time = desk.settings.request_timeout;
    let work = pin!(deadline::enforce(time, work));
    match caught(&desk.shared.provider.metrics, work).await {
        Ok(Ok(answer)) => answer,
        // Whatever the handler waited for has not looked at the deadline itself.
        Ok(Err(Expired)) => {
            let late = ProviderError::Unavailable(format!("no answer within {time:?}"));
            instead(&desk.shared, route, &late.into())
        }
        Err(panic) => instead(&desk.shared, route, &panic.into()),
    }
}

/// What is answered in place of a handler: a page where people look, JSON for programs.
fn instead(shared: &Shared, route: Option<RouteIndex>, failure: &Failure) -> Response<BoxBody> {
    let answer: HttpResponse = match route {
        Some(index) if routes::is_for_people(index) => visit::unanswered(shared, failure),
        _ => failure.error_response(),
    };
    answer.into()
}

/// Tells the id by which the request is found in the log.
fn name(headers: &mut HeaderMap, id: Id) {
    let value = HeaderValue::from_str(&id.to_string()).expect("a UUID is a header value");
    headers.insert(HeaderName::from_static("x-request-id"), value);
}

/// A panic ends its request with a 500, and nothing else.
async fn caught<F: Future>(metrics: &Metrics, work: F) -> Result<F::Output, ProviderError> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| {
        metrics.panicked();
        ProviderError::Internal("a handler panicked; the request was answered with 500".into())
    })
}

/// The size of a request's head, and what its caller says of a trace. Two who say something say nothing.
fn measure(head: &RequestHead) -> (usize, Option<Caller>) {
    const TRACEPARENT: &str = "traceparent";
    let mut size = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let (mut caller, mut callers) = (None, 0);
    for (name, value) in &head.headers {
        size += name.as_str().len() + value.len() + 4;
        if name.as_str().len() == TRACEPARENT.len() && name.as_str() == TRACEPARENT {
            (caller, callers) = (Caller::read(value.as_bytes()), callers + 1);
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
    fn a_worker_takes_its_share_and_no_more() {
        let door = Door { inside: Cell::new(0), most: 2 };
        assert_eq!([(); 3].map(|()| door.enter()), [true, true, false]);
        door.leave();
        assert!(door.enter());
    }

    #[actix_web::test]
    async fn a_panic_becomes_a_500_and_is_counted() {
        let metrics = Metrics::new(Labels::default());
        let outcome: Result<(), _> = caught(&metrics, async { panic!("on purpose") }).await;
        assert_eq!(Failure::from(outcome.unwrap_err()).status_code(), 500);
        assert!(metrics.encode().contains("chancery_panics_total 1"));
        assert!(caught(&metrics, async { 1 }).await.is_ok());
    }
}
