//! What a node does besides answering: the feed, the key schedule, sweeping, fresh salts, statistics.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use super::{Node, statistics::NodeStatistics};
use crate::{
    http::tls::{Certificate, Renewal},
    observe::{Metrics, unavailable},
    protocol::key_rotation::KeyRotation,
    provider::Provider,
};

/// How often it is noted what has happened, for rates.
const RATE_SAMPLE: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How often the store is asked whether it is there: one small read.
const PROBE: Duration = Duration::from_secs(5);
/// How often it is looked whether the node is ready, for the log.
const READINESS: Duration = Duration::from_millis(500);
/// How often the log says how many requests were not answered.
const REPORT: Duration = Duration::from_secs(10);
/// How often it is looked whether the certificate's files were replaced.
const CERTIFICATE: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Expired rows deleted in one go: a transaction of a few milliseconds.
const SWEEP: usize = 500;
/// Commits get the writer to themselves for so long between two goes.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// The running tasks.
pub(super) struct Tasks {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Tasks {
    /// Starts them all. The feed must have been read to its end before.
    pub(super) fn start(
        node: &Node,
        statistics: &Arc<NodeStatistics>,
        certificate: Option<&Arc<Certificate>>,
    ) -> Self {
        let mut tasks = Self { stop: watch::Sender::new(false), running: Vec::new() };
        let tail = Arc::clone(node.cached.tail());
        let stopped = tasks.stopped();
        tasks.watched("change feed", tail.run(stopped));
        if let Some(redis) = &node.redis {
            let stopped = tasks.stopped();
            tasks.watched("redis", Arc::clone(redis).run(stopped));
        }
        if let Some(notifications) = node.cached.change_notifications() {
            let stopped = tasks.stopped();
            tasks.watched("change notifications", Arc::clone(notifications).run(stopped));
        }
        let (provider, rules) = (Arc::clone(&node.provider), node.rotation.clone());
        let stopped = tasks.stopped();
        tasks.watched("signing keys", keep_keys(provider, rules, stopped));
        let provider = Arc::clone(&node.provider);
        tasks.every(MINUTE, "sweeper", move || sweep(Arc::clone(&provider)));
        let sealer = Arc::clone(&node.provider.sealer);
        tasks.every(HOUR, "salt", move || {
            sealer.fresh_salt();
            std::future::ready(())
        });
        if let Some(certificate) = certificate {
            tasks.renew(certificate, &node.provider.metrics);
        }
        tasks.watch(statistics);
        tasks
    }

    /// Looks whether the certificate's files were replaced.
    fn renew(&mut self, certificate: &Arc<Certificate>, metrics: &Arc<Metrics>) {
        let (certificate, metrics) = (Arc::clone(certificate), Arc::clone(metrics));
        self.every(CERTIFICATE, "certificate", move || {
            let (certificate, metrics) = (Arc::clone(&certificate), Arc::clone(&metrics));
            async move {
                // Files may be on a network; the workers must not wait for them.
                let looked = tokio::task::spawn_blocking(move || certificate.renew()).await;
                match looked.expect("a look at two files does not panic") {
                    Renewal::Unchanged => {}
                    Renewal::Renewed(fingerprint) => {
                        metrics.certificate_changed(true);
                        tracing::info!(fingerprint, "TLS certificate reloaded");
                    }
                    Renewal::Refused(fault) => {
                        metrics.certificate_changed(false);
                        tracing::error!(
                            %fault,
                            "reloading the TLS certificate failed; keeping the previous one"
                        );
                    }
                }
            }
        });
    }

    /// Finds out how the node is, and says so.
    fn watch(&mut self, statistics: &Arc<NodeStatistics>) {
        let probed = Arc::clone(statistics);
        self.every(PROBE, "probe", move || {
            let statistics = Arc::clone(&probed);
            async move { statistics.probe().await }
        });
        let watched = Arc::clone(statistics);
        self.every(READINESS, "readiness", move || {
            watched.log_readiness();
            std::future::ready(())
        });
        self.every(REPORT, "unavailable requests", || {
            unavailable::report();
            std::future::ready(())
        });
        let metrics = Arc::clone(&statistics.provider.metrics);
        self.every(RATE_SAMPLE, "rates", move || {
            metrics.sample_rates();
            std::future::ready(())
        });
        let statistics = Arc::clone(statistics);
        self.every(MINUTE, "store statistics", move || {
            let statistics = Arc::clone(&statistics);
            async move { statistics.refresh().await }
        });
    }

    /// Tells them to stop, and waits until they have.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.running {
            // A panic has ended the process; there is nothing else to hear.
            let _ = task.await;
        }
        unavailable::report();
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the sender is gone, which is a stop too.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Runs something without which the node must not go on: its panic ends the process.
    fn watched(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(work);
        self.running.push(tokio::spawn(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                tracing::error!(
                    task = name,
                    "a task required for safe operation panicked; aborting the process"
                );
                std::process::abort();
            }
        }));
    }

    /// Does something now and then. A panic ends this one thing only, and is logged.
    fn every<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        period: Duration,
        name: &'static str,
        mut work: impl FnMut() -> F + Send + 'static,
    ) {
        let stopped = self.stopped();
        self.running.push(tokio::spawn(async move {
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut stopped = std::pin::pin!(stopped);
            loop {
                tokio::select! {
                    biased;
                    () = &mut stopped => return,
                    _ = ticks.tick() => {}
                }
                let round = tokio::spawn(work());
                tokio::select! {
                    biased;
                    () = &mut stopped => return,
                    done = round => if done.is_err() {
                        tracing::error!(task = name, "a background task panicked; running it again at its next interval");
                    }
                }
            }
        }));
    }
}

/// Follows the schedule; what another node does is heard by the feed. The first round makes what an
/// empty store lacks; an RSA key takes a moment.
async fn keep_keys(provider: Arc<Provider>, rules: KeyRotation, stopped: impl Future<Output = ()>) {
    let mut stopped = std::pin::pin!(stopped);
    let mut ticks = tokio::time::interval(MINUTE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = async {
            ticks.tick().await;
            provider.keys.rotate_due(&rules, |_| true).await
        };
        let result = tokio::select! {
            biased;
            () = &mut stopped => return,
            result = round => result,
        };
        if let Err(error) = result {
            tracing::error!(%error, "rotating signing keys failed; trying again in a minute");
        }
    }
}

/// Deletes expired rows in small goes until there are no more: however many rows a busy minute makes,
/// the next one must not begin with a rest of them. A store that is closed ends it.
async fn sweep(provider: Arc<Provider>) {
    loop {
        let swept = match provider.store.sweep(provider.clock.now(), SWEEP).await {
            Ok(swept) => swept,
            Err(error) => {
                return tracing::warn!(%error, "deleting expired rows failed; trying again in a minute");
            }
        };
        swept.iter().for_each(|(table, rows)| provider.metrics.rows_deleted(table, *rows));
        if swept.iter().all(|(_, rows)| *rows < SWEEP as u64) {
            return;
        }
        sleep(SWEEP_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{config::Config, crypto::random::Random, model::UnixTime, resilience::Clock};

    /// A busy server makes thousands of rows a second that expire one day: the sweeper keeps up.
    #[tokio::test]
    async fn the_sweeper_does_not_stop_before_everything_expired_is_gone() {
        const ROWS: usize = 10 * SWEEP + 1;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = ("CHANCERY_STORE_DATA_DIR".to_owned(), folder.path().display().to_string());
        let config = Config::load(None, &BTreeMap::from([data_dir])).expect("a good configuration");
        let clock = Clock::manual(UnixTime(1_800_000_000));
        let node = Node::open(config, clock, Random::seeded(1)).await.expect("a node");
        let database = rusqlite::Connection::open(folder.path().join("chancery.db")).expect("its store");
        let fill = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO spent SELECT randomblob(16), zeroblob(16), 1 FROM n"
        );
        database.execute_batch(&fill).expect("the store is filled");
        sweep(Arc::clone(&node.provider)).await;
        let left: u32 =
            database.query_row("SELECT count(*) FROM spent", [], |row| row.get(0)).expect("a count");
        assert_eq!(left, 0);
    }
}
