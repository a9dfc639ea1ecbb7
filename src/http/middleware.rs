//! What happens around every request: its id, its figures, and what becomes of a panic.

use std::{future::Future, panic::AssertUnwindSafe, time::Instant};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt;

use super::{
    Settings, Shared,
    error::{Failure, direct},
    routes::ROUTES,
};
use crate::{
    observe::{Metrics, Rejection, Route, request_id},
    provider::ProviderError,
};

/// The largest request head, in bytes (R69).
const MAX_HEAD: usize = 16 * 1024;

/// The place of a resource in `ROUTES`, kept with the resource.
#[derive(Clone, Copy)]
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

    fn of(&self, index: Option<&RouteIndex>, method: &str) -> Route {
        let methods = index.and_then(|index| self.known.get(index.0));
        let known = methods.and_then(|methods| methods.iter().find(|(held, _)| *held == method));
        known.map_or(self.unmatched, |(_, route)| *route)
    }
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

/// Gives each request an id, counts and times it, and turns a panic into a 500.
pub async fn observe(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let shared = req.app_data::<Data<Shared>>().expect("start() gives every app its Shared").clone();
    let handles = req.app_data::<Data<RouteHandles>>().expect("start() gives every app its handles").clone();
    let provider = &shared.provider;
    let (began, id) = (Instant::now(), provider.random.id(provider.clock.millis()));
    let under_way = InFlight::begin(&provider.metrics);
    let answer = request_id::scope(id, answered(req, next, &shared)).await;
    drop(under_way);

    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let status = error.as_response_error().status_code().as_u16();
            provider.metrics.request(handles.unmatched, status, began.elapsed());
            return Err(error);
        }
    };
    let request = answer.request();
    let (index, method) = (request.app_data::<RouteIndex>().copied(), request.method().clone());
    let status = answer.status().as_u16();
    provider.metrics.request(handles.of(index.as_ref(), method.as_str()), status, began.elapsed());
    if request.app_data::<Data<Settings>>().is_some_and(|settings| settings.log_requests) {
        let route = index.map_or("unmatched", |index| ROUTES[index.0].0);
        let micros = began.elapsed().as_micros() as u64;
        tracing::info!(%method, route, status, micros, request_id = %id, "request");
    }
    if status >= 400 {
        let value = HeaderValue::from_str(&id.to_string()).expect("a UUID is a header value");
        answer.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    Ok(answer)
}

async fn answered(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    shared: &Shared,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let metrics = &shared.provider.metrics;
    if head_size(&req) > MAX_HEAD {
        metrics.rejected(Rejection::HeaderTooLarge);
        let answer = direct(431, "invalid_request", "The request head is larger than 16 KiB.");
        return Ok(req.into_response(answer));
    }
    caught(metrics, next.call(req)).await?.map(ServiceResponse::map_into_boxed_body)
}

/// A panic ends its request with a 500, and nothing else.
async fn caught<F: Future>(metrics: &Metrics, work: F) -> Result<F::Output, Error> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| {
        metrics.panicked();
        tracing::error!("a handler panicked; the request was answered with 500");
        Failure::from(ProviderError::Internal("a panic".into())).into()
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

    #[actix_web::test]
    async fn a_panic_becomes_a_500_and_is_counted() {
        let metrics = Metrics::new(Labels::default());
        let outcome: Result<(), Error> = caught(&metrics, async { panic!("on purpose") }).await;
        let answer = outcome.unwrap_err().error_response();
        assert_eq!(answer.status(), 500);
        assert!(metrics.encode().contains("chancery_panics_total 1"));
        assert!(caught(&metrics, async { 1 }).await.is_ok());
    }
}
