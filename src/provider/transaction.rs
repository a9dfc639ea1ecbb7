//! A login transaction: an authorization request on its way through sign-in and consent.
//!
//! It is sealed and carried by the browser, so a million unfinished sign-ins cost nothing
//! (T33). It is bound to the browser that began it, ends soon, and its id is spent by the commit
//! that issues its code (R59).

use serde::{Deserialize, Serialize};

use super::{
    Provider,
    browser::{Browser, PageError},
};
use crate::{
    crypto::{base64url, digest::equal, keys::Purpose},
    model::*,
    protocol::{OauthError, authorize::AuthorizeRequest},
    store::Spend,
};

const PLACE: &[u8] = b"login";

/// The longest sealed transaction, in characters; what fits into a URL everywhere.
pub const MAX_TRANSACTION: usize = 6 * 1024;

/// An authorization request under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transaction {
    /// Spent once.
    #[serde(rename = "i")]
    pub id: Id,
    /// It cannot be continued from then on.
    #[serde(rename = "e")]
    pub expires_at: UnixTime,
    /// Digest of the cookie of the browser that began it, in base64url.
    #[serde(rename = "b")]
    pub browser: String,
    /// The session that was begun in it: its person was just asked to sign in.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub begun_session: Option<SessionId>,
    /// The session that the consent page was shown in, when it was.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub consent_shown_in: Option<SessionId>,
    /// What is asked.
    #[serde(rename = "r")]
    pub request: AuthorizeRequest,
    /// Whether it has been given to a browser: then it must be spent.
    #[serde(skip, default = "carried")]
    pub carried: bool,
}

/// What can be read was carried.
fn carried() -> bool {
    true
}

impl Transaction {
    /// What uses it up.
    pub(super) fn spend(&self) -> Spend {
        Spend::Once { id: self.id, expires_at: self.expires_at }
    }
}

impl Provider {
    pub(super) fn begin(&self, request: AuthorizeRequest, browser: &Browser, now: UnixTime) -> Transaction {
        Transaction {
            id: self.id(),
            expires_at: now.plus(self.policy.login_lifetime),
            browser: base64url::encode(&browser.digest.0),
            begun_session: None,
            consent_shown_in: None,
            request,
            carried: false,
        }
    }

    /// Ends a transaction whose person said no: it cannot be taken up again (R59).
    pub(super) async fn close(&self, transaction: &Transaction, now: UnixTime) -> Result<(), PageError> {
        self.commit(now, Some(transaction.spend()), Vec::new()).await?;
        Ok(())
    }

    /// The transaction as text, for URLs and form fields.
    pub(super) fn carry(&self, transaction: &Transaction) -> String {
        let json = serde_json::to_vec(transaction).expect("a transaction is plain data");
        self.sealer.seal_text(Purpose::Cookie, PLACE, &json)
    }

    /// The transaction a browser brings back; refused to every other browser, and after its time.
    pub(super) fn resume(
        &self,
        text: &str,
        browser: &Browser,
        now: UnixTime,
    ) -> Result<Transaction, PageError> {
        let unknown = || {
            OauthError::invalid_request("This link is damaged. Go back to the application and start again.")
        };
        if text.len() > MAX_TRANSACTION {
            return Err(unknown().into());
        }
        let json = self.sealer.open_text(Purpose::Cookie, PLACE, text).ok_or_else(unknown)?;
        let transaction: Transaction = serde_json::from_slice(&json).map_err(|_| unknown())?;
        if !equal(transaction.browser.as_bytes(), base64url::encode(&browser.digest.0).as_bytes()) {
            // R59: a sign-in of another browser, sent to this one as a link.
            self.metrics.security_event(SecurityEvent::SessionFixationBlocked);
            let error = "This sign-in was begun in another browser, or this one keeps no cookies. Go back to the application and start again.";
            return Err(OauthError::invalid_request(error).into());
        }
        if now >= transaction.expires_at {
            let error = "This sign-in took too long. Go back to the application and start again.";
            return Err(OauthError::invalid_request(error).into());
        }
        Ok(transaction)
    }
}
