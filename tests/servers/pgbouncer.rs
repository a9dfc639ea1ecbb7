//! A real PgBouncer in transaction mode, before a Postgres.

use std::path::{Path, PathBuf};

use super::{
    Account, Leash, PASSWORD, Postgres, USER, free_port, give, leash::Start, listens, program, wait_for,
};

/// A running PgBouncer.
pub struct PgBouncer {
    port: u16,
    leash: Leash,
}

impl PgBouncer {
    /// Starts one in a folder. It shares `connections` to the server among all who come.
    pub async fn start(folder: &Path, server: &Postgres, connections: usize) -> Self {
        let account = Account::for_servers();
        give(folder, account);
        for _ in 0..10 {
            let port = free_port();
            let file = configure(folder, port, server.port(), connections);
            let mut leash = Leash::start(&Start {
                program: &program("pgbouncer", &["/usr/sbin".into()], "pgbouncer"),
                arguments: &[file.display().to_string()],
                folder,
                account,
                signal: "KILL",
                remove: false,
            });
            // It listens before it says that it is up.
            let is_up = |log: &str| log.contains("process up") && listens(port);
            wait_for("PgBouncer to start", || is_up(&leash.log()) || leash.log().contains("FATAL"));
            if leash.log().contains("process up") {
                return Self { port, leash };
            }
            assert!(leash.log().contains("in use"), "PgBouncer does not start:\n{}", leash.log());
            leash.end();
        }
        panic!("no free port for PgBouncer");
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn log(&self) -> String {
        self.leash.log()
    }

    /// Whether it knows prepared statements in transaction mode (1.21 and later).
    pub fn prepares() -> bool {
        let pgbouncer = program("pgbouncer", &["/usr/sbin".into()], "pgbouncer");
        let said = std::process::Command::new(pgbouncer).arg("--version").output().expect("a version");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut numbers =
            said.split(|sign: char| !sign.is_ascii_digit()).filter_map(|part| part.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (1, 21)
    }
}

fn configure(folder: &Path, port: u16, server: u16, connections: usize) -> PathBuf {
    let users = folder.join("users.txt");
    std::fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n")).expect("a list of users");
    let prepared = if PgBouncer::prepares() { "max_prepared_statements = 200\n" } else { "" };
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={server}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir = {}\nauth_type = scram-sha-256\nauth_file = {}\n\
         pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 500\n\
         server_idle_timeout = 2\n\
         logfile =\n{prepared}",
        folder.display(),
        users.display()
    );
    let file = folder.join("pgbouncer.ini");
    std::fs::write(&file, text).expect("a configuration");
    file
}
