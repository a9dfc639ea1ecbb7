//! A real Postgres, with the durability it has in production.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio_postgres::NoTls;

use super::{Account, Leash, free_port, give, leash::Start, program, wait_for};

/// The owner of every database.
pub const USER: &str = "chancery";
/// And the password, in every URL: no message may show it.
pub const PASSWORD: &str = "open-sesame";

/// One cluster.
pub struct Postgres {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    settings: Vec<(String, String)>,
    leash: Option<Leash>,
    remove: bool,
    databases: AtomicU32,
}

/// One database in a cluster.
#[derive(Clone, Debug)]
pub struct Database {
    url: String,
    name: String,
}

impl Database {
    /// `postgres://…`, over TCP.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection beside those of the store.
    pub async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.url).await
    }
}

/// A connection that is driven until it is dropped.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("Postgres lets the tests in");
    tokio::spawn(connection);
    client
}

impl Postgres {
    /// The cluster of this test process; each test has a database of its own.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder = tempfile::Builder::new().prefix("chancery-pg-").tempdir().expect("a folder").keep();
            let mut shared = Postgres::made(&folder, &[]);
            shared.remove = true;
            shared.launch();
            shared
        })
    }

    /// A cluster of one's own in a folder, to be killed and restarted.
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[]).await
    }

    /// The same with settings (`postgresql.conf`).
    pub async fn start_with(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::made(folder, settings);
        cluster.launch();
        cluster
    }

    fn made(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let account = Account::for_servers();
        give(folder, account);
        let secret = folder.join("password");
        std::fs::write(&secret, PASSWORD).expect("a file for the password");
        let data = folder.join("data");
        let mut initdb = as_account(&tool("initdb"), account);
        initdb.arg("-D").arg(&data).args(["-U", USER, "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg("--auth=scram-sha-256").arg("--pwfile").arg(&secret).current_dir(folder);
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self::in_folder(folder, settings)
    }

    pub(super) fn in_folder(folder: &Path, settings: Vec<(String, String)>) -> Self {
        let folder = folder.to_owned();
        Self { folder, port: 0, settings, leash: None, remove: false, databases: AtomicU32::new(0) }
    }

    /// Starts the server; on another port if somebody was faster.
    pub(super) fn launch(&mut self) {
        for _ in 0..10 {
            if self.port == 0 {
                self.port = free_port();
            }
            let mut leash = self.run();
            let started = std::cell::Cell::new(false);
            wait_for("Postgres to start", || {
                let log = leash.log();
                let since = log.rfind("starting PostgreSQL").map_or("", |at| &log[at..]);
                started.set(since.contains("database system is ready to accept"));
                // A client that comes too early is a FATAL line of its own.
                started.get() || since.contains("database system is shut down") || refused(&log)
            });
            if started.get() {
                self.leash = Some(leash);
                return;
            }
            let log = leash.log();
            assert!(refused(&log), "Postgres does not start:\n{log}");
            leash.end();
            let _ = std::fs::remove_file(self.folder.join("server.log"));
            self.port = 0;
        }
        panic!("no free port for Postgres");
    }

    fn run(&self) -> Leash {
        let mut arguments = vec!["-D".to_owned(), self.folder.join("data").display().to_string()];
        let folder = self.folder.display().to_string();
        let port = self.port.to_string();
        let always = [
            ("port", port.as_str()),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &folder),
            ("max_connections", "300"),
            ("shared_buffers", "64MB"),
            ("wal_level", "replica"),
            ("max_wal_senders", "4"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
        ];
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in always.into_iter().chain(own) {
            arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let _ = std::fs::remove_file(self.folder.join("server.log"));
        Leash::start(&Start {
            program: &tool("postgres"),
            arguments: &arguments,
            folder: &self.folder,
            account: Account::for_servers(),
            // Immediate shutdown: nothing is written any more, as when the machine fails.
            signal: "QUIT",
            remove: self.remove,
        })
    }

    /// Makes an empty database.
    pub async fn database(&self) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = connect(&self.url("postgres")).await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
        Database { url: self.url(&name), name }
    }

    /// Makes an empty database by the Unix socket, where TLS is required elsewhere; its name.
    pub async fn database_over_socket(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = connect(&self.socket_url("postgres")).await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
        name
    }

    /// Lets nobody in over TCP without TLS.
    pub async fn require_tls(&self) {
        let rules = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(self.folder.join("data/pg_hba.conf"), rules).expect("the cluster's rules");
        let client = connect(&self.socket_url("postgres")).await;
        client.simple_query("SELECT pg_reload_conf()").await.expect("it reads them again");
        let rules = "SELECT count(*) FROM pg_hba_file_rules WHERE type = 'host'";
        super::until("the rules to be read", async || {
            client.query_one(rules, &[]).await.expect("a count").get::<_, i64>(0) == 0
                && tokio_postgres::connect(&self.url("postgres"), NoTls).await.is_err()
        })
        .await;
    }

    /// The URL of a database in it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same over the Unix socket.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}:{PASSWORD}@{folder}:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it without a checkpoint, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.leash = None;
    }

    /// Starts it again, on the same port.
    pub async fn restart(&mut self) {
        self.leash = None;
        self.launch();
    }

    /// Sends a signal to the server's first process; `STOP` does not stop its children.
    pub fn signal(&mut self, name: &str) {
        self.leash.as_mut().expect("a server that runs").signal(name);
    }

    /// What it wrote since it was started.
    pub fn log(&self) -> String {
        self.leash.as_ref().map(Leash::log).unwrap_or_default()
    }
}

fn refused(log: &str) -> bool {
    log.contains("could not bind") || log.contains("could not create any TCP/IP sockets")
}

/// One of Postgres's programs, which Debian keeps out of the path.
pub fn tool(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    program(name, &folders, "postgresql")
}

/// A command that runs under the servers' account.
pub fn as_account(program: &Path, account: Option<Account>) -> Command {
    let Some(Account { uid, gid }) = account else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups").arg(program);
    command
}
