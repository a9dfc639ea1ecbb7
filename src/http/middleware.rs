//! What happens around every request: its id, its figures, and what becomes of a panic.

use std::{cell::Cell, future::Future, panic::AssertUnwindSafe, rc::Rc, sync::Arc, time::Instant};

use actix_web::{
    Error, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt;

use super::{
    Settings, Shared,
    error::Failure,
    pages::visit,
    routes::{self, ROUTES},
};
use crate::{
    model::Id,
    observe::{Metrics, Rejection, Route, request_id},
    protocol::{ErrorCode, OauthError},
    provider::ProviderError,
    resilience::{
        deadline::{self, Expired},
        in_moments,
    },
};

/// The largest request head, in bytes (R69).
const MAX_HEAD: usize = 16 * 1024;

/// The place of a resource in `ROUTES`, kept with the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteIndex(pub usize);

/// The metrics' handles of all routes, resolved once.
pub struct RouteHandles {
    known: Vec<Vec<(&'static str, Route)>>,
    unmatched: Route,
}

impl RouteHandles {
    /// Resolves the handles of `ROUTES`.
    pub fn new(metrics: &Metrics) -> Self {
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
pub struct Door {
    inside: Cell<usize>,
    most: usize,
}

impl Door {
    /// The door of one worker, which takes its share of what all may have in hand.
    pub fn new(settings: &Settings) -> Rc<Self> {
        Rc::new(Self { inside: Cell::new(0), most: settings.max_in_flight.div_ceil(settings.workers.max(1)) })
    }

    fn enter(self: &Rc<Self>) -> Option<Inside> {
        let inside = self.inside.get();
        (inside < self.most).then(|| {
            self.inside.set(inside + 1);
            Inside(Rc::clone(self))
        })
    }
}

/// A request in hand.
struct Inside(Rc<Door>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
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
pub struct Connection(Arc<Metrics>);

impl Connection {
    /// A client has connected.
    pub fn open(metrics: &Arc<Metrics>) -> Self {
        metrics.connected();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// Gives each request an id, counts and times it, and turns a panic into a 500.
pub async fn observe(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let shared = req.app_data::<Data<Shared>>().expect("start() gives every app its Shared").clone();
    let handles = req.app_data::<Data<RouteHandles>>().expect("start() gives every app its handles").clone();
    let provider = &shared.provider;
    let (began, id) = (Instant::now(), provider.random.id(provider.clock.millis()));
    // A request that its handler does not answer is gone, and with it what it knew of its route.
    let (method, asked_for) = (req.method().clone(), routes::index(req.path()));
    let log_requests = settings(&req).log_requests;
    let under_way = InFlight::begin(&provider.metrics);
    let mut answer = request_id::scope(id, in_moments(answered(req, next, &shared, asked_for))).await;
    drop(under_way);

    let (index, status) = match &answer {
        Ok(answer) => (answer.request().app_data::<RouteIndex>().copied(), answer.status()),
        Err(error) => (asked_for, error.as_response_error().status_code()),
    };
    let (status, route) = (status.as_u16(), handles.of(index, method.as_str()));
    provider.metrics.request(route, status, began.elapsed());
    if let Ok(answer) = &answer
        && let BodySize::Sized(bytes @ 1..) = answer.response().body().size()
        && method != Method::HEAD
    {
        provider.metrics.response_body(route, bytes);
    }
    if log_requests {
        let route = index.map_or("unmatched", |index| ROUTES[index.0].0);
        let micros = began.elapsed().as_micros() as u64;
        tracing::info!(%method, route, status, micros, request_id = %id, "request");
    }
    if let Ok(answer) = &mut answer
        && status >= 400
    {
        name(answer.headers_mut(), id);
    }
    answer
}

/// The handler's answer. An error is the answer to a request that its handler did not answer.
async fn answered(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    shared: &Shared,
    asked_for: Option<RouteIndex>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let metrics = &shared.provider.metrics;
    let instead = |failure| Err(instead(shared, asked_for, failure));
    if head_size(&req) > MAX_HEAD {
        metrics.rejected(Rejection::HeaderTooLarge);
        let error = OauthError::invalid_request("The request head is larger than 16 KiB.");
        return instead(Failure::with_status(431, error));
    }
    // Only the public listener has a door.
    let door = req.app_data::<Rc<Door>>().filter(|_| !never_waits(req.path())).cloned();
    let inside = door.as_ref().map(Door::enter);
    if matches!(inside, Some(None)) {
        metrics.rejected(Rejection::Overload);
        let text = "The server has too many requests in hand. Try again in a moment.";
        return instead(OauthError::new(ErrorCode::TemporarilyUnavailable, text).into());
    }
    let time = settings(&req).request_timeout;
    match caught(metrics, deadline::enforce(time, next.call(req))).await {
        Ok(Ok(answer)) => answer.map(ServiceResponse::map_into_boxed_body),
        // Whatever the handler waited for has not looked at the deadline itself.
        Ok(Err(Expired)) => instead(ProviderError::Unavailable(format!("no answer within {time:?}")).into()),
        Err(panic) => instead(panic.into()),
    }
}

fn settings(req: &ServiceRequest) -> &Settings {
    req.app_data::<Data<Settings>>().expect("start() gives every app its Settings")
}

/// What is answered in place of a handler: a page where people look, JSON for programs.
fn instead(shared: &Shared, asked_for: Option<RouteIndex>, failure: Failure) -> Error {
    let mut answer = match asked_for {
        Some(index) if routes::is_for_people(index) => visit::unanswered(shared, &failure),
        _ => failure.error_response(),
    };
    request_id::current().inspect(|id| name(answer.headers_mut(), *id));
    InternalError::from_response(failure, answer).into()
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

fn head_size(req: &ServiceRequest) -> usize {
    let headers: usize =
        req.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    headers + req.uri().path_and_query().map_or(0, |target| target.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Labels;

    #[test]
    fn a_worker_takes_its_share_and_no_more() {
        let door = Rc::new(Door { inside: Cell::new(0), most: 2 });
        let (first, second) = (door.enter(), door.enter());
        assert!(first.is_some() && second.is_some() && door.enter().is_none());
        drop(first);
        assert!(door.enter().is_some());
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
