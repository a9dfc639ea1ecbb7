//! Point reads from Postgres for 64 callers: a pool, from which each read takes a connection to itself,
//! against a few connections that all share, with requests sent ahead of answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::{Client, NoTls, Statement};

use crate::{
    servers,
    turns::{only_tried, print_line, wanted},
};

const CALLERS: usize = 64;
const ROWS: i64 = 10_000;
/// Each way is measured so often, so long, taking turns.
const SLICES: usize = 9;
const SLICE: Duration = Duration::from_millis(300);

const MAKE: &str = "CREATE TABLE things (id bigint PRIMARY KEY, doc text NOT NULL);
    INSERT INTO things SELECT n, repeat('x', 400) FROM generate_series(0, 9999) AS n;
    ANALYZE things";
const READ: &str = "SELECT doc FROM things WHERE id = $1";

/// A way to read.
#[derive(Clone)]
enum Way {
    Pool(Pool),
    Shared(Arc<[(Client, Statement)]>),
}

impl Way {
    async fn pool(url: &str, connections: usize) -> Self {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(url.parse().expect("a URL"), NoTls, recycling);
        Self::Pool(Pool::builder(manager).max_size(connections).build().expect("a pool"))
    }

    async fn shared(url: &str, connections: usize) -> Self {
        let mut all = Vec::new();
        for _ in 0..connections {
            let client = servers::connect(url).await;
            let statement = client.prepare(READ).await.expect("a statement");
            all.push((client, statement));
        }
        Self::Shared(all.into())
    }

    async fn read(&self, number: u64) {
        let id = i64::try_from(number.wrapping_mul(7919) % ROWS.unsigned_abs()).expect("a small number");
        let row = match self {
            Self::Pool(pool) => {
                let client = pool.get().await.expect("a connection");
                let statement = client.prepare_cached(READ).await.expect("a statement");
                client.query_one(&statement, &[&id]).await
            }
            Self::Shared(all) => {
                let at = usize::try_from(number).expect("64 bits") % all.len();
                all[at].0.query_one(&all[at].1, &[&id]).await
            }
        };
        assert_eq!(row.expect("a row").get::<_, &str>(0).len(), 400);
    }

    /// Reads until the time is up; how many reads were made in a second.
    async fn rate(&self, slice: Duration) -> f64 {
        let begun = Instant::now();
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS as u64 {
            let way = self.clone();
            callers.spawn(async move {
                let mut made = 0;
                while begun.elapsed() < slice {
                    way.read(caller + made * CALLERS as u64 + made).await;
                    made += 1;
                }
                made
            });
        }
        let made: u64 = callers.join_all().await.into_iter().sum();
        made as f64 / begun.elapsed().as_secs_f64()
    }

    async fn reads(&self, rounds: u64) -> Duration {
        let begun = Instant::now();
        for round in 0..rounds {
            let all = (0..CALLERS as u64).map(|caller| self.read(round + caller));
            futures_util::future::join_all(all).await;
        }
        begun.elapsed()
    }
}

/// Measures every way, and prints the ratio.
pub fn measure(criterion: &mut Criterion) {
    if !wanted("postgres_reads") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ways = runtime.block_on(ways());
    let mut group = criterion.benchmark_group("postgres_reads");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(CALLERS as u64));
    let mut asked_for = false;
    for (name, way) in &ways {
        let reads = |rounds| runtime.block_on(way.reads(rounds));
        group.bench_function(*name, |bencher| {
            asked_for = true;
            bencher.iter_custom(reads);
        });
    }
    group.finish();
    if asked_for && !only_tried() {
        runtime.block_on(compare(&ways));
    }
}

async fn ways() -> Vec<(&'static str, Way)> {
    let database = servers::Postgres::shared().await.database().await;
    database.connect().await.batch_execute(MAKE).await.expect("a table");
    let url = database.url();
    vec![
        ("pool of 16", Way::pool(url, 16).await),
        ("1 shared", Way::shared(url, 1).await),
        ("4 shared", Way::shared(url, 4).await),
        ("8 shared", Way::shared(url, 8).await),
    ]
}

/// Takes turns, so that whatever else the machine does meanwhile slows all of them alike.
async fn compare(ways: &[(&'static str, Way)]) {
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..SLICES {
        for ((_, way), rates) in ways.iter().zip(&mut rates) {
            rates.push(way.rate(SLICE).await);
        }
    }
    let medians = rates.iter_mut().map(|rates| {
        rates.sort_by(f64::total_cmp);
        rates[SLICES / 2]
    });
    let medians: Vec<f64> = medians.collect();
    for ((name, _), median) in ways.iter().zip(&medians) {
        let ratio = median / medians[0];
        print_line(&format!(
            "{name:>10}: {median:>8.0} reads/s at {CALLERS} callers, {ratio:.2} of the pool"
        ));
    }
}
