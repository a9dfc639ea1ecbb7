//! RFC 6749 §5.2 — errors as answers: JSON for programs. Pages have their own in `pages`.

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};

use crate::{
    observe::{request_id, unavailable},
    protocol::{ErrorCode, OauthError},
    provider::ProviderError,
    resilience::jitter,
};

/// A failure on its way to a client of the OAuth endpoints.
#[derive(Debug)]
pub struct ErrorReply {
    status: u16,
    error: OauthError,
    /// Overrides the challenge of a 401 (RFC 6750 at userinfo).
    challenge: Option<String>,
}

impl ErrorReply {
    /// An error with a status of its own.
    pub fn with_status(status: u16, error: OauthError) -> Self {
        Self { status, error, challenge: None }
    }

    /// The same failure with a `WWW-Authenticate` header of its own.
    #[must_use]
    pub fn challenged(self, challenge: String) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    /// What the client is told.
    pub fn error(&self) -> &OauthError {
        &self.error
    }
}

impl From<OauthError> for ErrorReply {
    fn from(error: OauthError) -> Self {
        Self { status: error.code.status(), error, challenge: None }
    }
}

impl From<ProviderError> for ErrorReply {
    fn from(error: ProviderError) -> Self {
        match &error {
            ProviderError::Refused(_) => {}
            ProviderError::Unavailable(cause) => unavailable::count(cause),
            ProviderError::Internal(cause) => tracing::error!(%cause, "answering 500: internal error"),
        }
        error.oauth().into()
    }
}

impl std::fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.error, f)
    }
}

impl ResponseError for ErrorReply {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponseBuilder::new(self.status_code());
        if let Some(challenge) = &self.challenge {
            answer.insert_header((WWW_AUTHENTICATE, challenge.as_str()));
        } else if self.error.code == ErrorCode::InvalidClient {
            // RFC 6749 §5.2, RFC 9110 §15.5.2: a 401 names a scheme the client can use.
            answer.insert_header((WWW_AUTHENTICATE, "Basic realm=\"chancery\", charset=\"UTF-8\""));
        }
        if self.status == 503 {
            answer.insert_header((RETRY_AFTER, retry_after()));
        }
        finish(&mut answer, self.error.code.as_str(), &self.error.safe_description())
    }
}

/// When to come back, in seconds: soon, but not all at once.
pub fn retry_after() -> &'static str {
    const SECONDS: [&str; 3] = ["1", "2", "3"];
    SECONDS[(jitter::draw() * SECONDS.len() as f64) as usize]
}

/// An answer outside OAuth: no such route, wrong method, body too large.
pub fn direct(status: u16, error: &str, description: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    finish(&mut HttpResponseBuilder::new(status), error, description)
}

/// A path that no route has.
pub fn not_found() -> HttpResponse {
    direct(404, "not_found", "There is nothing at this address.")
}

fn finish(answer: &mut HttpResponseBuilder, error: &str, description: &str) -> HttpResponse {
    let mut body = serde_json::json!({"error": error, "error_description": description});
    if let Some(id) = request_id::current() {
        body["request_id"] = id.to_string().into();
    }
    if let Some(place) = request_id::position() {
        body["trace_id"] = place.trace.to_string().into();
    }
    answer
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, "no-store")) // RFC 6749 §5.2
        .body(body.to_string())
}
