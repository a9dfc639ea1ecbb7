//! The table of every key there is. The reader takes defaults from it, the page `docs/configuration.md`
//! is checked against it.

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The section in the file.
    pub section: &'static str,
    /// The name in the section.
    pub name: &'static str,
    /// The default as one would write it; empty if there is none.
    pub default: &'static str,
    /// A name operators know from elsewhere, which sets the same.
    pub familiar: Option<&'static str>,
    /// Whether its value is a secret or may contain one (a password in a URL), and must never be shown.
    pub secret: bool,
    /// What it does, with bounds.
    pub meaning: &'static str,
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("CHANCERY_{}_{}", self.section, self.name).to_uppercase()
    }

    const fn familiar(mut self, name: &'static str) -> Self {
        self.familiar = Some(name);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

const fn key(section: &'static str, name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { section, name, default, familiar: None, secret: false, meaning }
}

/// Every key, in the order of the documentation.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("server", "listen", "127.0.0.1:8080", "Address and port of the public listener."),
    key("server", "ops_listen", "127.0.0.1:9464", "Address and port of the operations listener (metrics, figures). Keep it private."),
    key("server", "issuer", "", "The public origin: `https://host`, without path, query, fragment or trailing slash; `http` for loopback hosts only. Without it `http://` (with `[tls]`, `https://`) + `listen` is used when that is a loopback address; otherwise it is required.").secret(),
    key("server", "workers", "0", "Worker threads, up to 1024; 0 means one for each core."),
    key("server", "head_timeout", "10s", "Time to receive a request's head (100ms to 5m)."),
    key("server", "body_timeout", "10s", "Time to receive a request's body (100ms to 5m)."),
    key("server", "keep_alive", "75s", "Time an idle connection is kept open (1s to 1h)."),
    key("server", "shutdown_timeout", "10s", "Time requests get to finish after SIGTERM (0s to 10m)."),
    key("server", "max_connections", "25000", "Open connections per worker, above which new ones wait (1 to 1000000)."),
    key("server", "request_timeout", "10s", "Time to answer a request once its head was received; then it is answered 503 with Retry-After (100ms to 5m)."),
    key("server", "max_in_flight", "4096", "Requests worked on at once; more are answered 503 with Retry-After at once (1 to 1000000)."),
    key("tls", "cert", "", "File with the public listener's certificate and those of the authorities between it and a root (PEM). With it the listener speaks TLS 1.2 and 1.3 only. Looked at every five seconds: a renewed pair is used without a restart."),
    key("tls", "key", "", "File with the certificate's private key (PEM: PKCS #8, PKCS #1 or SEC 1), without a passphrase. Nobody but the user the server runs as should be able to read it."),
    key("store", "data_dir", "./chancery-data", "Folder of the embedded store and of the generated master key."),
    key("store", "url", "", "Where the store is: `sqlite:path`, or `postgres://user:password@host/database` for several nodes. Without it `chancery.db` in `data_dir`.").familiar("DATABASE_URL").secret(),
    key("store", "migration_url", "", "Postgres: where migrations go, if `url` leads through a pooler. Without it `url`.").familiar("DATABASE_MIGRATION_URL").secret(),
    key("store", "replica_urls", "", "Postgres: read replicas, a list of URLs. In the variable separated by commas.").familiar("DATABASE_REPLICA_URLS").secret(),
    key("store", "readers", "0", "Embedded store: connections that read, up to 256; 0 means one for each core."),
    key("postgres", "max_connections", "0", "Connections for requests, up to 10000; 0 means four for each core. A few more are kept for the change feed and for upkeep.").familiar("MAX_CONNECTIONS"),
    key("postgres", "min_idle", "2", "Connections kept open when there is nothing to do (0 to 10000; at most `max_connections`).").familiar("MIN_IDLE_CONNECTIONS"),
    key("postgres", "acquire_timeout", "1s", "How long a request waits for a free connection (10ms to 1m; less than `[server] request_timeout`).").familiar("CONNECTION_TIMEOUT"),
    key("postgres", "max_lifetime", "30m", "Age at which a connection is replaced (1m to 7d)."),
    key("postgres", "idle_timeout", "10m", "A connection above `min_idle` that was idle for so long is closed (1s to 24h; at most `max_lifetime`)."),
    key("postgres", "statement_timeout", "5s", "The longest a statement may take (10ms to 10m; less than `[server] request_timeout`)."),
    key("postgres", "prepared", "true", "Whether statements are prepared once for each connection. Set false behind PgBouncer before 1.21 in transaction mode."),
    key("postgres", "read_connections", "4", "Connections that reads of single rows share, one after the other without waiting (1 to 64)."),
    key("postgres", "root_file", "", "File with the certificates (PEM) to trust for TLS. Without it those of the system."),
    key("postgres", "group_commit", "true", "Whether concurrent commits are written together in one transaction."),
    key("redis", "url", "", "A Redis by which nodes notify each other of changes, which then take effect at once: `redis://user:password@host:6379/0`, or one of the forms below. Everything works without it.").familiar("REDIS_URL").secret(),
    key("redis", "strategy", "multiplexed", "multiplexed: all callers share one connection, their commands one behind the other; pooled: each borrows one from a pool; direct: a connection for each command."),
    key("redis", "pool_size", "16", "Connections of the pool, with the strategy pooled (1 to 1024)."),
    key("redis", "command_timeout", "50ms", "The longest a command may take; then it has failed, and is done without (1ms to 10s)."),
    key("redis", "root_file", "", "File with the certificates (PEM) to trust for TLS. Without it those of the system."),
    key("keys", "master", "", "Master keys: a list of 32-byte keys in base64. The first seals, all open. In the variable separated by commas. Not together with `master_file`.").secret(),
    key("keys", "master_file", "", "File with master keys, one in base64 on each line; the first seals, all open. Mode 0600 or 0400, owned by the user the server runs as. Without both, `master.key` in `data_dir` is used, and made at the first start; with Postgres one of the two is required."),
    key("keys", "algorithms", "RS256,ES256,PS256,EdDSA", "Algorithms to keep signing keys for: a list of RS256, ES256, PS256, EdDSA. In the variable separated by commas."),
    key("keys", "rotation", "90d", "Age at which the signing key is replaced (1h to 1000d; longer than `jwks_max_age` plus `[feed] max_staleness`)."),
    key("keys", "jwks_max_age", "1h", "How long others may cache the key set; a new key is published at least so long before it signs (5s to 7d)."),
    key("tokens", "access_lifetime", "15m", "Lifetime of access tokens, for clients without their own (1m to 24h)."),
    key("tokens", "id_token_lifetime", "15m", "Lifetime of ID tokens (1m to 24h)."),
    key("tokens", "code_lifetime", "60s", "Lifetime of authorization codes (5s to 60s)."),
    key("refresh", "idle_lifetime", "30d", "A refresh token dies when it was not used for so long (1m to 3650d; at most `lifetime`)."),
    key("refresh", "lifetime", "90d", "No rotation extends an authorization past this age (1m to 3650d)."),
    key("refresh", "retry_window", "10s", "A refresh token presented again within this time gets the same answer again, for clients without their own (0s to 60s)."),
    key("session", "idle_lifetime", "8h", "A sign-in ends when it was not used for so long (1m to 365d; at most `lifetime`)."),
    key("session", "lifetime", "7d", "A sign-in ends at this age in any case (1m to 365d)."),
    key("session", "logout_revokes", "true", "Whether a logout also revokes the tokens issued in that session."),
    key("feed", "max_staleness", "2s", "A revocation is effective on every node within this time; a node that cannot prove it stops answering (500ms to 1m)."),
    key("feed", "interval", "500ms", "How often the change feed is read (50ms to 30s; less than `max_staleness`)."),
    key("cache", "ttl", "5m", "How long a cached row is used at most (1s to 24h). The change feed makes it true long before; this bounds only what nobody hears of.").familiar("CACHE_DEFAULT_TTL"),
    key("cache", "max_memory", "64MiB", "Memory for cached rows (1MiB to 1024GiB).").familiar("CACHE_MAX_MEMORY_SIZE"),
    key("password", "memory_kib", "19456", "Argon2id memory in KiB (7168 to 4194304). With `iterations` at least as strong as 19456 and 2."),
    key("password", "iterations", "2", "Argon2id passes (1 to 100)."),
    key("password", "parallelism", "1", "Argon2id lanes (1 to 16)."),
    key("password", "threads", "0", "Threads that hash passwords, up to 256; 0 means one for each core."),
    key("password", "queue", "64", "Hashes that may wait; more are refused with 503 and Retry-After (1 to 100000)."),
    key("password", "min_length", "15", "Characters a new password has at least (8 to 64)."),
    key("pages", "templates", "", "Folder with page templates that replace the built-in ones of the same name."),
    key("log", "level", "info", "What is logged: error, warn, info, debug, trace, or a filter such as `info,chancery::store=debug`.").familiar("RUST_LOG"),
    key("log", "format", "auto", "json, text, or auto: text on a terminal and JSON otherwise."),
    key("log", "requests", "false", "Whether each request is logged when it has been answered, with its route, status and time."),
    key("metrics", "clients", "", "Clients whose requests are counted each, by `client_id`: a list of at most 50. In the variable separated by commas. Without it no metric names a client."),
    key("metrics", "memory_limit", "", "Memory the process may use (1MiB to 16384GiB), for the ratio that alerts watch. Without it the limit of the control group, else the machine's memory. It limits nothing."),
    key("tracing", "endpoint", "", "URL of an OpenTelemetry collector that takes OTLP over HTTP, to which `/v1/traces` is added. With it requests are traced; without it nothing is."),
    key("tracing", "sample", "1", "The share of requests that are traced, from 0 to 1, such as `0.1`. It decides for requests that come without a `traceparent`; one that comes with it is traced if its caller traces it."),
    key("tracing", "service_name", "chancery", "What this server is called in traces (`service.name`)."),
];

/// Names that operators know, whose mechanism is not there yet, and why they are refused.
#[rustfmt::skip]
pub const REFUSED: &[(&str, &str)] = &[
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "there are no rate limits yet; set them in the proxy in front"),
    ("RATE_LIMIT_BURST_ALLOWANCE", "there are no rate limits yet; set them in the proxy in front"),
];

/// The names of all sections, each once.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.chunk_by(|one, other| one.section == other.section).map(|keys| keys[0].section)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_keys_share_a_name_or_variable() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.variable()), "{}", key.variable());
            assert!(key.familiar.is_none_or(|name| seen.insert(name.to_owned())), "{:?}", key.familiar);
        }
        assert!(REFUSED.iter().all(|(name, _)| seen.insert((*name).to_owned())));
    }

    #[test]
    fn the_keys_of_a_section_stand_together() {
        let listed: Vec<_> = sections().collect();
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
    }

    #[test]
    fn no_key_could_be_taken_for_a_name_that_kubernetes_injects() {
        for key in KEYS {
            assert!(!super::super::env::is_service_link(&key.variable(), ""), "{}", key.variable());
        }
    }
}
