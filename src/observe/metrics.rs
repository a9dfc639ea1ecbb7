//! Every metric's name, type, labels and help: the only home of metric names.
//!
//! How values get in is in `record.rs`, how they are kept and encoded in `registry.rs`.

use std::sync::{Arc, Mutex, OnceLock};

use super::{
    labels::*,
    rates::RateHistory,
    registry::{Builder, Registry},
    shape::{Axis, Bytes, Counters, Gauges, Histograms, Level, Sizes, axes, axis},
};
use crate::model::{AuthMethod, KeyState, SecurityEvent, SigningAlg};

/// Something that sets gauges shortly before they are read.
type Sampler = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// The metrics of this process.
pub struct Metrics {
    pub(super) labels: Labels,
    pub(super) registry: Registry,
    pub(super) samplers: Mutex<Vec<Sampler>>,
    pub(super) rates: RateHistory,
    /// What this process may use, if somebody has said so.
    pub(super) memory_limit: OnceLock<u64>,
    pub(super) http: HttpMetrics,
    pub(super) oauth: OauthMetrics,
    pub(super) sign_in: SignInMetrics,
    pub(super) keys: KeyMetrics,
    pub(super) storage: StorageMetrics,
    pub(super) dependencies: DependenciesMetrics,
    pub(super) caches: CacheMetrics,
    pub(super) runtime: RuntimeMetrics,
    pub(super) process: ProcessMetrics,
}

impl Metrics {
    /// Declares every series. All begin at 0, so that `increase()` sees the first event.
    pub fn new(labels: Labels) -> Arc<Self> {
        let mut builder = Builder::default();
        let build = axes(["version", "revision", "rustc"], [[labels.version, labels.revision, labels.rustc]]);
        let build = builder.gauges("chancery_build_info", "Build information, value 1.", [build]);
        let metrics = Self {
            http: HttpMetrics::declare(&mut builder, &labels),
            oauth: OauthMetrics::declare(&mut builder, &labels),
            sign_in: SignInMetrics::declare(&mut builder),
            keys: KeyMetrics::declare(&mut builder),
            storage: StorageMetrics::declare(&mut builder, &labels),
            dependencies: DependenciesMetrics::declare(&mut builder, &labels),
            caches: CacheMetrics::declare(&mut builder, &labels),
            runtime: RuntimeMetrics::declare(&mut builder),
            process: ProcessMetrics::declare(&mut builder),
            registry: builder.build(),
            samplers: Mutex::default(),
            rates: RateHistory::default(),
            memory_limit: OnceLock::new(),
            labels,
        };
        metrics.registry.set(build, [0], 1.0);
        for alg in SigningAlg::ALL {
            // An age since 1970 would raise the alert for old keys.
            metrics.registry.set(metrics.keys.activated, [alg as usize], f64::NAN);
        }
        // Whoever has no Redis must not be told that it is down.
        metrics.registry.set(metrics.dependencies.up, [Dependency::Redis as usize], f64::NAN);
        metrics.registry.set(metrics.process.started, [], super::process::unix_seconds());
        Arc::new(metrics)
    }
}

pub(super) struct HttpMetrics {
    pub(super) durations: Histograms<2>,
    pub(super) requests: Counters<2>,
    pub(super) in_flight: Level,
    pub(super) connections: Level,
    pub(super) request_bodies: Bytes<1>,
    pub(super) response_bodies: Bytes<1>,
    pub(super) rejected: Counters<1>,
    pub(super) panics: Counters<0>,
    pub(super) certificates: Counters<1>,
}

impl HttpMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder, labels: &Labels) -> Self {
        let routes = || {
            let routes = labels.routes.iter().map(|(method, route)| [*method, *route]);
            axes(["method", "route"], routes.chain([["other", "unmatched"]]))
        };
        let statuses = STATUS_NAMES.into_iter().chain(CLASSES);
        let templates = || axis("route", labels.templates().into_iter().chain(["unmatched"]));
        Self {
            durations: to.histograms("chancery_http_request_duration_seconds", "Time from request head to response end.", [routes(), axis("status_class", CLASSES)]),
            requests: to.counters("chancery_http_requests_total", "Requests by exact status.", [routes(), axis("status", statuses)]),
            in_flight: to.level("chancery_http_requests_in_flight", "Requests being handled."),
            connections: to.level("chancery_http_connections", "Open TCP connections, of both listeners."),
            request_bodies: to.bytes("chancery_http_request_body_bytes", "Sizes of the bodies of requests, as far as they were read; requests without one are not counted.", [templates()]),
            response_bodies: to.bytes("chancery_http_response_body_bytes", "Sizes of the bodies of answers whose size is known before they are sent; answers without one, and those given in place of a handler (overload, time out, panic), are not counted.", [templates()]),
            rejected: to.counters("chancery_http_rejected_total", "Requests refused before routing.", [closed(Rejection::ALL, "reason", Rejection::as_str)]),
            panics: to.counters("chancery_panics_total", "Caught panics.", []),
            certificates: to.counters("chancery_tls_renewals_total", "Changed certificate files, put in force or refused.", [outcome()]),
        }
    }
}

pub(super) struct OauthMetrics {
    pub(super) token_requests: Counters<2>,
    pub(super) tokens_issued: Counters<2>,
    pub(super) authorize_requests: Counters<1>,
    pub(super) introspections: Counters<1>,
    pub(super) revocations: Counters<2>,
    pub(super) propagation: Histograms<0>,
    pub(super) client_auth: Counters<2>,
    pub(super) jwt_failures: Counters<2>,
    pub(super) security_events: Counters<1>,
    pub(super) clients: Counters<3>,
}

impl OauthMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder, labels: &Labels) -> Self {
        let grants = || axis("grant_type", labels.grants.iter().copied().chain(["unknown"]));
        let methods = axis("method", AuthMethod::ALL.map(AuthMethod::as_str));
        let events = SecurityEvent::ALL.map(|event| [event.as_str(), event.severity()]);
        Self {
            token_requests: to.counters("chancery_token_requests_total", "Token endpoint results by OAuth error.", [grants(), outcomes(&labels.token_errors)]),
            tokens_issued: to.counters("chancery_tokens_issued_total", "Tokens issued.", [closed(TokenType::ALL, "token_type", TokenType::as_str), grants()]),
            authorize_requests: to.counters("chancery_authorize_requests_total", "Authorization endpoint results.", [outcomes(&labels.authorize_errors)]),
            introspections: to.counters("chancery_introspections_total", "Introspection answers.", [axis("active", ["false", "true"])]),
            revocations: to.counters("chancery_revocations_total", "Acknowledged revocations.", [closed(RevocationCause::ALL, "cause", RevocationCause::as_str), closed(Revoked::ALL, "token_type", Revoked::as_str)]),
            propagation: to.histograms("chancery_revocation_propagation_seconds", "Commit on one node to effect on this node.", []),
            client_auth: to.counters("chancery_client_auth_total", "Client authentication.", [methods, outcome()]),
            jwt_failures: to.counters("chancery_jwt_verify_failures_total", "Rejected JWTs.", [closed(JwtUse::ALL, "use", JwtUse::as_str), closed(JwtFailure::ALL, "reason", JwtFailure::as_str)]),
            security_events: to.counters("chancery_security_events_total", "Security events.", [axes(["event", "severity"], events)]),
            clients: to.counters("chancery_client_requests_total", "Requests by the client_id they present, for the clients of `[metrics] clients` only.", [axis("client_id", labels.clients.iter().cloned()), closed(Endpoint::ALL, "endpoint", Endpoint::as_str), outcome()]),
        }
    }
}

pub(super) struct SignInMetrics {
    pub(super) logins: Counters<1>,
    pub(super) logouts: Counters<1>,
    pub(super) hash_durations: Histograms<1>,
    pub(super) hash_queue: Gauges<0>,
    pub(super) hash_slots: Gauges<0>,
    pub(super) hash_rejected: Counters<0>,
}

impl SignInMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder) -> Self {
        let logins = LoginResult::ALL.iter().map(|login| {
            ["password", if *login == LoginResult::Success { "success" } else { "failure" }, login.as_str()]
        });
        Self {
            logins: to.counters("chancery_login_attempts_total", "Login attempts per factor.", [axes(["method", "outcome", "reason"], logins)]),
            logouts: to.counters("chancery_logouts_total", "Logouts.", [closed(LogoutKind::ALL, "type", LogoutKind::as_str)]),
            hash_durations: to.histograms("chancery_password_hash_duration_seconds", "Argon2 time.", [closed(HashOperation::ALL, "operation", HashOperation::as_str)]),
            hash_queue: to.gauges("chancery_password_hash_queue", "Waiting hash jobs.", []),
            hash_slots: to.gauges("chancery_password_hash_slots", "Allowed hash jobs.", []),
            hash_rejected: to.counters("chancery_password_hash_rejected_total", "Jobs refused for overload.", []),
        }
    }
}

pub(super) struct KeyMetrics {
    pub(super) count: Gauges<2>,
    pub(super) activated: Gauges<1>,
    pub(super) rotations: Counters<1>,
}

/// The states of keys that are in the set.
pub(super) const STATES: [KeyState; 3] = [KeyState::Next, KeyState::Active, KeyState::Retiring];

impl KeyMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder) -> Self {
        let algs = || axis("alg", SigningAlg::ALL.map(SigningAlg::as_str));
        Self {
            count: to.gauges("chancery_signing_keys", "Keys in the set.", [algs(), axis("state", STATES.map(KeyState::as_str))]),
            activated: to.gauges("chancery_signing_key_activated_timestamp_seconds", "When the active key became active.", [algs()]),
            rotations: to.counters("chancery_key_rotations_total", "Rotations.", [outcome()]),
        }
    }
}

pub(super) struct StorageMetrics {
    pub(super) queries: Histograms<1>,
    pub(super) errors: Counters<1>,
    pub(super) batches: Sizes<0>,
    pub(super) connections: Gauges<2>,
    pub(super) pool_waits: Histograms<1>,
    pub(super) pool_timeouts: Gauges<1>,
    pub(super) bytes: Gauges<1>,
    pub(super) rows: Gauges<1>,
    pub(super) class_bytes: Gauges<1>,
    pub(super) deleted: Counters<1>,
    pub(super) schema: Gauges<0>,
    pub(super) staleness: Gauges<0>,
    pub(super) revocations: Gauges<0>,
    pub(super) above_cap: Gauges<0>,
}

/// The `kind` values of [`StorageMetrics::errors`].
pub(super) const ERROR_KINDS: [&str; 6] =
    ["connection", "serialization", "busy", "constraint", "io", "other"];

/// The `file` values of [`StorageMetrics::bytes`].
pub(super) const FILES: [&str; 2] = ["db", "wal"];

impl StorageMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder, labels: &Labels) -> Self {
        let operations = axes(["backend", "operation"], labels.operations.iter().map(|operation| [labels.backend, *operation]));
        let errors = axes(["backend", "kind"], ERROR_KINDS.map(|kind| [labels.backend, kind]));
        let pools = || axis("pool", labels.pools.iter().copied());
        let tables = |name| axis(name, labels.tables.iter().copied());
        Self {
            queries: to.histograms("chancery_db_query_duration_seconds", "Statement time.", [operations]),
            errors: to.counters("chancery_db_errors_total", "Database errors.", [errors]),
            batches: to.sizes("chancery_db_batch_size", "Commits written as one transaction.", []),
            connections: to.gauges("chancery_db_pool_connections", "Connections of the pool.", [pools(), axis("state", ["in_use", "idle", "max"])]),
            pool_waits: to.histograms("chancery_db_pool_wait_seconds", "Time to get a connection.", [pools()]),
            pool_timeouts: to.observed_counters("chancery_db_pool_timeouts_total", "Callers that got no connection in time.", [pools()]),
            bytes: to.gauges("chancery_storage_bytes", "Sizes of the store's files.", [axis("file", FILES)]),
            rows: to.gauges("chancery_storage_rows", "Rows by class.", [tables("class")]),
            class_bytes: to.gauges("chancery_storage_class_bytes", "Size of each class with its indexes, where the store knows it.", [tables("class")]),
            deleted: to.counters("chancery_expired_rows_deleted_total", "Rows the sweeper deleted.", [tables("table")]),
            schema: to.gauges("chancery_schema_version", "Applied migration.", []),
            staleness: to.gauges("chancery_feed_staleness_seconds", "Age of what this node knows of the change feed.", []),
            revocations: to.gauges("chancery_revocations", "Revocations this node holds in memory.", []),
            above_cap: to.gauges("chancery_revocation_clients_above_cap", "Clients with more revoked tokens than memory may hold; the store is asked for theirs.", []),
        }
    }
}

/// What a node depends on, as it looks from here.
pub(super) struct DependenciesMetrics {
    pub(super) up: Gauges<1>,
    pub(super) breaker_state: Gauges<1>,
    pub(super) breaker_transitions: Gauges<2>,
    pub(super) breaker_refused: Gauges<1>,
    pub(super) retries: Counters<1>,
    pub(super) redis_durations: Histograms<1>,
    pub(super) redis_errors: Gauges<1>,
}

impl DependenciesMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder, labels: &Labels) -> Self {
        let of = |name| closed(Dependency::ALL, name, Dependency::as_str);
        Self {
            up: to.gauges("chancery_backend_up", "1 if the last probe succeeded.", [of("backend")]),
            breaker_state: to.gauges("chancery_breaker_state", "The circuit breaker: 0 closed, 1 half-open, 2 open.", [of("backend")]),
            breaker_transitions: to.observed_counters("chancery_breaker_transitions_total", "How often the circuit breaker came into a state.", [of("backend"), axis("to", ["closed", "half_open", "open"])]),
            breaker_refused: to.observed_counters("chancery_breaker_refused_total", "Calls the circuit breaker refused.", [of("backend")]),
            retries: to.counters("chancery_retries_total", "Calls that were made again. Nothing is asked of Redis twice.", [axis("dependency", [Dependency::Sql.as_str()])]),
            redis_durations: to.histograms("chancery_redis_command_duration_seconds", "Time of Redis commands.", [axis("command", labels.redis_commands.iter().copied())]),
            redis_errors: to.observed_counters("chancery_redis_errors_total", "Redis commands that failed.", [axis("kind", labels.redis_errors.iter().copied())]),
        }
    }
}

pub(super) struct CacheMetrics {
    pub(super) requests: Counters<2>,
    pub(super) entries: Gauges<1>,
    pub(super) weight: Gauges<1>,
    pub(super) evictions: Counters<2>,
    pub(super) loads: Histograms<1>,
    pub(super) invalidations: Counters<2>,
}

impl CacheMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder, labels: &Labels) -> Self {
        let caches = || axis("cache", labels.caches.iter().copied());
        Self {
            requests: to.counters("chancery_cache_requests_total", "Cache look-ups.", [caches(), closed(CacheResult::ALL, "result", CacheResult::as_str)]),
            entries: to.gauges("chancery_cache_entries", "Entries in the cache.", [caches()]),
            weight: to.gauges("chancery_cache_weight_bytes", "Size of the cache.", [caches()]),
            evictions: to.counters("chancery_cache_evictions_total", "Evictions.", [caches(), closed(Eviction::ALL, "reason", Eviction::as_str)]),
            loads: to.histograms("chancery_cache_load_duration_seconds", "Time to fill after a miss, also in vain.", [caches()]),
            invalidations: to.counters("chancery_cache_invalidations_total", "Changes that concern the cache, whether or not it held the row. What this node committed is local, and comes once more with the feed.", [caches(), closed(ChangeSource::ALL, "source", ChangeSource::as_str)]),
        }
    }
}

pub(super) struct RuntimeMetrics {
    pub(super) busy: Gauges<0>,
    pub(super) queues: Gauges<1>,
}

impl RuntimeMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder) -> Self {
        Self {
            busy: to.gauges("chancery_runtime_busy_ratio", "Share of the time of the public listener's workers that they were busy, over the last 15 seconds.", []),
            queues: to.gauges("chancery_runtime_blocking_queue", "Jobs waiting on a lane of threads.", [closed(LaneLabel::ALL, "lane", LaneLabel::as_str)]),
        }
    }
}

pub(super) struct ProcessMetrics {
    pub(super) memory_limit: Gauges<0>,
    pub(super) cpu: Gauges<0>,
    pub(super) resident: Gauges<0>,
    pub(super) virtual_memory: Gauges<0>,
    pub(super) open_fds: Gauges<0>,
    pub(super) max_fds: Gauges<0>,
    pub(super) started: Gauges<0>,
    pub(super) spans_dropped: Gauges<0>,
}

impl ProcessMetrics {
    #[rustfmt::skip]
    fn declare(to: &mut Builder) -> Self {
        Self {
            memory_limit: to.gauges("chancery_memory_limit_bytes", "Memory this process may use: as configured, else the limit of its control group, else the machine's.", []),
            cpu: to.observed_counters("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", []),
            resident: to.gauges("process_resident_memory_bytes", "Resident memory size in bytes.", []),
            virtual_memory: to.gauges("process_virtual_memory_bytes", "Virtual memory size in bytes.", []),
            open_fds: to.gauges("process_open_fds", "Number of open file descriptors.", []),
            max_fds: to.gauges("process_max_fds", "Maximum number of open file descriptors.", []),
            spans_dropped: to.observed_counters("chancery_trace_spans_dropped_total", "Spans that the collector did not take, or not in time.", []),
            started: to.gauges("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", []),
        }
    }
}

fn closed<T: Copy>(all: &[T], name: &'static str, as_str: fn(T) -> &'static str) -> Axis {
    axis(name, all.iter().map(|value| as_str(*value)))
}

/// Failure first, so that a flag is its position.
fn outcome() -> Axis {
    axis("outcome", ["failure", "success"])
}

/// Success, then a failure for each error, then one for errors that are not listed.
fn outcomes(errors: &[&'static str]) -> Axis {
    let failures = errors.iter().copied().chain(["other"]).map(|error| ["failure", error]);
    axes(["outcome", "error"], [["success", "none"]].into_iter().chain(failures))
}
