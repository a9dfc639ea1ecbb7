//! Real servers for the tests, in temporary folders: Postgres, PgBouncer, Redis, Prometheus,
//! Alertmanager, and a proxy that stalls, cuts and half-closes what goes through it.
//!
//! The benches and the tests within the library include it with `#[path = "…/servers/mod.rs"] mod servers;`.
//! Each server dies with the test process, however that ends.

#![allow(dead_code, unused_imports, reason = "the benches and the library's tests use some of it")]

mod authority;
mod collector;
mod leash;
mod pgbouncer;
mod postgres;
mod prometheus;
mod proxy;
mod redis;
mod standby;

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use authority::Authority;
pub use collector::{Collector, Span};
pub use leash::{Leash, Start};
pub use pgbouncer::PgBouncer;
pub use postgres::{Database, PASSWORD, Postgres, USER, connect};
pub use prometheus::{Alertmanager, Prometheus, overlaid, shipped};
pub use proxy::Proxy;
pub use redis::{Redis, Sentinel};
pub use standby::Standby;

/// No server takes longer to start or to stop, on the slowest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A port nobody listens on. Somebody may take it before it is used: who starts a server tries again.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener").port()
}

/// Waits until a condition holds; panics with what was waited for when it does not.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same where the condition is found out asynchronously.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Finds a program, or says which package has it.
fn program(name: &str, folders: &[PathBuf], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(folders.iter().cloned());
    places.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file())).unwrap_or_else(|| {
        panic!("Missing: {name}. Install the package {package} (./scripts/test does it where it can).")
    })
}

/// The account servers run under: the tests' own, but never root, as which Postgres does not start.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    pub fn for_servers() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").expect("a list of users");
        let find = |wanted: &str| {
            users.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                (fields[0] == wanted).then(|| (fields[2].parse().ok(), fields[3].parse().ok()))
            })
        };
        match find("postgres").or_else(|| find("nobody")) {
            Some((Some(uid), Some(gid))) => Some(Self { uid, gid }),
            _ => panic!("Missing: a user `postgres` or `nobody`. Postgres does not run as root."),
        }
    }
}

impl Account {
    /// Gives a file to the account, which alone may read it.
    pub fn give_file(path: &Path) {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, private).expect("the file is ours");
        if let Some(Self { uid, gid }) = Self::for_servers() {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may give files away");
        }
    }
}

/// Makes a folder for a server, and gives it to the account it runs under.
fn give(folder: &Path, account: Option<Account>) {
    std::fs::create_dir_all(folder).expect("a folder for a server");
    if let Some(Account { uid, gid }) = account {
        std::os::unix::fs::chown(folder, Some(uid), Some(gid)).expect("root may give folders away");
        // The account must get there through a test's own folder.
        if let Some(parent) = folder.parent().filter(|parent| *parent != std::env::temp_dir()) {
            let passable = std::os::unix::fs::PermissionsExt::from_mode(0o711);
            std::fs::set_permissions(parent, passable).expect("the folder is ours");
        }
    }
}
