//! `[tracing]`: where traces of requests go, and how many.

use url::Url;

use super::{
    reader::SettingReader,
    value::{Reading, share},
};

/// Traces over OTLP.
#[derive(Clone, Debug)]
pub struct TracingConfig {
    /// The URL of the collector, with the path for traces. Default none: nothing is traced.
    pub endpoint: Option<String>,
    /// The share of requests that are traced when no caller has decided it. Default all.
    pub sample: f64,
    /// What this server is called among others. Default `chancery`.
    pub service_name: String,
}

impl TracingConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let read = Self {
            endpoint: reader.optional(("tracing", "endpoint"), collector),
            sample: reader.get(("tracing", "sample"), share),
            service_name: reader.get(("tracing", "service_name"), name),
        };
        if read.endpoint.is_none() && reader.is_sound(("tracing", "endpoint")) {
            reader.unused_section(
                "tracing",
                "has no effect without `[tracing] endpoint`; set that, or remove it",
            );
        }
        read
    }
}

/// Where a collector takes OTLP over HTTP: the path for traces is added, as OpenTelemetry has it.
fn collector(text: &str) -> Reading<String> {
    let wrong = || {
        "must be the URL of an OTLP collector, such as http://127.0.0.1:4318, without user, query or fragment"
            .to_owned()
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong());
    }
    Ok(format!("{}/v1/traces", url.as_str().trim_end_matches('/')))
}

fn name(text: &str) -> Reading<String> {
    let good = !text.is_empty() && text.len() <= 100 && text.chars().all(|sign| sign.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err("must be 1 to 100 visible ASCII characters".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_for_traces_is_added_to_the_endpoint() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("http://[::1]:4318/tenant", "http://[::1]:4318/tenant/v1/traces"),
        ] {
            assert_eq!(collector(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_no_collector_is_refused() {
        for text in [
            "collector:4318",
            "127.0.0.1:4318",
            "grpc://a:4317",
            "http://u:p@a",
            "http://a?k=v",
            "http://a#b",
        ] {
            assert!(collector(text).is_err(), "{text}");
        }
    }
}
