//! `TestApp`: a server of its own for each test, and helpers named as actions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chancery::{
    app::{Backend, Listeners, Node, ServeOptions, block_on},
    config::Config,
    crypto::{digest::sha256, opaque::Opaque, random::Random},
    model::*,
    provider::Provider,
    resilience::Clock,
    store::{Commit, Effect, RevocationIndex},
};
use serde_json::Value;

/// When the tests' clock begins.
pub const START: u64 = 1_800_000_000;

/// The one client secret of these tests.
pub const SECRET: &str = "a secret that only tests know";

/// A running server.
pub struct TestApp {
    /// The public listener's address, `http://127.0.0.1:PORT`.
    pub url: String,
    /// The operations listener's address.
    pub operations: String,
    /// Its clock.
    pub clock: Clock,
    /// Its use cases.
    pub provider: Arc<Provider>,
    store: Backend,
    http: reqwest::Client,
    statistics: reqwest::Client,
    folder: tempfile::TempDir,
    /// The server stops when this is dropped.
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The `error` member, with the status.
    pub fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("an ASCII header"))
    }

    /// A string member of a successful answer.
    pub fn text(&self, member: &str) -> String {
        let json = self.json();
        json[member].as_str().unwrap_or_else(|| panic!("no {member} in {self:?}")).to_owned()
    }
}

/// A family with its first refresh token, as the code flow leaves it.
pub struct Authorized {
    pub family: FamilyId,
    pub refresh_token: String,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with some settings given as environment variables.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::serve(settings, false, None).await
    }

    /// Starts, and waits until there is a key for every algorithm: RSA keys take a moment.
    pub async fn start_with_all_keys() -> Self {
        Self::serve(&[], true, None).await
    }

    /// Starts with another knowledge of revocations than the change feed's.
    pub async fn start_with_index(index: Arc<dyn RevocationIndex>) -> Self {
        Self::serve(&[], false, Some(index)).await
    }

    async fn serve(
        settings: &[(&str, &str)],
        wait_for_keys: bool,
        index: Option<Arc<dyn RevocationIndex>>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::manual(UnixTime(START));
        let any = "127.0.0.1:0".parse().expect("an address");
        let listeners = Listeners::bind(any, any).expect("free ports");
        let url = format!("http://{}", listeners.addresses.public);
        let operations = format!("http://{}", listeners.addresses.operations);
        let mut environment = BTreeMap::from([
            ("CHANCERY_STORE_DATA_DIR".to_owned(), folder.path().display().to_string()),
            ("CHANCERY_SERVER_ISSUER".to_owned(), url.clone()),
            ("CHANCERY_SERVER_WORKERS".to_owned(), "2".to_owned()),
            // A machine that is busy with other tests is no reason to refuse.
            ("CHANCERY_SERVER_REQUEST_TIMEOUT".to_owned(), "60s".to_owned()),
            // The smallest that is allowed: these tests are about something else.
            ("CHANCERY_PASSWORD_MEMORY_KIB".to_owned(), "7168".to_owned()),
            ("CHANCERY_PASSWORD_ITERATIONS".to_owned(), "5".to_owned()),
        ]);
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::load(None, &environment).expect("a good configuration");
        let mut node = Node::open(config, clock.clone(), Random::seeded(START)).await.expect("a node");
        if let Some(index) = index {
            Arc::get_mut(&mut node.provider).expect("only the node has it").tokens.revocations = index;
        }
        let (provider, store) = (node.provider.clone(), node.backend().clone());
        let (began, mut ready) = tokio::sync::mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        // The thread serves until the test lets go of the app: what served on would take processor and memory
        // from all tests that come after.
        std::thread::spawn(move || {
            let told = began.clone();
            let ready = Box::new(move |_| drop(told.send(Ok(()))));
            let stop = Box::pin(async { drop(stopped.await) });
            let options = ServeOptions { wait_for_keys, ready, stop, ..ServeOptions::until_signal() };
            let ended = block_on(node.serve(listeners, options));
            // Nobody listens any more where it had begun.
            drop(began.send(ended));
        });
        ready.recv().await.expect("it begins or fails").expect("the server starts");
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let (http, statistics) = (http.expect("an HTTP client"), reqwest::Client::new());
        Self { url, operations, clock, provider, store, http, statistics, folder, _stop: stop }
    }

    /// Asks the public listener by HTTP/2 from now on, without asking whether it can.
    #[must_use]
    pub fn over_http2(mut self) -> Self {
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        self.http = builder.http2_prior_knowledge().build().expect("an HTTP client");
        self
    }

    /// Sends a header with every request to the public listener from now on.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let headers = [(name.parse().expect("a name"), value.parse().expect("a value"))];
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let builder = builder.default_headers(headers.into_iter().collect());
        self.http = builder.build().expect("an HTTP client");
        self
    }

    /// Statements so far.
    pub fn statements(&self) -> u64 {
        self.store.statements()
    }

    /// Makes every statement on a table fail, as a fault of the disk might.
    pub fn break_table(&self, table: &str) {
        let database =
            rusqlite::Connection::open(self.folder.path().join("chancery.db")).expect("the database");
        database
            .execute_batch(&format!("ALTER TABLE {table} RENAME TO broken_{table}"))
            .expect("it is renamed");
    }

    /// Keeps every commit waiting until what this gives is dropped.
    pub fn stall_writes(&self) -> rusqlite::Connection {
        let database =
            rusqlite::Connection::open(self.folder.path().join("chancery.db")).expect("the database");
        database.busy_timeout(Duration::from_secs(5)).expect("a time-out");
        database.execute_batch("BEGIN IMMEDIATE").expect("the writer's lock");
        database
    }

    /// Waits until so many requests are under way at the public listener.
    pub async fn until_in_flight(&self, requests: usize) {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        // The one that asks is one of them.
        let line = format!("chancery_http_requests_in_flight {}\n", requests + 1);
        while !self.get_operations("/metrics").await.body.contains(&line) {
            assert!(std::time::Instant::now() < deadline, "{requests} requests are never under way");
        }
    }

    /// Commits something, as the command line does.
    pub async fn commit(&self, effects: Vec<Effect>) {
        let provider = &self.provider;
        let id = CommitId(provider.random.id(provider.clock.millis()));
        let commit = Commit { id, at: self.clock.now(), spend: None, effects };
        provider.store.commit(commit).await.expect("the commit is done");
    }

    /// Commits something below the caches, as another process does: this node hears of it by the feed.
    pub async fn commit_elsewhere(&self, effects: Vec<Effect>) {
        let id = CommitId(self.provider.random.id(self.clock.millis()));
        let commit = Commit { id, at: self.clock.now(), spend: None, effects };
        self.store.store().commit(commit).await.expect("the commit is done");
    }

    /// Registers a confidential client with [`SECRET`], changed as wanted.
    pub async fn client(&self, client_id: &str, change: impl FnOnce(&mut Client)) -> Client {
        let provider = &self.provider;
        let secret =
            ClientSecret { digest: sha256(SECRET.as_bytes()), created_at: UnixTime(START), expires_at: None };
        let mut client = Client {
            key: ClientKey(provider.random.id(provider.clock.millis())),
            client_id: client_id.into(),
            name: client_id.into(),
            secrets: vec![secret],
            redirect_uris: vec!["https://app.example/callback".into()],
            grants: ["authorization_code", "refresh_token", "client_credentials"].map(String::from).to_vec(),
            scopes: Scopes::parse("openid profile email offline_access read write").expect("valid scopes"),
            id_token_alg: SigningAlg::EdDSA,
            created_at: UnixTime(START),
            updated_at: UnixTime(START),
            ..Client::default()
        };
        change(&mut client);
        self.commit(vec![Effect::InsertClient(Box::new(client.clone()))]).await;
        client
    }

    /// Registers a resource.
    pub async fn resource(&self, uri: &str, owner: Option<&Client>) {
        let provider = &self.provider;
        let resource = Resource {
            id: provider.random.id(provider.clock.millis()),
            uri: uri.into(),
            owner: owner.map(|client| client.key),
            created_at: self.clock.now(),
        };
        self.commit(vec![Effect::InsertResource(resource)]).await;
    }

    /// Makes a user without a password.
    pub async fn user(&self, username: &str) -> User {
        let claims = serde_json::json!({"name": "Alice Example", "email": "alice@example.org"});
        self.user_with(username, claims).await
    }

    /// A person of whom these claims are known.
    pub async fn user_with(&self, username: &str, claims: Value) -> User {
        let provider = &self.provider;
        let user = User {
            id: UserId(provider.random.id(provider.clock.millis())),
            username: username.into(),
            claims: claims.as_object().cloned().expect("an object"),
            created_at: UnixTime(START),
            updated_at: UnixTime(START),
            ..User::default()
        };
        self.commit(vec![Effect::InsertUser(Box::new(user.clone()))]).await;
        user
    }

    fn family(&self, client: &Client, user: &User, scope: &str) -> Family {
        Family {
            id: FamilyId(self.provider.random.id(self.clock.millis())),
            client: client.key,
            client_epoch: client.epoch,
            user: user.id,
            user_epoch: user.epoch,
            session: None,
            scopes: Scopes::parse(scope).expect("valid scopes"),
            resources: client.resources.clone(),
            claims: RequestedClaims::default(),
            auth_time: self.clock.now(),
            amr: vec!["pwd".into()],
            refreshable: true,
            created_at: self.clock.now(),
            expires_at: self.clock.now().plus(client.refresh_lifetime),
            revoked_at: None,
        }
    }

    /// An authorization with a refresh token, without the browser's part.
    pub async fn authorized(&self, client: &Client, user: &User, scope: &str) -> Authorized {
        let provider = &self.provider;
        let family = self.family(client, user, scope);
        let id = family.id;
        let (text, token) = provider.opaque.issue_refresh_token(id, 0, &provider.random);
        let expires_at = self.clock.now().plus(client.refresh_idle_lifetime);
        self.commit(vec![
            Effect::InsertFamily(Box::new(family)),
            Effect::InsertRefreshToken { token, expires_at },
        ])
        .await;
        Authorized { family: id, refresh_token: text.expose().clone() }
    }

    /// An authorization code for the client's first redirect URI, without the browser's part. Its
    /// verifier is [`VERIFIER`].
    pub async fn code(&self, client: &Client, user: &User, scope: &str) -> String {
        let provider = &self.provider;
        let (text, digest) = provider.opaque.issue(Opaque::Code, &provider.random);
        let family = self.family(client, user, scope);
        let code = Code {
            id: RowId(provider.random.id(provider.clock.millis())),
            digest,
            family: family.id,
            client: client.key,
            redirect_uri: client.redirect_uris[0].clone(),
            challenge: Some(CHALLENGE.into()),
            nonce: Some("n-0S6_WzA2Mj".into()),
            created_at: self.clock.now(),
            expires_at: self.clock.now().plus(60),
            spent_by: None,
        };
        self.commit(vec![Effect::InsertFamily(Box::new(family)), Effect::InsertCode(Box::new(code))]).await;
        text.expose().clone()
    }

    /// A POST with a form body; `basic` is the client that authenticates with [`SECRET`].
    pub async fn post(&self, path: &str, basic: Option<&str>, form: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.url)).form(form);
        if let Some(client_id) = basic {
            request = request.basic_auth(client_id, Some(SECRET));
        }
        self.send(request).await
    }

    pub async fn token(&self, client_id: &str, form: &[(&str, &str)]) -> Answer {
        self.post("/oauth/token", Some(client_id), form).await
    }

    /// Redeems a code of [`Self::code`].
    pub async fn redeem(&self, client: &Client, code: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &client.redirect_uris[0]),
            ("code_verifier", VERIFIER),
        ];
        self.token(&client.client_id, &form).await
    }

    pub async fn refresh(&self, client_id: &str, refresh_token: &str) -> Answer {
        self.token(client_id, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    /// An access token by client_credentials.
    pub async fn machine_token(&self, client_id: &str) -> String {
        self.token(client_id, &[("grant_type", "client_credentials")]).await.text("access_token")
    }

    pub async fn introspect(&self, client_id: &str, token: &str) -> Answer {
        self.post("/oauth/introspect", Some(client_id), &[("token", token)]).await
    }

    /// Whether introspection calls the token active.
    pub async fn is_active(&self, client_id: &str, token: &str) -> bool {
        let answer = self.introspect(client_id, token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["active"].as_bool().expect("a boolean")
    }

    pub async fn revoke(&self, client_id: &str, token: &str) -> Answer {
        self.post("/oauth/revoke", Some(client_id), &[("token", token)]).await
    }

    pub async fn userinfo(&self, token: &str) -> Answer {
        self.send(self.http.get(format!("{}/oauth/userinfo", self.url)).bearer_auth(token)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    pub async fn get_operations(&self, path: &str) -> Answer {
        self.send(self.statistics.get(format!("{}{path}", self.operations))).await
    }

    /// A request of any shape to the public listener.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().expect("a method"), format!("{}{path}", self.url))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.expect("the server answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, body: answer.text().await.expect("a body") }
    }
}

// RFC 7636 Appendix B
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
