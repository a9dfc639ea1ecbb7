//! The closed sets of label values, and handles to those that the caller brings along.

/// An enumeration whose values are label values, in the order of their series.
macro_rules! closed {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label's value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

closed! {
    /// Why a request was refused before it was routed.
    Rejection {
        /// The body is larger than the limit.
        BodyTooLarge => "body_too_large",
        /// The head is larger than the limit.
        HeaderTooLarge => "header_too_large",
        /// Head or body did not arrive in time.
        Timeout => "timeout",
        /// Not HTTP.
        Malformed => "malformed",
        /// More than can be served.
        Overload => "overload",
    }
}

closed! {
    /// What is issued.
    TokenType {
        /// An access token.
        Access => "access",
        /// A refresh token.
        Refresh => "refresh",
        /// An ID token.
        Id => "id",
    }
}

closed! {
    /// Why something was revoked.
    RevocationCause {
        /// A client asked (RFC 7009).
        Client => "client",
        /// A person asked, at `/account` or by a new password.
        User => "user",
        /// An operator asked.
        Admin => "admin",
        /// A session ended.
        Logout => "logout",
        /// A code or refresh token was presented twice.
        Reuse => "reuse",
        /// A client or user was disabled.
        Disable => "disable",
    }
}

closed! {
    /// What was revoked.
    Revoked {
        /// One access token.
        Access => "access",
        /// A refresh token, and with it its family.
        Refresh => "refresh",
        /// A family, for another reason than its refresh token.
        Family => "family",
        /// Everything of a user or client.
        All => "all",
    }
}

closed! {
    /// How an attempt to sign in ended.
    LoginResult {
        /// The person is signed in.
        Success => "none",
        /// There is no such user.
        UnknownUser => "unknown_user",
        /// The password is wrong.
        WrongPassword => "wrong_password",
        /// The user is disabled.
        Disabled => "disabled",
        /// The user has no password.
        NoPassword => "no_password",
        /// Too many passwords were waiting to be hashed.
        Overload => "overload",
    }
}

closed! {
    /// What a rejected JWT was presented as.
    JwtUse {
        /// An access token (RFC 9068).
        Access => "access",
        /// An `id_token_hint`.
        IdTokenHint => "id_token_hint",
    }
}

closed! {
    /// Why a JWT was rejected.
    JwtFailure {
        /// Not a JWS in compact form.
        Malformed => "malformed",
        /// An algorithm that is not accepted, or not the key's.
        Algorithm => "algorithm",
        /// A header parameter that is not accepted, `crit` for example.
        Header => "header",
        /// The wrong `typ`.
        Type => "type",
        /// A `kid` that is not in the key ring.
        Key => "key",
        /// The signature does not fit.
        Signature => "signature",
        /// Expired, of another issuer, or for another audience.
        Claims => "claims",
    }
}

closed! {
    /// What Argon2id was asked to do.
    HashOperation {
        /// Hash a new password.
        Hash => "hash",
        /// Compare a password with a hash.
        Verify => "verify",
    }
}

closed! {
    /// What a node depends on.
    Dependency {
        /// The database.
        Sql => "sql",
        /// Redis.
        Redis => "redis",
    }
}

closed! {
    /// How a look-up in a cache ended.
    CacheResult {
        /// Found.
        Hit => "hit",
        /// Not found.
        Miss => "miss",
        /// The cache failed.
        Error => "error",
    }
}

closed! {
    /// Why an entry left a cache.
    Eviction {
        /// There was no room.
        Size => "size",
        /// It was too old.
        Ttl => "ttl",
        /// Its row changed.
        Invalidated => "invalidated",
    }
}

closed! {
    /// How a node learned that cached rows are untrue.
    ChangeSource {
        /// It was committed on this node.
        Local => "local",
        /// It came with the change feed.
        Feed => "feed",
    }
}

closed! {
    /// Threads that do what would hold up the workers.
    LaneLabel {
        /// Hashing passwords.
        Password => "password",
        /// Making RSA signatures.
        Signing => "signing",
    }
}

closed! {
    /// Endpoints at which a client authenticates.
    Endpoint {
        /// The token endpoint.
        Token => "token",
        /// Introspection, of one token or many.
        Introspect => "introspect",
        /// Revocation.
        Revoke => "revoke",
    }
}

closed! {
    /// How a session ended.
    LogoutKind {
        /// By RP-Initiated Logout.
        Rp => "rp",
        /// By the person at `/account`.
        Account => "account",
        /// By an operator.
        Admin => "admin",
    }
}

/// A route template with its method; from [`super::Metrics::route`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteLabel {
    /// Its place among the routes with their methods.
    pub(super) at: usize,
    /// Its place among the templates.
    pub(super) template: usize,
}

/// A grant type; from [`super::Metrics::grant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantLabel(pub(super) usize);

/// A cache; from [`super::Metrics::cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLabel(pub(super) usize);

/// How full a pool of connections is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLevels {
    /// Connections that somebody uses.
    pub in_use: usize,
    /// Connections that nobody uses.
    pub idle: usize,
    /// Connections there may be.
    pub max: usize,
    /// Callers that waited in vain so far.
    pub timeouts: u64,
}

/// What a circuit breaker did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLevels {
    /// 0 closed, 1 half-open, 2 open.
    pub state: usize,
    /// How often it came into each of these states.
    pub transitions: [u64; 3],
    /// Calls it refused.
    pub refused: u64,
}

/// A kind of statement; from [`super::Metrics::operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationLabel(pub(super) usize);

/// The label values that layers above know: everything that will ever be counted, once.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// The version of Chancery.
    pub version: &'static str,
    /// The commit it was built from.
    pub revision: &'static str,
    /// The compiler.
    pub rustc: &'static str,
    /// Method and template of each route.
    pub routes: Vec<(&'static str, &'static str)>,
    /// The grant types of the token endpoint.
    pub grants: Vec<&'static str>,
    /// The errors of the token endpoint.
    pub token_errors: Vec<&'static str>,
    /// The errors of the authorization endpoint.
    pub authorize_errors: Vec<&'static str>,
    /// The tables of the store.
    pub tables: Vec<&'static str>,
    /// The caches.
    pub caches: Vec<&'static str>,
    /// The kinds of statements.
    pub operations: Vec<&'static str>,
    /// The database: `sqlite` or `postgres`.
    pub backend: &'static str,
    /// The pools of connections to it.
    pub pools: Vec<&'static str>,
    /// The commands sent to Redis.
    pub redis_commands: Vec<&'static str>,
    /// How they fail.
    pub redis_errors: Vec<&'static str>,
    /// The clients whose requests are counted each.
    pub clients: Vec<String>,
}

impl Labels {
    /// The templates of the routes, each once.
    pub(super) fn templates(&self) -> Vec<&'static str> {
        let mut templates = Vec::new();
        for (_, template) in &self.routes {
            if !templates.contains(template) {
                templates.push(*template);
            }
        }
        templates
    }
}

/// The exact statuses that are told apart. Another one is counted as its class, `5xx` for example, which
/// queries like `status=~"5.."` also match.
pub(super) const STATUSES: [u16; 22] = [
    200, 204, 302, 303, 304, 400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 414, 415, 429, 431, 500, 503,
    504,
];

/// The label values of [`STATUSES`] and, behind them, of [`CLASSES`].
pub(super) const STATUS_NAMES: [&str; STATUSES.len()] = [
    "200", "204", "302", "303", "304", "400", "401", "403", "404", "405", "406", "408", "409", "411", "413",
    "414", "415", "429", "431", "500", "503", "504",
];

/// Final statuses by class.
pub(super) const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The position of a status in [`CLASSES`]. What cannot end a request counts as our fault.
pub(super) fn class(status: u16) -> usize {
    match status {
        200..300 => 0,
        300..400 => 1,
        400..500 => 2,
        _ => 3,
    }
}

/// The position of a status in [`STATUS_NAMES`] followed by [`CLASSES`].
pub(super) fn exact(status: u16) -> usize {
    STATUSES.binary_search(&status).unwrap_or_else(|_| STATUSES.len() + class(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AuthMethod, SecurityEvent, SigningAlg};

    #[test]
    fn statuses_and_their_names_are_the_same_and_sorted() {
        assert!(STATUSES.is_sorted());
        assert_eq!(STATUSES.map(|status| status.to_string()), STATUS_NAMES.map(str::to_owned));
    }

    #[test]
    fn every_status_has_a_position() {
        for status in 0..=u16::MAX {
            assert!(exact(status) < STATUSES.len() + CLASSES.len());
        }
        assert_eq!(STATUS_NAMES[exact(429)], "429");
        assert_eq!(CLASSES[exact(507) - STATUSES.len()], "5xx");
        assert_eq!(CLASSES[class(101)], "5xx");
    }

    /// The position in `ALL` is used as a series' position.
    #[test]
    fn enumerations_are_listed_in_the_order_of_their_declaration() {
        assert!(SecurityEvent::ALL.iter().enumerate().all(|(at, event)| *event as usize == at));
        assert!(AuthMethod::ALL.iter().enumerate().all(|(at, method)| *method as usize == at));
        assert!(SigningAlg::ALL.iter().enumerate().all(|(at, alg)| *alg as usize == at));
        assert!(LoginResult::ALL.iter().enumerate().all(|(at, login)| *login as usize == at));
    }
}
