//! The log: one JSON object per line, or text on a terminal, on standard error.

use std::{fmt, io::IsTerminal};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The field that every line about a request has: the id its task runs under.
pub const REQUEST_ID: &str = "request_id";

/// The fields that every line about a request has which belongs to a trace.
const TRACE_ID: &str = "trace_id";
const SPAN_ID: &str = "span_id";

/// How the log is set up.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A level or filter in the syntax of `RUST_LOG`.
    pub filter: String,
    /// How lines look; `None` is text on a terminal and JSON otherwise.
    pub format: Option<LineFormat>,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// One JSON object on each line.
    Json,
    /// For people.
    Text,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("the log filter is not valid: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("the log is already set up")]
    Twice,
}

/// Sets up the log of this process. To be called once.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let subscriber = subscriber(settings, terminal, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

/// The log over any writer.
fn subscriber<W>(
    settings: &LogSettings,
    terminal: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let mut filter = EnvFilter::builder().parse(&settings.filter)?;
    if !settings.filter.contains("actix") {
        // The web framework announces each of its threads; nobody asked.
        filter = filter.add_directive("actix_server=warn".parse()?);
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let format = settings.format.unwrap_or(if terminal { LineFormat::Text } else { LineFormat::Json });
    Ok(match format {
        LineFormat::Json => Box::new(builder.fmt_fields(JsonFields::new()).event_format(JsonLine).finish()),
        LineFormat::Text => Box::new(builder.with_ansi(false).finish()),
    })
}

/// Formats an event as one flat object: time, level, target, message, the event's fields, and the fields of
/// the spans it happened in, `request_id` among them. An inner name hides an outer one.
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut object = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("{}", |fields| fields.fields.as_str());
            object.extend(serde_json::from_str::<Map<_, _>>(fields).unwrap_or_default());
        }
        event.record(&mut Fields(&mut object));
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        if let Some(id) = super::request_id::current() {
            object.insert(REQUEST_ID.to_owned(), id.to_string().into());
        }
        if let Some(position) = super::request_id::position() {
            object.insert(TRACE_ID.to_owned(), position.trace.to_string().into());
            object.insert(SPAN_ID.to_owned(), position.span.to_string().into());
        }
        // Last, so that no field can pass itself off as one of these.
        object.insert("timestamp".to_owned(), time.into());
        object.insert("level".to_owned(), event.metadata().level().as_str().into());
        object.insert("target".to_owned(), event.metadata().target().into());
        writeln!(line, "{}", Value::Object(object))
    }
}

/// Collects the fields of an event.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::model::Secret;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while `action` runs.
    fn logged(filter: &str, format: LineFormat, action: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let settings = LogSettings { filter: filter.to_owned(), format: Some(format) };
        let subscriber = subscriber(&settings, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, action);
        String::from_utf8(std::mem::take(&mut *buffer.0.lock().unwrap())).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_the_request_id() {
        let text = logged("info", LineFormat::Json, || {
            let _outer = tracing::info_span!("request", request_id = "r-1", route = "/oauth/token").entered();
            let _inner = tracing::info_span!("commit", rows = 2).entered();
            tracing::warn!(status = 503, overloaded = true, "refused\nand\u{1b}[31m \"quoted\"");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line[REQUEST_ID], "r-1");
        assert_eq!(
            (&line["level"], &line["status"], &line["rows"]),
            (&"WARN".into(), &503.into(), &2.into())
        );
        assert_eq!(line["message"], "refused\nand\u{1b}[31m \"quoted\"");
        assert_eq!(line["overloaded"], true);
        assert_eq!(line["target"], module_path!());
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_field_cannot_pass_itself_off_as_the_level() {
        let text = logged("info", LineFormat::Json, || tracing::info!(level = "ERROR", "hello"));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["level"], "INFO");
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        let filter = format!("warn,{}=debug", module_path!());
        let text = logged(&filter, LineFormat::Json, || {
            tracing::debug!("ours");
            tracing::info!(target: "other", "theirs");
            tracing::warn!(target: "other", "their warning");
        });
        assert!(
            text.contains("ours") && text.contains("their warning") && !text.contains("theirs"),
            "{text}"
        );
    }

    #[test]
    fn text_lines_are_for_people_and_carry_the_request_id() {
        let text = logged("info", LineFormat::Text, || {
            let _span = tracing::info_span!("request", request_id = "r-1").entered();
            tracing::info!("served");
        });
        assert!(text.contains("INFO") && text.contains("r-1") && text.contains("served"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours outside of a terminal");
    }

    #[test]
    fn a_secret_does_not_reach_the_log() {
        for format in [LineFormat::Json, LineFormat::Text] {
            let text = logged("trace", format, || {
                let secret = Secret::new("hunter2".to_owned());
                let _span = tracing::info_span!("request", ?secret).entered();
                tracing::info!(?secret, "signing in with {secret:?}");
            });
            assert!(text.contains("Secret(…)") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        let settings = LogSettings { filter: "chancery=loud".to_owned(), format: None };
        assert!(matches!(subscriber(&settings, false, io::sink), Err(LogError::Filter(_))));
    }
}
