//! W3C Trace Context: what a caller says of the trace that its request belongs to.

use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};

/// The longest `tracestate` that is passed on (W3C Trace Context §3.3.1.5 asks for no more).
const MAX_STATE: usize = 512;

/// A `traceparent` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
}

impl TraceParent {
    /// W3C Trace Context §3.2. What is not exactly of the form is as if it were not there.
    pub fn read(header: &[u8]) -> Option<Self> {
        let (version, rest) = (byte(header.get(..2)?)?, header.get(2..55)?);
        // §3.2.4: later versions may add something behind another dash, the first has nothing there.
        let ends = match header.get(55) {
            None => true,
            Some(next) => version > 0 && *next == b'-',
        };
        let dashes = [0, 33, 50].iter().all(|at| rest[*at] == b'-');
        if version == 0xff || !ends || !dashes {
            return None;
        }
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        bytes(&rest[1..33], &mut trace)?;
        bytes(&rest[34..50], &mut span)?;
        let flags = byte(&rest[51..53])?;
        let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
        let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        valid.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// As the parent of a span of ours.
    pub(super) fn parent(self, state: TraceState) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.sampled);
        SpanContext::new(self.trace, self.span, flags, true, state)
    }
}

/// §3.3: the vendors' list, whichever headers it came in. What is not of the form is dropped as a whole.
pub(super) fn state<'h>(headers: impl Iterator<Item = &'h [u8]>) -> TraceState {
    let mut text = String::new();
    for header in headers {
        let Ok(part) = std::str::from_utf8(header) else { return TraceState::default() };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(part);
        if text.len() > MAX_STATE {
            return TraceState::default();
        }
    }
    // The parser takes a member without a key.
    let keyless = text.split(',').any(|member| member.trim_start().starts_with('='));
    text.parse().ok().filter(|_| !keyless).unwrap_or_default()
}

fn bytes(hex: &[u8], out: &mut [u8]) -> Option<()> {
    for (pair, out) in hex.chunks_exact(2).zip(out) {
        *out = byte(pair)?;
    }
    Some(())
}

/// Two digits, in lower case (§3.2.2).
fn byte(hex: &[u8]) -> Option<u8> {
    let digit = |sign: u8| match sign {
        b'0'..=b'9' => Some(sign - b'0'),
        b'a'..=b'f' => Some(sign - b'a' + 10),
        _ => None,
    };
    Some(digit(hex[0])? << 4 | digit(hex[1])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read() {
        let read = TraceParent::read(GOOD.as_bytes()).unwrap();
        assert_eq!(read.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((read.span.to_string(), read.sampled), ("00f067aa0ba902b7".to_owned(), true));
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let text = format!("{}{flags}", &GOOD[..53]);
            assert_eq!(TraceParent::read(text.as_bytes()).unwrap().sampled, sampled, "{text}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        for text in [GOOD.replacen("00", "01", 1), format!("{}-more", GOOD.replacen("00", "cc", 1))] {
            assert!(TraceParent::read(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        let zeros = |from: &str| GOOD.replace(from, &"0".repeat(from.len()));
        for text in [
            String::new(),
            "00".into(),
            GOOD[..54].into(),
            format!("{GOOD}-more"),
            format!("{GOOD} "),
            format!(" {GOOD}"),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            format!("{}x", GOOD.replacen("00", "01", 1)),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4bg9"),
            GOOD.replace("-01", "-0x"),
            zeros("4bf92f3577b34da6a3ce929d0e0e4736"),
            zeros("00f067aa0ba902b7"),
            "é".repeat(40),
        ] {
            assert_eq!(TraceParent::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_state_is_one_list_whichever_headers_it_came_in() {
        let read = |headers: &[&str]| state(headers.iter().map(|header| header.as_bytes())).header();
        assert_eq!(
            read(&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
        );
        assert_eq!(read(&["a=1", "b=2"]), "a=1,b=2");
        assert_eq!(read(&[]), "");
        for wrong in ["=", "a", "A=1", &*format!("a={}", "x".repeat(MAX_STATE))] {
            assert_eq!(read(&[wrong]), "", "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(header in proptest::collection::vec(0u8.., 0..70)) {
            let _ = TraceParent::read(&header);
            let _ = state([&*header].into_iter());
        }
    }
}
