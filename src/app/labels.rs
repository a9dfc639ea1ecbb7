//! Everything that will ever be counted: the labels' values, from the layers that know them.

use super::grant_types;
use crate::{
    cache::{Cached, RedisCommand, RedisFailure},
    config::Config,
    http::route_table::ROUTES,
    observe::Labels,
    protocol::ErrorCode,
    store::{OPERATIONS, Store, sqlite::row_classes},
};

/// Everything that will ever be counted, from the tables of the layers that know it.
pub(super) fn labels(
    config: &Config,
    cached: &Cached<dyn Store>,
    (backend, pools): (&'static str, Vec<&'static str>),
) -> Labels {
    let errors = || ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let routes = ROUTES.iter().flat_map(|route| route.methods().map(|method| (method, route.path)));
    Labels {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("CHANCERY_REVISION").unwrap_or("unknown"),
        rustc: option_env!("CHANCERY_RUSTC").unwrap_or("unknown"),
        routes: routes.collect(),
        grants: grant_types(),
        token_errors: errors(),
        authorize_errors: errors(),
        tables: row_classes(),
        caches: cached.stats().iter().map(|statistics| statistics.cache).collect(),
        operations: OPERATIONS.to_vec(),
        backend,
        pools,
        redis_commands: RedisCommand::ALL.map(RedisCommand::as_str).to_vec(),
        redis_errors: RedisFailure::ALL.map(RedisFailure::as_str).to_vec(),
        clients: config.metrics.clients.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

    use super::*;
    use crate::{
        app::Node,
        crypto::random::Random,
        model::{KeyState, SigningAlg, SigningKey, UnixTime},
        observe::{Dependency, Metrics},
        resilience::Clock,
    };

    const PAGE: &str = include_str!("../../docs/metrics.md");

    /// The metrics of a node with as many clients as may be named, and this store.
    async fn metrics(backend: &'static str, pools: &[&'static str]) -> Arc<Metrics> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clients: Vec<_> = (0..50).map(|client| format!("client-{client}")).collect();
        let settings = BTreeMap::from([
            ("CHANCERY_STORE_DATA_DIR".to_owned(), folder.path().display().to_string()),
            ("CHANCERY_METRICS_CLIENTS".to_owned(), clients.join(",")),
        ]);
        let config = Config::load(None, &settings).expect("a good configuration");
        let clock = Clock::manual(UnixTime(1_800_000_000));
        let node = Node::open(config, clock, Random::seeded(1)).await.expect("a node");
        Metrics::new(labels(&node.config, &node.cached, (backend, pools.to_vec())))
    }

    /// Series with nothing left out: there is a Redis, and a key of every algorithm.
    fn series(metrics: &Metrics) -> usize {
        metrics.set_backend_up(Dependency::Redis, true);
        let key = |alg| SigningKey {
            kid: "a".to_owned(),
            alg,
            state: KeyState::Active,
            sealed: Vec::new(),
            created_at: UnixTime(1),
            activated_at: Some(UnixTime(1)),
            retired_at: None,
            gone_at: None,
        };
        metrics.set_signing_keys(&SigningAlg::ALL.map(key));
        metrics.encode().lines().filter(|line| !line.starts_with('#')).count()
    }

    #[tokio::test]
    async fn a_node_has_fewer_than_six_thousand_series_whatever_it_is_set_up_with() {
        let embedded = series(&*metrics("sqlite", &[]).await);
        assert!(embedded < 6_000, "{embedded}");
        let everything = ["request", "read", "replica", "feed", "upkeep"];
        let shared = series(&*metrics("postgres", &everything).await);
        assert!(embedded < shared && shared < 6_000, "{shared}");
    }

    /// The table of the page, as the code would write it.
    fn documented(metrics: &Metrics) -> String {
        let mut table = "| metric | type | labels | what it tells |\n|---|---|---|---|\n".to_owned();
        for family in metrics.families() {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
            let _ = writeln!(table, "| `{}` | {} | {labels} | {} |", family.name, family.kind, family.help);
        }
        table
    }

    #[tokio::test]
    async fn the_page_lists_every_metric_as_the_code_has_it_and_no_other() {
        let expected = documented(&*metrics("sqlite", &[]).await);
        let rows = PAGE.lines().skip_while(|line| !line.starts_with("| metric |"));
        let found: String =
            rows.take_while(|line| line.starts_with('|')).flat_map(|row| [row, "\n"]).collect();
        assert!(found == expected, "docs/metrics.md should have:\n\n{expected}");
        let named = PAGE.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(named, expected.lines().count() - 2, "metrics are listed in one table only");
    }
}
