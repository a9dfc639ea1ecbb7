//! A streaming standby of a real Postgres, whose replay can be held up.

use std::path::Path;

use super::{
    Account, Postgres, give,
    postgres::{PASSWORD, USER, as_account, connect, tool},
};

/// A hot standby.
pub struct Standby {
    server: Postgres,
}

impl Standby {
    /// Copies a running primary into a folder and follows it.
    pub async fn of(primary: &Postgres, folder: &Path) -> Self {
        let account = Account::for_servers();
        give(folder, account);
        let data = folder.join("data");
        let mut copy = as_account(&tool("pg_basebackup"), account);
        copy.arg("-D").arg(&data).args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream"]);
        copy.args(["-h", "127.0.0.1", "-p", &primary.port.to_string(), "-U", USER]);
        copy.env("PGPASSWORD", PASSWORD).current_dir(folder);
        let copied = copy.output().expect("pg_basebackup runs");
        assert!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        let mut server = Postgres::in_folder(folder, vec![("hot_standby".into(), "on".into())]);
        server.launch();
        Self { server }
    }

    pub fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Holds up replay: the standby falls behind.
    pub async fn pause(&self) {
        self.tell("SELECT pg_wal_replay_pause()").await;
        let client = connect(&self.url("postgres")).await;
        super::until("replay to pause", async || {
            let row = client.query_one("SELECT pg_get_wal_replay_pause_state()", &[]).await.expect("a state");
            row.get::<_, String>(0) == "paused"
        })
        .await;
    }

    pub async fn resume(&self) {
        self.tell("SELECT pg_wal_replay_resume()").await;
    }

    /// Makes it a primary of its own: a failover.
    pub async fn promote(&self) {
        self.tell("SELECT pg_promote(true)").await;
    }

    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    async fn tell(&self, sql: &str) {
        connect(&self.url("postgres")).await.simple_query(sql).await.expect("a standby that listens");
    }
}
