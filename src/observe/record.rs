//! How values get into the metrics: one typed method for each thing that happens.
//!
//! What is called for each request takes no lock, no look-up by name and no allocation. Methods that set
//! gauges are for samplers and slow paths.

use std::time::Duration;

use super::{
    labels::*,
    metrics::{ERROR_KINDS, FILES, Metrics, STATES},
    shape::Gauges,
};
use crate::model::{AuthMethod, KeyState, SecurityEvent, SigningAlg, SigningKey};

/// Requests.
impl Metrics {
    /// The handle of a route; `unmatched` if it is not listed.
    pub fn route(&self, method: &str, template: &str) -> RouteLabel {
        let (routes, templates) = (&self.labels.routes, self.labels.templates());
        RouteLabel {
            at: routes.iter().position(|route| *route == (method, template)).unwrap_or(routes.len()),
            template: templates.iter().position(|known| *known == template).unwrap_or(templates.len()),
        }
    }

    /// A client has connected. Each call is followed by one of [`Metrics::disconnected`], on any thread.
    pub fn connected(&self) {
        self.registry.step(self.http.connections, 1);
    }

    /// A connection is closed.
    pub fn disconnected(&self) {
        self.registry.step(self.http.connections, -1);
    }

    /// So much of a request's body was read.
    pub fn request_body(&self, route: RouteLabel, bytes: u64) {
        self.registry.observe_bytes(self.http.request_bodies, [route.template], bytes);
    }

    /// An answer has a body of this size.
    pub fn response_body(&self, route: RouteLabel, bytes: u64) {
        self.registry.observe_bytes(self.http.response_bodies, [route.template], bytes);
    }

    /// A request's head has arrived. Each call is followed by one of [`Metrics::request_left`], on any thread,
    /// also when the client goes away.
    pub fn request_arrived(&self) {
        self.registry.step(self.http.in_flight, 1);
    }

    /// A request is no longer being handled.
    pub fn request_left(&self) {
        self.registry.step(self.http.in_flight, -1);
    }

    /// A request was answered.
    pub fn request(&self, route: RouteLabel, status: u16, took: Duration) {
        self.registry.observe(self.http.durations, [route.at, class(status)], took);
        self.registry.add(self.http.requests, [route.at, exact(status)], 1);
    }

    /// A request was refused before it was routed.
    pub fn rejected(&self, reason: Rejection) {
        self.registry.add(self.http.rejected, [reason as usize], 1);
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.registry.add(self.http.panics, [], 1);
    }

    /// The files of the TLS certificate were changed: it is in force, or refused.
    pub fn certificate_changed(&self, in_force: bool) {
        self.registry.add(self.http.certificates, [usize::from(in_force)], 1);
    }
}

/// Protocol.
impl Metrics {
    /// The handle of a grant type; `unknown` if it is not listed.
    pub fn grant(&self, grant_type: &str) -> GrantLabel {
        let grants = &self.labels.grants;
        GrantLabel(grants.iter().position(|grant| *grant == grant_type).unwrap_or(grants.len()))
    }

    /// The token endpoint answered, with this OAuth error if any.
    pub fn token_request(&self, grant: GrantLabel, error: Option<&str>) {
        self.registry.add(self.oauth.token_requests, [grant.0, result(&self.labels.token_errors, error)], 1);
    }

    /// A token was issued.
    pub fn token_issued(&self, token: TokenType, grant: GrantLabel) {
        self.registry.add(self.oauth.tokens_issued, [token as usize, grant.0], 1);
    }

    /// The authorization endpoint answered, with this OAuth error if any.
    pub fn authorize_request(&self, error: Option<&str>) {
        self.registry.add(self.oauth.authorize_requests, [result(&self.labels.authorize_errors, error)], 1);
    }

    /// A token was introspected.
    pub fn introspection(&self, active: bool) {
        self.registry.add(self.oauth.introspections, [usize::from(active)], 1);
    }

    /// So many tokens were introspected at once.
    pub fn introspections(&self, active: usize, inactive: usize) {
        self.registry.add(self.oauth.introspections, [1], active as u64);
        self.registry.add(self.oauth.introspections, [0], inactive as u64);
    }

    /// A revocation was acknowledged.
    pub fn revocation(&self, cause: RevocationCause, what: Revoked) {
        self.registry.add(self.oauth.revocations, [cause as usize, what as usize], 1);
    }

    /// A revocation of another node became effective here, so long after it was committed.
    pub fn revocation_propagated(&self, after: Duration) {
        self.registry.observe(self.oauth.propagation, [], after);
    }

    /// A client tried to authenticate.
    pub fn client_auth(&self, method: AuthMethod, success: bool) {
        self.registry.add(self.oauth.client_auth, [method as usize, usize::from(success)], 1);
    }

    /// A JWT was rejected.
    pub fn jwt_rejected(&self, as_what: JwtUse, reason: JwtFailure) {
        self.registry.add(self.oauth.jwt_failures, [as_what as usize, reason as usize], 1);
    }

    /// Something an operator should be able to count.
    pub fn security_event(&self, event: SecurityEvent) {
        self.registry.add(self.oauth.security_events, [event as usize], 1);
    }
}

/// Signing in and out, passwords.
impl Metrics {
    /// Somebody tried to sign in with a password.
    pub fn login(&self, result: LoginResult) {
        self.registry.add(self.sign_in.logins, [result as usize], 1);
    }

    /// A session ended.
    pub fn logout(&self, how: LogoutKind) {
        self.registry.add(self.sign_in.logouts, [how as usize], 1);
    }

    /// A password was hashed; the time is that of the hash, without waiting.
    pub fn password_hashed(&self, operation: HashOperation, took: Duration) {
        self.registry.observe(self.sign_in.hash_durations, [operation as usize], took);
    }

    /// A hash was refused because too many were waiting.
    pub fn password_hash_rejected(&self) {
        self.registry.add(self.sign_in.hash_rejected, [], 1);
    }

    /// Sets how many jobs wait on a lane of threads.
    pub fn set_lane(&self, lane: LaneLabel, waiting: usize) {
        self.registry.set(self.runtime.queues, [lane as usize], waiting as f64);
    }

    /// Sets how many hashes wait, and how many may run at once.
    pub fn set_password_queue(&self, waiting: usize, slots: usize) {
        self.set_lane(LaneLabel::Password, waiting);
        self.registry.set(self.sign_in.hash_queue, [], waiting as f64);
        self.registry.set(self.sign_in.hash_slots, [], slots as f64);
    }
}

/// Signing keys.
impl Metrics {
    /// Signing keys were rotated, or should have been.
    pub fn key_rotated(&self, success: bool) {
        self.registry.add(self.keys.rotations, [usize::from(success)], 1);
    }

    /// Sets what is in the key ring.
    pub fn set_signing_keys(&self, keys: &[SigningKey]) {
        for alg in SigningAlg::ALL {
            let of = |state| keys.iter().filter(move |key| key.alg == alg && key.state == state);
            for (at, state) in STATES.into_iter().enumerate() {
                self.registry.set(self.keys.count, [alg as usize, at], of(state).count() as f64);
            }
            let activated = of(KeyState::Active).filter_map(|key| key.activated_at).max();
            let activated = activated.map_or(f64::NAN, |at| at.0 as f64);
            self.registry.set(self.keys.activated, [alg as usize], activated);
        }
    }
}

/// The store and the feed.
impl Metrics {
    /// The handle of a kind of statement, to be asked for once; `None` if it is not listed.
    pub fn operation(&self, name: &str) -> Option<OperationLabel> {
        self.labels.operations.iter().position(|operation| *operation == name).map(OperationLabel)
    }

    /// A statement was executed.
    pub fn query(&self, operation: OperationLabel, took: Duration) {
        self.registry.observe(self.storage.queries, [operation.0], took);
    }

    /// The store failed; `kind` as in `store::StoreErrorKind`.
    pub fn store_error(&self, kind: &str) {
        let at = ERROR_KINDS.iter().position(|known| *known == kind).unwrap_or(ERROR_KINDS.len() - 1);
        self.registry.add(self.storage.errors, [at], 1);
    }

    /// The sweeper deleted rows of a table.
    pub fn rows_deleted(&self, table: &str, rows: u64) {
        if let Some(at) = self.labels.tables.iter().position(|known| *known == table) {
            self.registry.add(self.storage.deleted, [at], rows);
        }
    }

    /// So many commits were written as one transaction.
    pub fn batch_written(&self, commits: usize) {
        self.registry.observe_size(self.storage.batches, [], commits);
    }

    /// Somebody got a connection of a pool, or gave up, after so long.
    pub fn pool_waited(&self, pool: &str, waited: Duration) {
        if let Some(at) = self.pool(pool) {
            self.registry.observe(self.storage.pool_waits, [at], waited);
        }
    }

    /// Sets how full a pool is.
    pub fn set_pool(&self, pool: &str, levels: PoolLevels) {
        if let Some(at) = self.pool(pool) {
            for (state, count) in [levels.in_use, levels.idle, levels.max].into_iter().enumerate() {
                self.registry.set(self.storage.connections, [at, state], count as f64);
            }
            self.registry.set(self.storage.pool_timeouts, [at], levels.timeouts as f64);
        }
    }

    fn pool(&self, name: &str) -> Option<usize> {
        self.labels.pools.iter().position(|pool| *pool == name)
    }

    /// Sets rows and bytes by class and bytes by file, as in `store::StorageStatistics`.
    pub fn set_storage(&self, rows: &[(&str, u64)], class_bytes: &[(&str, u64)], bytes: &[(&str, u64)]) {
        self.set_named(self.storage.rows, &self.labels.tables, rows);
        self.set_named(self.storage.class_bytes, &self.labels.tables, class_bytes);
        self.set_named(self.storage.bytes, &FILES, bytes);
    }

    /// Sets the number of the last applied migration.
    pub fn set_schema_version(&self, version: u32) {
        self.registry.set(self.storage.schema, [], f64::from(version));
    }

    /// Sets the age of what this node knows of the change feed.
    pub fn set_feed_staleness(&self, age: Duration) {
        self.registry.set(self.storage.staleness, [], age.as_secs_f64());
    }

    /// Sets how many revocations are held in memory, and for how many clients there were too many.
    pub fn set_revocations(&self, held: usize, clients_above_cap: usize) {
        self.registry.set(self.storage.revocations, [], held as f64);
        self.registry.set(self.storage.above_cap, [], clients_above_cap as f64);
    }

    fn set_named(&self, gauges: Gauges<1>, names: &[&str], values: &[(&str, u64)]) {
        for (name, value) in values {
            if let Some(at) = names.iter().position(|known| known == name) {
                self.registry.set(gauges, [at], *value as f64);
            }
        }
    }
}

/// What this node depends on.
impl Metrics {
    /// Sets whether it answered the last probe.
    pub fn set_backend_up(&self, which: Dependency, up: bool) {
        self.registry.set(self.dependencies.up, [which as usize], f64::from(u8::from(up)));
    }

    /// Sets what its circuit breaker did so far.
    pub fn set_breaker(&self, which: Dependency, levels: BreakerLevels) {
        let (dependencies, at) = (&self.dependencies, which as usize);
        self.registry.set(dependencies.breaker_state, [at], levels.state as f64);
        self.registry.set(dependencies.breaker_refused, [at], levels.refused as f64);
        for (to, times) in levels.transitions.into_iter().enumerate() {
            self.registry.set(dependencies.breaker_transitions, [at, to], times as f64);
        }
    }

    /// A call to the database was made again. (Nothing is asked of Redis twice.)
    pub fn retried(&self) {
        self.registry.add(self.dependencies.retries, [0], 1);
    }

    /// A command was sent to Redis and answered, or failed.
    pub fn redis_command(&self, command: &str, took: Duration) {
        if let Some(at) = self.labels.redis_commands.iter().position(|known| *known == command) {
            self.registry.observe(self.dependencies.redis_durations, [at], took);
        }
    }

    /// Sets how often Redis failed so far, by kind.
    pub fn set_redis_errors(&self, errors: &[(&str, u64)]) {
        self.set_named(self.dependencies.redis_errors, &self.labels.redis_errors, errors);
    }
}

/// Caches.
impl Metrics {
    /// The handle of a cache, to be asked for once; `None` if it is not listed.
    pub fn cache(&self, name: &str) -> Option<CacheLabel> {
        self.labels.caches.iter().position(|cache| *cache == name).map(CacheLabel)
    }

    /// So many look-ups in a cache ended like this; caches count for themselves and tell it in sums.
    pub fn cache_requests(&self, cache: CacheLabel, result: CacheResult, lookups: u64) {
        self.registry.add(self.caches.requests, [cache.0, result as usize], lookups);
    }

    /// Entries left a cache.
    pub fn cache_evicted(&self, cache: CacheLabel, reason: Eviction, entries: u64) {
        self.registry.add(self.caches.evictions, [cache.0, reason as usize], entries);
    }

    /// What a cache missed was looked for, and found or not, in so long.
    pub fn cache_loaded(&self, cache: CacheLabel, took: Duration) {
        self.registry.observe(self.caches.loads, [cache.0], took);
    }

    /// So many changes concerned the rows of a cache.
    pub fn cache_invalidated(&self, cache: CacheLabel, source: ChangeSource, changes: u64) {
        self.registry.add(self.caches.invalidations, [cache.0, source as usize], changes);
    }

    /// Sets the size of a cache.
    pub fn set_cache_size(&self, cache: CacheLabel, entries: u64, bytes: u64) {
        self.registry.set(self.caches.entries, [cache.0], entries as f64);
        self.registry.set(self.caches.weight, [cache.0], bytes as f64);
    }
}

/// The position of a result: success, the listed errors, then all others.
fn result(errors: &[&str], error: Option<&str>) -> usize {
    match error {
        None => 0,
        Some(error) => 1 + errors.iter().position(|known| *known == error).unwrap_or(errors.len()),
    }
}
