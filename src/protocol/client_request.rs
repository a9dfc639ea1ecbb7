//! RFC 6749 §2.3, §3.2 — a request that a client sends to one of its endpoints, read once.

use super::Params;

/// Everything of a client's request that is decided on. What authenticates it, binds it to a key or limits it
/// is read from here, and travels nowhere beside it.
#[derive(Clone, Debug, Default)]
pub struct ClientRequest<'r> {
    /// The value of the `Authorization` header.
    pub authorization: Option<&'r str>,
    /// The parameters of the form body. A batch has none but those that authenticate the client.
    pub form: Params<'r>,
}
