//! RFC 9700 §4.7 — transactions: beginning, sealing, taking up again, and ending them.

use std::sync::Arc;

use super::{
    SignInPages,
    browser::{Browser, PageError},
    session::Person,
};
use crate::{
    crypto::{base64url, digest::equal, keys::Purpose},
    model::*,
    protocol::{
        OauthError, authorize,
        transaction::{Continuation, SignInTransaction},
    },
    store::Spend,
};

const PLACE: &[u8] = b"login";

/// The longest sealed transaction, in characters; what fits into a URL everywhere.
pub const MAX_TRANSACTION: usize = 6 * 1024;

/// A transaction with what was loaded for it.
#[derive(Clone, Debug)]
pub(super) struct OpenTransaction {
    pub transaction: SignInTransaction,
    /// The client that waits for its end.
    pub client: Arc<Client>,
    /// The person who is signed in in this browser, if that was looked up.
    pub person: Option<Person>,
    pub now: UnixTime,
}

/// What uses a transaction up.
pub(super) fn spend(transaction: &SignInTransaction) -> Spend {
    Spend::Once { id: transaction.id, expires_at: transaction.expires_at }
}

impl SignInPages {
    pub(super) fn begin(&self, then: Continuation, browser: &Browser, now: UnixTime) -> SignInTransaction {
        SignInTransaction {
            id: self.id(),
            expires_at: now.plus(self.policy.login_lifetime),
            browser: base64url::encode(&browser.digest.0),
            begun_session: None,
            consent_shown_in: None,
            then,
            carried: false,
        }
    }

    /// The transaction that a browser brings back, and its client, if that may still have what the transaction
    /// asks for. The person is not looked up.
    pub(super) async fn reopen(
        &self,
        text: &str,
        browser: &Browser,
        now: UnixTime,
    ) -> Result<OpenTransaction, PageError> {
        let transaction = self.resume(text, browser, now)?;
        let Continuation::Authorize(request) = &transaction.then;
        let client = self.store.client_by_key(request.client).await?;
        let client = client.filter(|client| authorize::still_allowed(request, client));
        let client = client.ok_or_else(|| {
            let error = "The application's registration has changed. Go back to it and start again.";
            OauthError::invalid_request(error)
        })?;
        Ok(OpenTransaction { transaction, client, person: None, now })
    }

    /// The transaction as text, for URLs and form fields.
    pub(super) fn carry(&self, transaction: &SignInTransaction) -> String {
        let json = serde_json::to_vec(transaction).expect("a transaction is plain data");
        self.sealer.seal_text(Purpose::Cookie, PLACE, &json)
    }

    /// The transaction a browser brings back; refused to every other browser, and after its time.
    fn resume(&self, text: &str, browser: &Browser, now: UnixTime) -> Result<SignInTransaction, PageError> {
        let unknown = || {
            OauthError::invalid_request("This link is damaged. Go back to the application and start again.")
        };
        if text.len() > MAX_TRANSACTION {
            return Err(unknown().into());
        }
        let json = self.sealer.open_text(Purpose::Cookie, PLACE, text).ok_or_else(unknown)?;
        let transaction: SignInTransaction = serde_json::from_slice(&json).map_err(|_| unknown())?;
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
