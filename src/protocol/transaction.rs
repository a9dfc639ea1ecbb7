//! NIST SP 800-63B-4 §5, RFC 9700 §4.7 — a transaction: one sign-in under way, and what it is for.
//!
//! It is sealed and carried by the browser, so a million unfinished sign-ins cost nothing (T33). It is bound to
//! the browser that began it, ends soon, and its id is spent by the commit that ends it (R59).

use serde::{Deserialize, Serialize};

use super::authorize::AuthorizeRequest;
use crate::model::{Id, SessionId, UnixTime};

/// What is to happen when the person has signed in and has been asked what there is to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Continuation {
    /// An authorization request is answered.
    #[serde(rename = "a")]
    Authorize(AuthorizeRequest),
}

/// A sign-in under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInTransaction {
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
    /// What happens at its end.
    #[serde(rename = "t")]
    pub then: Continuation,
    /// Whether it has been given to a browser: then it must be spent. What can be read was given.
    #[serde(skip, default = "carried")]
    pub carried: bool,
}

fn carried() -> bool {
    true
}
