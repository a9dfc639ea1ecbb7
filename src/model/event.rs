//! Security events: a closed set, each with a severity (`chancery_security_events_total`).

/// Something an operator should be able to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecurityEvent {
    /// A valid authorization code was presented a second time; its family was revoked.
    CodeReplay,
    /// A rotated refresh token was presented outside the retry window; its family was revoked.
    RefreshReuse,
    /// A refresh token was presented that is newer than its row, or another of the same generation: the
    /// store has lost what it acknowledged (a failover, a restored backup). Its family was revoked.
    StoreBehind,
    /// A rotated refresh token was answered again inside the retry window.
    RefreshRetry,
    /// A code was presented with a wrong `code_verifier`.
    PkceMismatch,
    /// A `code_verifier` was missing where there was a challenge, or there where was none.
    PkceDowngrade,
    /// An authorization request named an unregistered redirect URI.
    RedirectUriRejected,
    /// A JWT named an algorithm or header parameter that is not accepted.
    JwtAlgRejected,
    /// A form was posted without its CSRF token.
    CsrfRejected,
    /// A login transaction was continued by another browser than the one that began it.
    SessionFixationBlocked,
    /// A client asked for a scope outside its allow-list.
    ScopeEscalation,
    /// A code or refresh token of one client was presented by another.
    ForeignToken,
}

impl SecurityEvent {
    /// Every event, for the metric's initial series.
    pub const ALL: [Self; 12] = [
        Self::CodeReplay,
        Self::RefreshReuse,
        Self::StoreBehind,
        Self::RefreshRetry,
        Self::PkceMismatch,
        Self::PkceDowngrade,
        Self::RedirectUriRejected,
        Self::JwtAlgRejected,
        Self::CsrfRejected,
        Self::SessionFixationBlocked,
        Self::ScopeEscalation,
        Self::ForeignToken,
    ];

    /// The `event` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeReplay => "code_replay",
            Self::RefreshReuse => "refresh_reuse",
            Self::StoreBehind => "store_behind",
            Self::RefreshRetry => "refresh_retry",
            Self::PkceMismatch => "pkce_mismatch",
            Self::PkceDowngrade => "pkce_downgrade",
            Self::RedirectUriRejected => "redirect_uri_rejected",
            Self::JwtAlgRejected => "jwt_alg_rejected",
            Self::CsrfRejected => "csrf_rejected",
            Self::SessionFixationBlocked => "session_fixation_blocked",
            Self::ScopeEscalation => "scope_escalation",
            Self::ForeignToken => "foreign_token",
        }
    }

    /// The `severity` label.
    pub const fn severity(self) -> &'static str {
        match self {
            Self::CodeReplay | Self::RefreshReuse | Self::StoreBehind => "critical",
            Self::RefreshRetry | Self::ScopeEscalation | Self::RedirectUriRejected => "info",
            _ => "warning",
        }
    }
}
