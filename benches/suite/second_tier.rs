//! A client that is not in memory: read from Postgres by its primary key, as nodes do, against the least that a
//! second tier in Redis would take (GET, open the seal, read the JSON); docs/decisions/0013-redis.md. Printed
//! are the time of a read, in turns, and the processors' time it takes of this program and of the server.

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::{
    app::default_client,
    config::Config,
    crypto::{
        keys::{MasterKey, MasterKeys, Purpose},
        random::Random,
        seal::Sealer,
    },
    model::*,
    store::{
        postgres::{Options, Postgres},
        *,
    },
};
use criterion::Criterion;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use crate::{
    servers,
    site::{START, secret},
    turns::{Way, compare, only_tried, print_line, wanted},
};

const CLIENTS: usize = 1_000;
const CALLERS: [usize; 2] = [1, 64];
/// Reads of all callers together for the figures of processors.
const READS: usize = 16_384;

/// Where rows are read.
enum Tier {
    Postgres(Box<Postgres>),
    Redis(MultiplexedConnection, Arc<Sealer>),
    /// Without opening what it holds.
    RedisAlone(MultiplexedConnection, Arc<Sealer>),
}

/// A tier and the processes that serve it.
struct Measured {
    name: &'static str,
    tier: Tier,
    keys: Arc<[ClientKey]>,
    processes: Vec<u32>,
}

/// Compares both with one caller and with many.
pub fn measure(criterion: &mut Criterion) {
    if !wanted("second_tier") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(servers::Redis::start());
    let clients = clients();
    let postgres = runtime.block_on(postgres(&clients));
    let [sealed, alone] = runtime.block_on(redis(&server, &clients));
    let tiers = [postgres, sealed, alone];
    for callers in CALLERS {
        let ways = tiers.iter().map(|tier| {
            Way::timed(tier.name, |rounds| {
                let begun = Instant::now();
                runtime.block_on(tier.read(callers, usize::try_from(rounds).expect("64 bits")));
                begun.elapsed()
            })
        });
        let group = format!("second_tier, callers: {callers}");
        compare(criterion, &group, callers as u64, ways.collect());
        if !only_tried() {
            tiers.iter().for_each(|tier| tier.print_processors(&runtime, callers));
        }
    }
}

impl Measured {
    /// Each caller reads so many rows, one after the other.
    async fn read(&self, callers: usize, reads: usize) {
        let each = (0..callers).map(async |caller| {
            for read in 0..reads {
                let key = self.keys[(caller * 7_919 + read * 104_729) % self.keys.len()];
                let found = match &self.tier {
                    Tier::Postgres(store) => {
                        store.client_by_key(key).await.expect("it answers").expect("it exists").key
                    }
                    Tier::Redis(connection, sealer) => {
                        let sealed = get(connection.clone(), sealer, key).await;
                        open(sealer, key, &sealed).expect("it is sealed for this place").key
                    }
                    Tier::RedisAlone(connection, sealer) => {
                        black_box(get(connection.clone(), sealer, key).await);
                        key
                    }
                };
                assert_eq!(found, key);
            }
        });
        futures_util::future::join_all(each).await;
    }

    /// Prints what a read costs the processors, here and in the server.
    fn print_processors(&self, runtime: &Runtime, callers: usize) {
        let server =
            || self.processes.iter().map(|id| busy(&format!("/proc/{id}/schedstat"))).sum::<Duration>();
        let ours = || busy("/proc/thread-self/schedstat");
        let (client_before, server_before) = (ours(), server());
        runtime.block_on(self.read(callers, READS / callers));
        let each = |busy: Duration| busy.as_secs_f64() * 1e6 / READS as f64;
        let (client, server) = (each(ours() - client_before), each(server() - server_before));
        let name = self.name;
        print_line(&format!(
            "second_tier, callers: {callers}: {name:44} CPU {client:.1} µs and {server:.1} µs of the server"
        ));
    }
}

/// How long a thread has run, by the kernel's count.
fn busy(schedstat: &str) -> Duration {
    let text = std::fs::read_to_string(schedstat).expect("the kernel counts it");
    let nanos = text.split_whitespace().next().expect("three numbers");
    Duration::from_nanos(nanos.parse().expect("a number"))
}

fn clients() -> Vec<Client> {
    let config = Config::load(None, &BTreeMap::new()).expect("the defaults are good");
    let random = Random::os();
    let client = |n| Client {
        key: ClientKey(random.id(START.0 * 1_000)),
        secrets: vec![secret()],
        redirect_uris: vec!["https://app.example/callback".into()],
        grants: ["authorization_code", "refresh_token", "client_credentials"].map(String::from).to_vec(),
        scopes: Scopes::parse("openid profile email offline_access read write").expect("valid scopes"),
        ..default_client(&config, &format!("client-{n}"))
    };
    (0..CLIENTS).map(client).collect()
}

async fn postgres(clients: &[Client]) -> Measured {
    let database = servers::Postgres::shared().await.database().await;
    let options = Options { url: database.url().to_owned(), ..Options::default() };
    let store = Postgres::open(options).await.expect("the store opens");
    for clients in clients.chunks(100) {
        let effects = clients.iter().cloned().map(Box::new).map(Effect::InsertClient).collect();
        let commit = Commit { id: CommitId(clients[0].key.0), at: START, spend: None, effects };
        store.commit(commit).await.expect("they are stored");
    }
    let backends =
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let backends = database.connect().await.query(backends, &[]).await.expect("Postgres answers");
    Measured {
        name: "Postgres, by primary key",
        tier: Tier::Postgres(Box::new(store)),
        keys: clients.iter().map(|client| client.key).collect(),
        processes: backends.iter().map(|row| row.get::<_, i32>(0).unsigned_abs()).collect(),
    }
}

async fn redis(server: &servers::Redis, clients: &[Client]) -> [Measured; 2] {
    let random = Random::os();
    let masters = MasterKeys::new(vec![MasterKey::generate(&random)]).expect("a good key");
    let sealer = Arc::new(Sealer::new(masters, random));
    let redis = redis::Client::open(server.url()).expect("a URL");
    let mut connection = redis.get_multiplexed_async_connection().await.expect("Redis answers");
    for client in clients {
        let place = client.key.0.0;
        let sealed = sealer.seal(Purpose::Cache, &place, &serde_json::to_vec(client).expect("JSON"));
        let set = redis::cmd("SET").arg(sealer.name(&place)).arg(sealed).exec_async(&mut connection).await;
        set.expect("Redis answers");
    }
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("server").query_async(&mut connection).await.expect("Redis answers");
    let process = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("its process");
    let processes = vec![process.trim().parse().expect("a number")];
    let keys: Arc<[ClientKey]> = clients.iter().map(|client| client.key).collect();
    let sealed = Tier::Redis(connection.clone(), Arc::clone(&sealer));
    let (one, other) = (keys.clone(), processes.clone());
    [
        Measured { name: "Redis, a sealed value", tier: sealed, keys: one, processes: other },
        Measured { name: "Redis, GET alone", tier: Tier::RedisAlone(connection, sealer), keys, processes },
    ]
}

async fn get(mut connection: MultiplexedConnection, sealer: &Sealer, key: ClientKey) -> Vec<u8> {
    let mut get = redis::cmd("GET");
    get.arg(sealer.name(&key.0.0)).query_async(&mut connection).await.expect("Redis answers")
}

fn open(sealer: &Sealer, key: ClientKey, sealed: &[u8]) -> Option<Client> {
    let plaintext = sealer.open(Purpose::Cache, &key.0.0, sealed)?;
    serde_json::from_slice(&plaintext).ok()
}
