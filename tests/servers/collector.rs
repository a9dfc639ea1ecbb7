//! What an OpenTelemetry collector is to its clients: it takes traces by OTLP over HTTP, and keeps them.

#![allow(dead_code, reason = "each test binary uses some of it")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::KeyValue, common::v1::any_value::Value,
};
use prost::Message;

/// A span as it was exported.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub name: String,
    /// 2 server, 3 client, 1 internal.
    pub kind: i32,
    pub failed: bool,
    pub nanos: u64,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    service: BTreeMap<String, String>,
}

/// A running collector.
pub struct Collector {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Collector {
    /// Starts one that takes traces as long as the process lives.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let keep = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keep = Arc::clone(&keep);
                std::thread::spawn(move || while take(&stream, &keep).is_some() {});
            }
        });
        Self { url, seen }
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.seen.lock().expect("no panic").spans.clone()
    }

    /// The attributes of the last one who sent.
    pub fn service(&self) -> BTreeMap<String, String> {
        self.seen.lock().expect("no panic").service.clone()
    }

    /// Whether a text was in anything that was sent: heads, bodies, names, values.
    pub fn holds(&self, text: &str) -> bool {
        let seen = self.seen.lock().expect("no panic");
        seen.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// How much was sent.
    pub fn taken(&self) -> usize {
        self.seen.lock().expect("no panic").bytes.len()
    }

    /// Waits until spans of these names have come.
    #[track_caller]
    pub fn wait_for(&self, names: &[&str]) -> Vec<Span> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let spans = self.spans();
            let missing: Vec<_> =
                names.iter().filter(|name| spans.iter().all(|span| span.name != **name)).collect();
            if missing.is_empty() {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(Instant::now() < until, "waited in vain for {missing:?} among {names:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One request of a connection; `None` at its end.
fn take(stream: &TcpStream, seen: &Mutex<Seen>) -> Option<()> {
    let mut from = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let begun = head.len();
        if from.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = head[begun..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    let sent = ExportTraceServiceRequest::decode(&body[..]).expect("OTLP in protobuf");
    let mut seen = seen.lock().expect("no panic");
    seen.bytes.extend(head.as_bytes());
    seen.bytes.extend(body);
    for of in sent.resource_spans {
        seen.service = attributes(of.resource.unwrap_or_default().attributes);
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        seen.spans.extend(spans.map(|span| Span {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state,
            name: span.name,
            kind: span.kind,
            failed: span.status.is_some_and(|status| status.code == 2),
            nanos: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
            attributes: attributes(span.attributes),
        }));
    }
    let mut to = stream;
    to.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").ok()
}

fn attributes(from: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("an attribute of another type: {other:?}"),
    };
    from.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|any| any.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
