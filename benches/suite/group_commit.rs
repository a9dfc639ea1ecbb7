//! Durable refresh rotations per second at 64 concurrent callers, with and without group commit.
//!
//! Postgres runs with its default durability. Each caller rotates a token of its own, the next rotation
//! as soon as the last is durable.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chancery::{
    app::default_client,
    config::Config,
    model::*,
    store::{
        postgres::{self, Postgres},
        sqlite::{self, Sqlite},
        *,
    },
};
use criterion::{Criterion, Throughput};

use crate::{
    servers,
    turns::{only_tried, print_line, wanted},
};

const CALLERS: usize = 64;
/// Each variant is measured so often, so long.
const SLICES: usize = 9;
const SLICE: Duration = Duration::from_millis(400);
const NOW: UnixTime = UnixTime(1_700_000_000);

/// A store, and who rotates on it.
struct Variant {
    name: &'static str,
    store: Arc<dyn Store>,
    callers: Vec<RefreshToken>,
    rates: Vec<f64>,
}

/// Measures every variant, and prints what group commit is worth on each store.
pub fn measure(criterion: &mut Criterion) {
    if !wanted("group_commit") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut variants = runtime.block_on(variants(folder.path()));
    let mut group = criterion.benchmark_group("group_commit");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(CALLERS as u64));
    let mut asked_for = false;
    for variant in &mut variants {
        group.bench_function(variant.name, |bencher| {
            asked_for = true;
            bencher.iter_custom(|rounds| runtime.block_on(variant.rotate(rounds)));
        });
    }
    group.finish();
    if asked_for && !only_tried() {
        runtime.block_on(compare(&mut variants));
    }
}

/// Takes turns, so that whatever else the machine does meanwhile slows all of them alike.
async fn compare(variants: &mut [Variant]) {
    for _ in 0..SLICES {
        for variant in &mut *variants {
            let (begun, mut rounds) = (Instant::now(), 0);
            while begun.elapsed() < SLICE {
                variant.rotate(10).await;
                rounds += 10 * CALLERS;
            }
            variant.rates.push(rounds as f64 / begun.elapsed().as_secs_f64());
        }
    }
    let mut base = ("", 0.0);
    for Variant { name, rates, .. } in variants {
        rates.sort_by(f64::total_cmp);
        let (median, store) = (rates[SLICES / 2], name.split('/').next().unwrap_or_default());
        if base.0 != store {
            base = (store, median);
        }
        print_line(&format!("{name:34} {median:>8.0} rotations/s {:>6.2} ×", median / base.1));
    }
}

/// The first of each store is what the others are compared with.
async fn variants(folder: &Path) -> Vec<Variant> {
    let cluster = servers::Postgres::shared().await;
    let postgres = async || {
        let database = cluster.database().await;
        let options = postgres::Options {
            url: database.url().to_owned(),
            // So many serve sixty-four callers best that commit each by themselves.
            max_connections: 32,
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
            ..postgres::Options::default()
        };
        Arc::new(Postgres::open(options).await.expect("the store opens"))
    };
    let sqlite = |name: &str| {
        let path = folder.join(name).join("chancery.db");
        Arc::new(Sqlite::open(&path, sqlite::Options::default()).expect("the store opens"))
    };
    let lanes = |lanes| BatchOptions { lanes, ..BatchOptions::default() };
    let stores: Vec<(&str, Arc<dyn Store>)> = vec![
        ("postgres/each commit alone", postgres().await),
        ("postgres/group commit, 1 lane", Arc::new(Batched::new(postgres().await, lanes(1)))),
        ("postgres/group commit, 2 lanes", Arc::new(Batched::new(postgres().await, lanes(2)))),
        ("postgres/group commit, 4 lanes", Arc::new(Batched::new(postgres().await, lanes(4)))),
        ("sqlite/the writer gathers", sqlite("own")),
        ("sqlite/the decorator gathers", Arc::new(Batched::new(sqlite("batched"), lanes(1)))),
    ];
    let mut variants = Vec::new();
    for (name, store) in stores {
        let callers = stored(&store).await;
        variants.push(Variant { name, store, callers, rates: Vec::new() });
    }
    variants
}

impl Variant {
    /// Every caller rotates its token so many times.
    async fn rotate(&mut self, rounds: u64) -> Duration {
        let (store, begun) = (&self.store, Instant::now());
        let each = self.callers.iter_mut().map(async |token| {
            for _ in 0..rounds {
                let next = token.successor(digest());
                let spend = Spend::Refresh {
                    token: *token,
                    successor: next.digest,
                    expires_at: NOW.plus(86_400),
                    retry_request: Digest([1; 32]),
                    retry_answer: Some(vec![2; 200]),
                };
                let rotation =
                    Commit { id: CommitId(id()), at: NOW, spend: Some(spend), effects: Vec::new() };
                store.commit(rotation).await.expect("it is rotated");
                *token = next;
            }
        });
        futures_util::future::join_all(each).await;
        begun.elapsed()
    }
}

async fn stored(store: &Arc<dyn Store>) -> Vec<RefreshToken> {
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let family = family();
        let token = RefreshToken { family: family.id, generation: 0, digest: digest() };
        let (client, user) = people(&family);
        let effects = vec![
            Effect::InsertClient(client.into()),
            Effect::InsertUser(user.into()),
            Effect::InsertFamily(family.into()),
            Effect::InsertRefreshToken { token, expires_at: NOW.plus(86_400) },
        ];
        let commit = Commit { id: CommitId(id()), at: NOW, spend: None, effects };
        store.commit(commit).await.expect("it is stored");
        callers.push(token);
    }
    callers
}

fn family() -> Family {
    Family {
        id: FamilyId(id()),
        client: ClientKey(id()),
        client_epoch: 0,
        user: UserId(id()),
        user_epoch: 0,
        session: None,
        scopes: ["openid", "offline_access"].into_iter().collect(),
        resources: Vec::new(),
        claims: RequestedClaims::default(),
        auth_time: NOW,
        amr: vec!["pwd".to_owned()],
        refreshable: true,
        created_at: NOW,
        expires_at: NOW.plus(864_000),
        revoked_at: None,
    }
}

/// A rotation holds that they stand.
fn people(family: &Family) -> (Client, User) {
    let issuer = ("CHANCERY_SERVER_ISSUER".to_owned(), "http://127.0.0.1:8080".to_owned());
    let config = Config::load(None, &BTreeMap::from([issuer])).expect("a good configuration");
    let client = Client { key: family.client, ..default_client(&config, &family.id.to_string()) };
    let user = User { id: family.user, username: family.id.to_string(), ..User::default() };
    (client, user)
}

fn digest() -> Digest {
    let mut digest = [0; 32];
    getrandom::fill(&mut digest).expect("randomness");
    Digest(digest)
}

/// As the server makes them: of the moment, then random.
fn id() -> Id {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("randomness");
    Id::new(NOW.0 * 1000 + COUNT.fetch_add(1, Ordering::Relaxed) / 8, random)
}
