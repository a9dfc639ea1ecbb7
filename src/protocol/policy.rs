//! The issuer's rules that every decision may consult: configuration, as the protocol sees it.

/// A revocation is remembered for so long after the last token it concerns has expired, in seconds:
/// clocks differ between nodes, and may be set back while a node is down.
pub const REVOCATION_SLACK: u64 = 2 * 60 * 60;

/// What the operator decided. Lifetimes are in seconds.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The issuer identifier (RFC 8414 §2): configuration, never taken from a request.
    pub issuer: String,
    /// Lifetime of authorization codes; at most 60 (RFC 6749 §4.1.2 recommends at most 600).
    pub code_lifetime: u64,
    /// Lifetime of ID tokens.
    pub id_token_lifetime: u64,
    /// How long a rotated refresh token is answered again with the same bytes.
    pub retry_window: u64,
    /// The longest access-token lifetime any client has; revocations are kept so long, and 2 h.
    pub longest_access_lifetime: u64,
    /// A session ends when it was unused for so long.
    pub session_idle_lifetime: u64,
    /// A session ends after so long in any case.
    pub session_lifetime: u64,
    /// How long a login transaction may take.
    pub login_lifetime: u64,
    /// Whether signing out also revokes what was authorized in that session (but `offline_access`).
    pub logout_revokes: bool,
    /// The fewest characters of a new password (NIST SP 800-63B-4 §3.1.1.2).
    pub min_password_length: usize,
}

impl Policy {
    /// When a revocation entry of today may be forgotten: nothing it concerns is valid by then.
    pub fn forget_revocation_at(&self, now: crate::model::UnixTime) -> crate::model::UnixTime {
        now.plus(self.longest_access_lifetime).plus(REVOCATION_SLACK)
    }
}

#[cfg(test)]
impl Policy {
    /// Defaults for tests.
    pub fn example() -> Self {
        Self {
            issuer: "https://id.example".into(),
            code_lifetime: 60,
            id_token_lifetime: 900,
            retry_window: 10,
            longest_access_lifetime: 86_400,
            session_idle_lifetime: 8 * 3600,
            session_lifetime: 7 * 86_400,
            login_lifetime: 900,
            logout_revokes: true,
            min_password_length: 15,
        }
    }
}
