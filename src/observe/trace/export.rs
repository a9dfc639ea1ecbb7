//! From finished spans to the collector: a bounded queue and a thread of its own. Whoever ends a span waits
//! for nothing, and whatever happens to the collector is a line in the log.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{RetryPolicy, SpanExporter as Otlp, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};

use super::{TraceError, TraceSettings, collector::Collector};

/// Spans that may wait to be sent: some megabytes.
const QUEUE: usize = 8_192;
/// Spans in one request to the collector.
const BATCH: usize = 512;
/// They are sent at least so often.
const INTERVAL: Duration = Duration::from_secs(1);
/// That the collector takes nothing is logged no more often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

static DROPPED: AtomicU64 = AtomicU64::new(0);

pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_spans(count: usize) {
    DROPPED.fetch_add(count as u64, Ordering::Relaxed);
}

/// Everything between a finished span and the collector.
pub(super) fn provider(settings: &TraceSettings) -> Result<SdkTracerProvider, TraceError> {
    let otlp = Otlp::builder()
        .with_http()
        .with_http_client(Collector::new(&settings.url))
        .with_endpoint(&settings.url)
        // The next batch comes in a second.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| TraceError(error.to_string()))?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter = Exporter { otlp, waiting: Arc::clone(&waiting), last_logged: Mutex::new(None) };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(INTERVAL)
        .build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let resource =
        Resource::builder_empty().with_service_name(settings.service_name.clone()).with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", settings.instance.clone()),
        ]);
    Ok(SdkTracerProvider::builder()
        // Only what is to be recorded ever becomes a span.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.build())
        .with_span_processor(CountingQueue { batches, waiting })
        .build())
}

/// Turns away what the queue has no room for, so that it is counted.
#[derive(Debug)]
struct CountingQueue {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
}

impl SpanProcessor for CountingQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            drop_spans(1);
            return;
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Sends, and logs when that is not possible.
#[derive(Debug)]
struct Exporter {
    otlp: Otlp,
    waiting: Arc<AtomicUsize>,
    last_logged: Mutex<Option<Instant>>,
}

impl Exporter {
    fn may_log(&self, now: Instant) -> bool {
        let mut last_logged = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last_logged.is_none_or(|last_logged| now.duration_since(last_logged) >= LOG_INTERVAL);
        if due {
            *last_logged = Some(now);
        }
        due
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let sent = self.otlp.export(batch).await;
        if let Err(error) = &sent {
            drop_spans(spans);
            if self.may_log(Instant::now()) {
                tracing::warn!(%error, spans, dropped = dropped(), "exporting traces failed; dropping these spans");
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
