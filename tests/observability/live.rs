//! Live nodes under a load that produces every kind of event, watched by a Prometheus.
//!
//! Started once for all tests that look at it, and ended before the first of them looks.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use chancery::resilience::Clock;

use crate::{
    cli::process::{DEADLINE, Place, Server, eventually, http},
    observability::{
        driver::{Asked, Browser, Driver, Tally},
        events::{CALLBACK, PASSWORD, machines, people, refresh_token},
        names, panels, truth,
    },
    servers::{Authority, Database, Postgres, Prometheus, Redis, free_port, shipped, until},
};

const MASTER: &str = "bWFzdGVyIGtleSBvZiB0aGVzZSB0ZXN0cywgMzIgYnk=";
/// Requests that a node takes at once, in these tests.
const MOST: usize = 8;
/// What is looked at as a rate is looked at over so long.
pub const WINDOW: Duration = Duration::from_secs(10);

/// What was found; nothing is wrong where a list is empty.
pub struct Found {
    pub panels: Vec<String>,
    pub truth: Vec<String>,
    pub names: Vec<String>,
    /// What all nodes export, one after the other.
    pub scrape: String,
}

/// The one session of this binary.
pub fn found() -> &'static Found {
    static FOUND: OnceLock<Option<Found>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let session = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(session())
        });
        session.join().ok()
    });
    found.as_ref().expect("the session that all these tests look at panicked; its message is above")
}

/// A node, where its figures are, and who asks it.
struct Node {
    place: Place,
    server: Option<Server>,
    operations: String,
    driver: Driver,
}

impl Node {
    /// Starts a node with the clients and the people of the load.
    fn start(place: Place, tally: &Tally) -> Self {
        let secrets = register(&place);
        Self::serve(place, secrets, tally)
    }

    fn serve(place: Place, secrets: BTreeMap<&'static str, String>, tally: &Tally) -> Self {
        let operations = format!("127.0.0.1:{}", free_port());
        let place = place.with("CHANCERY_SERVER_OPS_LISTEN", &operations);
        let server = place.serve();
        let address = server.listen.clone();
        let driver = Driver::new(Asked { address, secrets }, tally);
        Self { place, server: Some(server), operations, driver }
    }

    fn scrape(&self) -> String {
        http(&self.operations, "GET /metrics HTTP/1.1", "").1
    }

    /// A command beside the server.
    fn run(&self, arguments: &[&str]) {
        self.place.run(arguments).with_code(0);
    }
}

/// Makes the clients, and the people who have a password, have none, or are disabled.
fn register(place: &Place) -> BTreeMap<&'static str, String> {
    let web =
        ["--redirect-uri", CALLBACK, "--scope", "openid profile offline_access", "--id-token-alg", "EdDSA"];
    let clients: [(&'static str, &[&str]); 4] = [
        ("service", &["--scope", "read", "--introspect-any"]),
        ("signed", &["--token-format", "jwt:EdDSA"]),
        ("web", &web),
        ("other", &web),
    ];
    let secrets = clients.map(|(client, more)| {
        let create = ["client", "create", client, "--auth-method", "client_secret_post"];
        let made = place.json(&[&create[..], more].concat());
        (client, made["client_secret"].as_str().expect("a secret").to_owned())
    });
    for name in ["alice", "dave"] {
        place.run_with_input(&["user", "create", name], PASSWORD).with_code(0);
    }
    place.run(&["user", "create", "carol", "--no-password"]).with_code(0);
    place.run(&["user", "disable", "dave"]).with_code(0);
    secrets.into()
}

/// What all nodes of the load have in common. Limits are small, so that they can be reached, and a new key
/// is due after a minute.
fn limited(place: Place) -> Place {
    place
        .with("CHANCERY_METRICS_CLIENTS", "service,web")
        // Nobody collects there.
        .with("CHANCERY_TRACING_ENDPOINT", "http://127.0.0.1:9")
        .with("CHANCERY_LOG_LEVEL", "info,chancery::http=error")
        .with("CHANCERY_SERVER_WORKERS", "1")
        .with("CHANCERY_SERVER_MAX_IN_FLIGHT", &MOST.to_string())
        .with("CHANCERY_SERVER_BODY_TIMEOUT", "2500ms")
        .with("CHANCERY_PASSWORD_THREADS", "1")
        .with("CHANCERY_PASSWORD_QUEUE", "2")
        .with("CHANCERY_TOKENS_CODE_LIFETIME", "10s")
        .with("CHANCERY_KEYS_ROTATION", "1h")
        .with("CHANCERY_KEYS_JWKS_MAX_AGE", "3590s")
}

pub fn now() -> f64 {
    Clock::system().millis() as f64 / 1000.0
}

async fn session() -> Found {
    let folder = tempfile::tempdir().expect("a folder");
    let tally = Tally::default();
    let mut redis = Redis::start().await;
    let mut postgres = Postgres::start(&folder.path().join("postgres")).await;
    let database = postgres.database().await;
    let embedded = Node::start(limited(Place::new()), &tally);
    let shared = Place::new()
        .with("DATABASE_URL", database.url())
        .with("REDIS_URL", &redis.url())
        .with("MAX_CONNECTIONS", "2")
        .with("CONNECTION_TIMEOUT", "2s")
        .with("CHANCERY_POSTGRES_GROUP_COMMIT", "false")
        .with("CHANCERY_KEYS_MASTER", MASTER);
    let shared = Node::start(limited(shared), &tally);
    let mut secured = Secured::start(&tally);
    let begun = Instant::now();
    let nodes = [&embedded, &shared, &secured.node].map(|node| node.operations.clone());
    let prometheus = Prometheus::start(&nodes, &shipped("alerts.yml"), None).await;
    let first = now();

    // Before its turn; that of the other algorithm comes by itself.
    for node in [&embedded, &shared] {
        node.run(&["keys", "rotate", "EdDSA"]);
    }
    step("warming up");
    // So that every counter that will be compared has moved before.
    round(&embedded, &shared).await;
    quiet().await;
    let before = truth::Reading::of(&prometheus, &tally).await;
    step("load");
    for _ in 0..2 {
        round(&embedded, &shared).await;
    }
    quiet().await;
    let after = truth::Reading::of(&prometheus, &tally).await;
    let truth = truth::faults(&prometheus, &before, &after).await;

    step("commands");
    commands(&embedded);
    commands(&shared);
    step("no Redis");
    // Everything goes on without Redis.
    redis.signal("STOP");
    machines(&shared.driver).await;
    people(&shared.driver).await;
    machines(&shared.driver).await;
    redis.signal("CONT");
    step("no connection to Postgres");
    no_connection(&shared, &database).await;
    step("no Postgres");
    let token = refresh_token(&shared.driver).await;
    postgres.kill().await;
    away(&shared, &token).await;
    postgres.restart().await;
    until("the node to serve again", async || {
        http(&shared.driver.node.address, "GET /health/ready HTTP/1.1", "").0 == 200
    })
    .await;
    step("overload");
    overload(&embedded).await;
    garbage(&embedded);
    step("another certificate");
    secured.renew();
    // What happens once a minute: rotation, sweeping, figures.
    let minute = Duration::from_secs(64);
    tokio::time::sleep(minute.saturating_sub(begun.elapsed())).await;
    let scrape = [&embedded, &shared, &secured.node].map(Node::scrape).concat();
    secured.restart();
    tokio::time::sleep(Duration::from_secs(3)).await;

    step("looking");
    let last = now();
    let panels = panels::faults(&prometheus, (first, last)).await;
    let names = names::faults(&prometheus, &scrape).await;
    draw(&prometheus, (first, last));
    Found { panels, truth, names, scrape }
}

fn step(what: &str) {
    crate::say(&format!("{:.1} {what}", now() % 1000.0));
}

/// Everything once, on both nodes at once.
async fn round(embedded: &Node, shared: &Node) {
    let both = async |node: &Node| {
        machines(&node.driver).await;
        machines(&node.driver).await;
        people(&node.driver).await;
    };
    tokio::join!(both(embedded), both(shared));
}

/// Until nothing of what was done is within the window of a rate any more.
async fn quiet() {
    tokio::time::sleep(WINDOW + Duration::from_secs(2)).await;
}

/// What operators do: a client is disabled, enabled again, and what it holds is revoked.
fn commands(node: &Node) {
    node.run(&["client", "disable", "other"]);
    node.run(&["client", "enable", "other"]);
    node.run(&["client", "revoke-tokens", "other"]);
}

/// Somebody holds a lock that revocations wait for, until there is no connection left for more of them.
async fn no_connection(node: &Node, database: &Database) {
    let form = [("grant_type", "client_credentials")];
    let mut tokens = Vec::new();
    for _ in 0..8 {
        tokens.push(node.driver.token("service", &form, Ok(())).await.text("access_token"));
    }
    let beside = database.connect().await;
    beside.batch_execute("BEGIN; LOCK TABLE revocations IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let revoked = tokens.into_iter().map(|token| {
        let driver = node.driver.clone();
        tokio::spawn(
            async move { driver.form("/oauth/revoke", "service", &[("token", &token)]).await.status },
        )
    });
    let revoked: Vec<_> = revoked.collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    beside.batch_execute("COMMIT").await.expect("it is given up");
    let mut statuses = Vec::new();
    for revoked in revoked {
        statuses.push(revoked.await.expect("no panic"));
    }
    assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
}

/// Posts so many sign-ins at once, whatever comes of them.
async fn logins(node: &Node, count: usize) {
    let mut browser = Browser::new(&node.driver);
    let page = browser.get("/login").await;
    let csrf = page.field("csrf").unwrap_or_default();
    let cookies = browser.cookies();
    let sent = (0..count).map(|_| {
        let (csrf, cookies, driver) = (csrf.clone(), cookies.clone(), node.driver.clone());
        let form = [
            ("csrf", csrf),
            ("username", "alice".to_owned()),
            ("password", "five wooden clocks tick".to_owned()),
        ];
        tokio::spawn(async move {
            let request = driver.request("POST", "/login").form(&form).header("cookie", cookies);
            let _ = request.timeout(Duration::from_secs(5)).send().await;
        })
    });
    for sent in sent.collect::<Vec<_>>() {
        sent.await.expect("no panic");
    }
}

/// What a node is asked while its database is away.
async fn away(node: &Node, token: &str) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        node.driver.form("/oauth/introspect", "service", &[("token", token)]).await.with(503);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// More sign-ins than may wait; then as many bodies that do not come as may be in hand, and one more request.
async fn overload(node: &Node) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        logins(node, MOST - 1).await;
    }
    let head = "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 100\r\n\r\n";
    let mut slow: Vec<TcpStream> =
        (0..MOST).map(|_| TcpStream::connect(&node.driver.node.address).expect("it listens")).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(head.as_bytes()).expect("it takes the head"));
    until("the node to refuse more", async || node.driver.get("/account").await.status == 503).await;
    let mut late = 0;
    for stream in &mut slow {
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        // Where a sign-in was still in hand there was no room for one of them.
        assert!([b"HTTP/1.1 408", b"HTTP/1.1 503"].contains(&&status), "{status:?}");
        late += usize::from(status.ends_with(b"408"));
    }
    counted(node, &format!("chancery_http_rejected_total{{reason=\"timeout\"}} {late}\n"));
}

/// What is not HTTP.
fn garbage(node: &Node) {
    let mut stream = TcpStream::connect(&node.driver.node.address).expect("it listens");
    stream.write_all(b"\x16\x03\x01 hello\r\n\r\n").expect("it takes bytes");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    counted(node, "chancery_http_rejected_total{reason=\"malformed\"} 1\n");
}

/// Waits until a node says so.
fn counted(node: &Node, line: &str) {
    eventually(DEADLINE, line, || node.scrape().contains(line));
}

/// A node that speaks TLS.
struct Secured {
    node: Node,
    other: Authority,
    folder: tempfile::TempDir,
}

impl Secured {
    fn start(tally: &Tally) -> Self {
        let (one, other) = (Authority::new(), Authority::new());
        let folder = tempfile::tempdir().expect("a folder");
        one.equip(folder.path());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let place = Place::new()
            .with("CHANCERY_TLS_CERT", &file("server.crt"))
            .with("CHANCERY_TLS_KEY", &file("server.key"))
            .with("CHANCERY_SERVER_ISSUER", "https://localhost:8443");
        Self { node: Node::serve(limited(place), BTreeMap::new(), tally), other, folder }
    }

    /// Renews the certificate; at first with half a pair.
    fn renew(&self) {
        for (name, outcome) in [("server.crt", "failure"), ("server.key", "success")] {
            std::fs::copy(self.other.file(name), self.folder.path().join(name)).expect("a copy");
            counted(&self.node, &format!("chancery_tls_renewals_total{{outcome={outcome:?}}} 1\n"));
        }
    }

    fn restart(&mut self) {
        let server = self.node.server.take().expect("it runs");
        assert_eq!(server.terminate(), Some(0));
        self.node.server = Some(self.node.place.serve());
    }
}

/// Draws the dashboards into the folder that the variable CHANCERY_DRAW names, if it does.
fn draw(prometheus: &Prometheus, (first, last): (f64, f64)) {
    let Some(folder) = std::env::var_os("CHANCERY_DRAW") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/draw_dashboards");
    let mut command = std::process::Command::new(script);
    command.arg(&prometheus.url).arg("--last").arg(format!("{}s", (last - first).ceil()));
    command.arg("--end").arg(last.to_string());
    command.arg("--out").arg(PathBuf::from(folder));
    assert!(command.status().expect("python3 is installed").success());
}
