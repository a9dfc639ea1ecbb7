//! RFC 9700 §4.7 — the browser on the other side: its two cookies, and the CSRF tokens bound to them.

use zeroize::Zeroizing;

use super::{ProviderError, SignInPages};
use crate::{
    crypto::{keys::Purpose, opaque::Opaque},
    model::*,
    protocol::{ErrorCode, OauthError, Params},
    store::{CommitError, StoreError},
};

/// A form may be posted so long after it was shown, in seconds.
pub const CSRF_LIFETIME: u64 = 24 * 60 * 60;
const CSRF_PLACE: &[u8] = b"csrf";

/// A browser, as its cookies show it.
#[derive(Debug)]
pub struct Browser {
    /// Digest of the browser cookie: what transactions and CSRF tokens are bound to.
    pub(super) digest: Digest,
    /// Digest of the session cookie, if it is one of ours.
    pub(super) session: Option<Digest>,
    /// The value to set when the browser came without a cookie of ours.
    pub new_cookie: Option<Secret<String>>,
    /// `User-Agent`, shortened.
    pub(super) user_agent: String,
}

/// What is shown on an error page instead of going on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PageError {
    /// The request is wrong, and only the person may be told.
    #[error(transparent)]
    Refused(#[from] OauthError),
    /// A form came without the CSRF token of this browser (R64).
    #[error("the CSRF token is missing or does not belong to this browser")]
    Forged,
    /// The server could not do its work.
    #[error(transparent)]
    Failed(ProviderError),
}

impl PageError {
    /// The status of the page, and what it says.
    pub fn answer(&self) -> (u16, OauthError) {
        match self {
            // R2: whatever the code, what must not be redirected is a 400.
            Self::Refused(error) => (400, error.clone()),
            Self::Forged => {
                let error = "This form was not made for this browser, or it is too old. Go back, reload the page and try again.";
                (403, OauthError::new(ErrorCode::AccessDenied, error))
            }
            Self::Failed(failure) => {
                let error = failure.oauth();
                (error.code.status(), error)
            }
        }
    }
}

impl From<ProviderError> for PageError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Refused(error) => Self::Refused(error),
            failure => Self::Failed(failure),
        }
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<CommitError> for PageError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::AlreadySpent => Self::Refused(OauthError::invalid_request(
                "This sign-in was already used. Go back to the application and start again.",
            )),
            error => Self::Failed(error.into()),
        }
    }
}

impl SignInPages {
    /// Knows a browser again by the values of its cookies, or gives it a new one.
    pub fn browser(&self, cookie: Option<&str>, session: Option<&str>, user_agent: &str) -> Browser {
        let known = cookie.and_then(|cookie| self.opaque.digest_of(Opaque::Transaction, cookie));
        let (digest, new_cookie) = match known {
            Some(digest) => (digest, None),
            None => {
                let (value, digest) = self.opaque.issue(Opaque::Transaction, &self.random);
                (digest, Some(value))
            }
        };
        let session = session.and_then(|session| self.opaque.digest_of(Opaque::Session, session));
        let user_agent = user_agent.chars().filter(|c| !c.is_control()).take(256).collect();
        Browser { digest, session, new_cookie, user_agent }
    }

    /// A CSRF token for the forms of a page shown to this browser.
    pub(super) fn csrf_token(&self, browser: &Browser, now: UnixTime) -> String {
        self.sealer.seal_text(Purpose::Cookie, &csrf_place(browser), &now.0.to_be_bytes())
    }

    /// R64: refuses a form without a CSRF token made for this very browser.
    pub(super) fn check_csrf(
        &self,
        browser: &Browser,
        form: &Params<'_>,
        now: UnixTime,
    ) -> Result<(), PageError> {
        let token = form.get("csrf").filter(|token| token.len() < 256);
        let made_at = token
            .and_then(|token| self.sealer.open_text(Purpose::Cookie, &csrf_place(browser), token))
            .and_then(|bytes: Zeroizing<Vec<u8>>| {
                Some(UnixTime(u64::from_be_bytes(bytes.as_slice().try_into().ok()?)))
            });
        if made_at.is_some_and(|made_at| now.since(made_at) < CSRF_LIFETIME) {
            return Ok(());
        }
        self.metrics.security_event(SecurityEvent::CsrfRejected);
        Err(PageError::Forged)
    }
}

fn csrf_place(browser: &Browser) -> Vec<u8> {
    [CSRF_PLACE, &browser.digest.0].concat()
}
