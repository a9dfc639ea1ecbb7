//! The real binary as a process, its store prepared beforehand.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::{
    app::{Node, default_client},
    config::Config,
    crypto::digest::sha256,
    model::*,
    provider::Provider,
    store::{Commit, Effect},
};
use serde_json::Value;

pub const SECRET: &str = "a secret that only tests know";
pub const REDIRECT: &str = "https://app.example/callback";

/// A data folder with a client and a user, and a provider on it beside the server's.
#[derive(Clone)]
pub struct Machine {
    pub provider: Arc<Provider>,
    pub client: ClientKey,
    pub alice: UserId,
    folder: Arc<tempfile::TempDir>,
    port: u16,
}

impl Machine {
    pub async fn prepare() -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let port = free_port();
        let environment =
            environment(&folder, port).into_iter().collect::<std::collections::BTreeMap<_, _>>();
        let config = Config::load(None, &environment).expect("a good configuration");
        let node = Node::open_for_command(config.clone()).await.expect("a node");
        let provider = node.provider.clone();
        let id = || provider.random.id(provider.clock.millis());
        let (key, alice) = (ClientKey(id()), UserId(id()));
        let secret =
            ClientSecret { digest: sha256(SECRET.as_bytes()), created_at: UnixTime(0), expires_at: None };
        let client = Client {
            key,
            secrets: vec![secret],
            redirect_uris: vec![REDIRECT.into()],
            grants: ["client_credentials", "authorization_code", "refresh_token"].map(String::from).to_vec(),
            scopes: Scopes::parse("read offline_access").expect("valid scopes"),
            require_pkce: false,
            refresh_policy: RefreshPolicy::Always,
            ..default_client(&config, "machine")
        };
        let effects =
            vec![Effect::InsertClient(Box::new(client)), Effect::InsertUser(Box::new(user(alice, "alice")))];
        let commit = Commit { id: CommitId(id()), at: provider.clock.now(), spend: None, effects };
        provider.store.commit(commit).await.expect("a commit");
        Self { provider, client: key, alice, folder, port }
    }

    pub fn check_integrity(&self) {
        let database =
            rusqlite::Connection::open(self.folder.path().join("chancery.db")).expect("the database");
        let verdict: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
        assert_eq!(verdict, "ok");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn environment(folder: &tempfile::TempDir, port: u16) -> [(String, String); 4] {
    [
        ("CHANCERY_STORE_DATA_DIR", folder.path().display().to_string()),
        ("CHANCERY_SERVER_LISTEN", format!("127.0.0.1:{port}")),
        ("CHANCERY_SERVER_OPS_LISTEN", "127.0.0.1:0".to_owned()),
        ("CHANCERY_KEYS_ALGORITHMS", "EdDSA".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// The running process.
pub struct Server {
    process: Child,
    pub url: String,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub async fn start(machine: &Machine) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .arg("serve")
            .envs(environment(&machine.folder, machine.port))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let server = Self { process, url: format!("http://127.0.0.1:{}", machine.port) };
        let (http, deadline) = (reqwest::Client::new(), Instant::now() + Duration::from_secs(30));
        loop {
            let answer = http.get(format!("{}/health/ready", server.url)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return server;
            }
            assert!(Instant::now() < deadline, "the server is not ready after 30 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGKILL: no handler runs, no buffer is flushed.
    pub fn kill(mut self) {
        self.process.kill().expect("it was running");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A form post as the client; `None` if the server is gone.
pub async fn post(
    http: &reqwest::Client,
    url: &str,
    path: &str,
    form: &[(&str, &str)],
) -> Option<(u16, Value)> {
    let request = http.post(format!("{url}{path}")).basic_auth("machine", Some(SECRET)).form(form);
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.text().await.ok()?;
    Some((status, serde_json::from_str(&body).unwrap_or_default()))
}

pub async fn machine_token(http: &reqwest::Client, url: &str) -> Option<String> {
    let (_, body) = post(http, url, "/oauth/token", &[("grant_type", "client_credentials")]).await?;
    body["access_token"].as_str().map(str::to_owned)
}

pub async fn redeem(http: &reqwest::Client, url: &str, code: &str) -> Option<(u16, Value)> {
    let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT)];
    post(http, url, "/oauth/token", &form).await
}

pub async fn introspect_batch(http: &reqwest::Client, url: &str, tokens: &[String]) -> Vec<Value> {
    let request = http.post(format!("{url}/oauth/introspect/batch")).basic_auth("machine", Some(SECRET));
    let answer = request.json(&serde_json::json!({"tokens": tokens})).send().await.expect("an answer");
    let body: Value = answer.json().await.expect("JSON");
    body["results"].as_array().unwrap_or_else(|| panic!("no results in {body}")).clone()
}

pub fn user(id: UserId, username: &str) -> User {
    User { id, username: username.into(), ..User::default() }
}

pub fn family(id: FamilyId, client: ClientKey, user: UserId, now: UnixTime) -> Family {
    Family {
        id,
        client,
        client_epoch: 0,
        user,
        user_epoch: 0,
        session: None,
        scopes: Scopes::parse("read offline_access").expect("valid scopes"),
        resources: vec![],
        claims: RequestedClaims::default(),
        auth_time: now,
        amr: vec!["pwd".into()],
        refreshable: true,
        created_at: now,
        expires_at: now.plus(90 * 86_400),
        revoked_at: None,
    }
}
