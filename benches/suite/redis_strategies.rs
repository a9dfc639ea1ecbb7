//! The three ways to reach Redis, at 1, 8 and 64 callers; docs/decisions/0013-redis.md.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::{
    cache::{ConnectionStrategy, RedisClient, RedisCommands, RedisOptions},
    resilience::{Breaker, BreakerOptions},
};
use criterion::{Criterion, Throughput};
use tokio::runtime::Runtime;

use crate::{servers, turns::wanted};

const CALLERS: [usize; 3] = [1, 8, 64];

/// Runs every strategy with every number of callers.
pub fn measure(criterion: &mut Criterion) {
    if !wanted("redis") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(servers::Redis::start());
    let mut group = criterion.benchmark_group("redis");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for strategy in ConnectionStrategy::ALL {
        let redis = runtime.block_on(connected(&server, strategy));
        for callers in CALLERS {
            group.throughput(Throughput::Elements(callers as u64));
            group.bench_function(format!("{}/{callers}", strategy.as_str()), |bencher| {
                bencher.iter_custom(|rounds| rounds_of(&runtime, &redis, callers, rounds));
            });
        }
    }
    group.finish();
}

async fn connected(server: &servers::Redis, strategy: ConnectionStrategy) -> Arc<RedisClient> {
    let options = RedisOptions {
        strategy,
        pool_size: 64,
        command_timeout: Duration::from_secs(5),
        ..RedisOptions::new(server.url())
    };
    let redis =
        RedisClient::open(&options, Arc::new(Breaker::new(BreakerOptions::default()))).expect("good options");
    redis.probe().await.expect("Redis answers");
    redis
}

/// So many times as many commands at once as there are callers.
fn rounds_of(runtime: &Runtime, redis: &Arc<RedisClient>, callers: usize, rounds: u64) -> Duration {
    runtime.block_on(async {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let redis = Arc::clone(redis);
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        redis.publish("channel", "message").await.expect("Redis answers");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        begun.elapsed()
    })
}
