//! The way to the collector: HTTP for a thread that may wait, which the exporter's own thread does.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// One batch may take so long, from the first packet to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is a few bytes; of a longer one nothing is wanted.
const MAX_ANSWER: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Collector(Agent);

impl Collector {
    /// With TLS if the URL says so: the certificates to trust are the system's.
    pub(super) fn new(url: &str) -> Self {
        let mut tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        if url.starts_with("https:") {
            let roots = rustls_native_certs::load_native_certs().certs;
            let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
            tls = tls.root_certs(RootCerts::new_with_certs(&roots));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // What variables of the environment say of proxies is meant for others.
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls.build());
        Self(config.build().into())
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// Waits on the calling thread.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(head, &body[..]))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}
