//! Traces: what a request waited for, as spans that go to a collector over OTLP.
//!
//! Off unless [`begin`] was called; then [`traced`] is its work and a look at whether there is a tracer. What
//! a span may say is a closed set ([`Work`], [`Fact`]), so that no secret gets into one by mistake.

mod collector;
mod export;
mod parent;
mod sampling;

use std::{
    future::Future,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue, SpanId, TraceId,
    trace::{
        FutureExt as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceState,
        Tracer as _, TracerProvider as _, WithContext,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

pub use self::parent::TraceParent;
use self::sampling::Sampling;

/// What spans are recorded with; a process has one for all its life.
static TRACER: OnceLock<Tracer> = OnceLock::new();

/// The longest that [`end`] waits for the collector.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

struct Tracer {
    spans: SdkTracer,
    sampling: Sampling,
    provider: Mutex<Option<SdkTracerProvider>>,
}

/// How traces are exported (`[tracing]`).
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Where they are posted to.
    pub url: String,
    /// The share of requests that are traced, of those whose caller has not decided it.
    pub sample: f64,
    /// `service.name`.
    pub service_name: String,
    /// `service.instance.id`: which of several nodes this is.
    pub instance: String,
}

/// Traces cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {0}")]
pub struct TraceError(String);

/// Traces requests from now on. The first call of a process counts.
///
/// # Errors
/// If the variables of OpenTelemetry that the exporter reads are wrong.
pub fn begin(settings: &TraceSettings) -> Result<(), TraceError> {
    let provider = export::provider(settings)?;
    let tracer = Tracer {
        spans: provider.tracer("chancery"),
        sampling: Sampling::new(settings.sample),
        provider: Mutex::new(Some(provider)),
    };
    TRACER.set(tracer).map_err(|_| TraceError("this process does so already".into()))
}

/// Sends what was recorded, waiting no longer than two seconds, and records nothing more. Blocks.
pub fn end() {
    let Some(tracer) = TRACER.get() else { return };
    let provider = tracer.provider.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(provider) = provider else { return };
    if provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT).is_err() {
        tracing::warn!("exporting the last traces failed; dropping them and exiting");
    }
}

/// Whether requests are traced.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// Spans that were recorded and are lost: the collector did not take them, or not in time.
pub fn dropped() -> u64 {
    export::dropped()
}

/// Where a request, or a part of it, is in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePosition {
    /// The trace.
    pub trace: TraceId,
    /// The span: ours if it is recorded, else the caller's.
    pub span: SpanId,
}

impl From<&SpanContext> for TracePosition {
    fn from(context: &SpanContext) -> Self {
        Self { trace: context.trace_id(), span: context.span_id() }
    }
}

impl From<TraceParent> for TracePosition {
    fn from(caller: TraceParent) -> Self {
        Self { trace: caller.trace, span: caller.span }
    }
}

/// Where the present task is in its trace, if it is traced.
pub(super) fn recorded() -> Option<TracePosition> {
    TRACER.get()?;
    Context::map_current(|context| {
        let span = context.span();
        let position = span.span_context();
        position.is_valid().then(|| TracePosition::from(position))
    })
}

/// A request that has arrived.
pub struct Arrival {
    position: Option<TracePosition>,
    context: Option<Context>,
}

impl Arrival {
    /// Decides whether a request is traced. Its method and route are asked for only if it is.
    pub fn of<'h, I: Iterator<Item = &'h [u8]>>(
        caller: Option<TraceParent>,
        state: impl FnOnce() -> I,
        request: impl FnOnce() -> (&'static str, Option<&'static str>),
    ) -> Self {
        let Some(tracer) = TRACER.get() else {
            return Self { position: caller.map(TracePosition::from), context: None };
        };
        tracer.arrived(caller, || parent::state(state()), request)
    }

    /// Where the request is in its trace: if it is traced, or its caller named one.
    pub fn position(&self) -> Option<TracePosition> {
        self.position
    }

    /// Answers the request, with a span around it if it is traced.
    pub fn answer<F: Future>(&self, work: F) -> Either<F, WithContext<F>> {
        match &self.context {
            None => Either::Left(work),
            Some(context) => Either::Right(work.with_context(context.clone())),
        }
    }

    /// Ends the span.
    pub fn answered(self, status: u16) {
        let Some(context) = self.context else { return };
        let span = context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

impl Tracer {
    fn arrived(
        &self,
        caller: Option<TraceParent>,
        state: impl FnOnce() -> TraceState,
        request: impl FnOnce() -> (&'static str, Option<&'static str>),
    ) -> Arrival {
        if !self.sampling.takes(caller) {
            return Arrival { position: caller.map(TracePosition::from), context: None };
        }
        let parent = match caller {
            Some(caller) => Context::new().with_remote_span_context(caller.parent(state())),
            None => Context::new(),
        };
        let (method, route) = request();
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut attributes = vec![KeyValue::new("http.request.method", method)];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route)));
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let context = Context::new().with_span(self.spans.build_with_context(span, &parent));
        let position = TracePosition::from(context.span().span_context());
        Arrival { position: Some(position), context: Some(context) }
    }
}

/// What a span can be about.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Loading a client and verifying what it presented.
    ClientAuthentication,
    /// An operation of the store, by the name of its method.
    Store(&'static str),
    /// Work with a password, the wait for a thread included: `hash` or `verify`.
    Password(&'static str),
    /// A signature of this algorithm, the wait for a thread included.
    Sign(&'static str),
}

impl Work {
    fn span(self) -> SpanBuilder {
        let (name, kind, attributes) = match self {
            Self::ClientAuthentication => ("client authentication".into(), SpanKind::Internal, Vec::new()),
            Self::Store(operation) => {
                let attributes = vec![KeyValue::new("db.operation.name", operation)];
                (format!("store {operation}"), SpanKind::Client, attributes)
            }
            Self::Password(operation) => {
                let attributes = vec![KeyValue::new("chancery.password.operation", operation)];
                (format!("password {operation}"), SpanKind::Internal, attributes)
            }
            Self::Sign(algorithm) => {
                let attributes = vec![KeyValue::new("chancery.signature.algorithm", algorithm)];
                ("sign".into(), SpanKind::Internal, attributes)
            }
        };
        SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes)
    }
}

/// Does some work, with a span around it if the present request is traced.
pub fn traced<F: Future>(what: Work, work: F) -> Either<F, WithContext<F>> {
    match TRACER.get().and_then(|tracer| tracer.inside(what)) {
        None => Either::Left(work),
        Some(context) => Either::Right(work.with_context(context)),
    }
}

impl Tracer {
    #[cold]
    fn inside(&self, what: Work) -> Option<Context> {
        Context::map_current(|context| {
            let traced = context.has_active_span();
            traced.then(|| context.with_span(self.spans.build_with_context(what.span(), context)))
        })
    }
}

/// What can be noted of work while it is done.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'f> {
    /// The grant type of a token request, as the server calls it.
    Grant(&'static str),
    /// The client that has authenticated.
    Client(&'f str),
    /// It failed, for a reason of a closed set.
    Failed(&'static str),
}

/// Notes something of the innermost span, if there is one.
pub fn note(fact: Fact<'_>) {
    if is_on() {
        annotate(fact);
    }
}

#[cold]
fn annotate(fact: Fact<'_>) {
    Context::map_current(|context| {
        let span = context.span();
        match fact {
            Fact::Grant(grant) => span.set_attribute(KeyValue::new("oauth.grant_type", grant)),
            Fact::Client(client) => span.set_attribute(KeyValue::new("oauth.client_id", client.to_owned())),
            Fact::Failed(kind) => {
                span.set_attribute(KeyValue::new("error.type", kind));
                span.set_status(Status::error(""));
            }
        }
    });
}
