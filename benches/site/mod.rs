//! A node of its own over an embedded store in a temporary folder, with clients, a person and their tokens,
//! asked without HTTP: what is measured is what the server does between reading and writing.

#![allow(dead_code, unused_imports, reason = "each benchmark uses some of it")]

mod records;

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    app::{Node, default_client},
    config::Config,
    crypto::random::Random,
    model::*,
    protocol::{ClientRequest, Params},
    provider::Provider,
    resilience::Clock,
    store::{Commit, Effect},
};
use tokio::runtime::Runtime;

pub use records::{VERIFIER, claims, code_facts, family, presented, refresh_facts, secret, user};

/// Where the clock stands.
pub const START: UnixTime = UnixTime(1_800_000_000);
/// The client whose access tokens are sealed; it also introspects.
pub const SEALED: &str = "bench-sealed";
/// The client whose access tokens are EdDSA JWTs.
pub const JWT: &str = "bench-jwt";

/// A request, in the form its endpoint gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `POST /oauth/introspect` for a sealed token of the caller.
    Introspect,
    /// The same for an EdDSA JWT of another client.
    IntrospectJwt,
    /// `POST /oauth/token`, client_credentials, answered with a sealed token.
    TokenSealed,
    /// The same, answered with an EdDSA JWT.
    TokenJwt,
    /// `GET /oauth/userinfo` with a sealed token.
    Userinfo,
    /// `POST /oauth/introspect/batch` with 64 sealed tokens.
    Batch,
}

impl Request {
    /// Every request there is.
    pub const ALL: [Self; 6] = [
        Self::Introspect,
        Self::IntrospectJwt,
        Self::TokenSealed,
        Self::TokenJwt,
        Self::Userinfo,
        Self::Batch,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Introspect => "introspect",
            Self::IntrospectJwt => "introspect_jwt",
            Self::TokenSealed => "token_sealed",
            Self::TokenJwt => "token_jwt",
            Self::Userinfo => "userinfo",
            Self::Batch => "batch_64",
        }
    }
}

/// The node, and what is sent to it.
pub struct Site {
    /// Everything behind the listeners.
    pub node: Node,
    pub runtime: Runtime,
    basic: [String; 2],
    introspect: String,
    introspect_jwt: String,
    bearer: String,
    batch: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// Opens a node with these random numbers and a clock that stands still.
    pub fn open(random: Random) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let environment = BTreeMap::from([
            ("CHANCERY_STORE_DATA_DIR".to_owned(), folder.path().display().to_string()),
            ("CHANCERY_SERVER_ISSUER".to_owned(), "http://127.0.0.1:8080".to_owned()),
        ]);
        let config = Config::load(None, &environment).expect("a good configuration");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let node = runtime.block_on(async {
            let node = Node::open(config, Clock::manual(START), random).await.expect("a node");
            node.begin().await.expect("it can answer");
            node
        });
        let mut site = Self {
            node,
            runtime,
            basic: [SEALED, JWT].map(basic),
            introspect: String::new(),
            introspect_jwt: String::new(),
            bearer: String::new(),
            batch: Vec::new(),
            _folder: folder,
        };
        site.populate();
        site
    }

    /// The use cases.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.node.provider
    }

    /// Sends a request so many times, one after the other.
    pub fn send(&self, request: Request, times: u64) {
        self.runtime.block_on(async {
            for _ in 0..times {
                black_box(self.answer(request).await);
            }
        });
    }

    /// Sends a request once and makes sure that its answer is the one that is meant to be measured.
    pub fn check(&self, request: Request) {
        let body = self.runtime.block_on(self.answer(request));
        let text = String::from_utf8(body).expect("an answer is text");
        let good = match request {
            Request::Introspect | Request::IntrospectJwt => text.starts_with("{\"active\":true"),
            Request::TokenSealed => text.contains("chy_at_"),
            Request::TokenJwt => text.contains("\"access_token\":\"ey"),
            Request::Userinfo => text.contains("Alice Liddell"),
            Request::Batch => text.matches("\"active\":true").count() == 64,
        };
        assert!(good, "{request:?}: {text}");
    }

    /// The answer's body.
    pub async fn answer(&self, request: Request) -> Vec<u8> {
        match request {
            Request::Introspect => self.introspected(&self.introspect).await,
            Request::IntrospectJwt => self.introspected(&self.introspect_jwt).await,
            Request::TokenSealed => self.token(0).await,
            Request::TokenJwt => self.token(1).await,
            Request::Userinfo => self.provider().tokens.userinfo(&self.bearer).await.expect("claims"),
            Request::Batch => self.batch(self.batch.len()).await,
        }
    }

    /// The answer about so many of the batch's tokens.
    pub async fn batch(&self, tokens: usize) -> Vec<u8> {
        let provider = self.provider();
        let tokens: Vec<&str> = self.batch[..tokens].iter().map(String::as_str).collect();
        let answer = provider.tokens.introspect_batch(&self.request(0, ""), Ok(&tokens)).await;
        answer.expect("answers")
    }

    async fn introspected(&self, form: &str) -> Vec<u8> {
        self.provider().tokens.introspect(&self.request(0, form)).await.expect("an answer")
    }

    async fn token(&self, client: usize) -> Vec<u8> {
        let request = self.request(client, "grant_type=client_credentials&scope=read");
        self.provider().tokens.token(&request).await.expect("a token").body
    }

    fn request<'r>(&'r self, client: usize, form: &'r str) -> ClientRequest<'r> {
        let form = Params::parse(form.as_bytes()).expect("a form");
        ClientRequest { authorization: Some(&self.basic[client]), form }
    }

    /// Commits something, as a use case does.
    pub async fn commit(&self, effects: Vec<Effect>) {
        let provider = self.provider();
        let id = CommitId(provider.random.id(provider.clock.millis()));
        let commit = Commit { id, at: START, spend: None, effects };
        provider.store.commit(commit).await.expect("it is committed");
    }

    fn populate(&mut self) {
        let (introspect, introspect_jwt, bearer, batch) = self.runtime.block_on(async {
            for (client_id, format) in
                [(SEALED, TokenFormat::Sealed), (JWT, TokenFormat::Jwt(SigningAlg::EdDSA))]
            {
                self.commit(vec![Effect::InsertClient(Box::new(self.client(client_id, format)))]).await;
            }
            let sealed = access_token(&self.token(0).await);
            let jwt = access_token(&self.token(1).await);
            let mut batch = Vec::new();
            for _ in 0..64 {
                batch.push(access_token(&self.token(0).await));
            }
            (format!("token={sealed}"), format!("token={jwt}"), self.person().await, batch)
        });
        (self.introspect, self.introspect_jwt, self.bearer, self.batch) =
            (introspect, introspect_jwt, bearer, batch);
        Request::ALL.into_iter().for_each(|request| self.check(request));
    }

    /// A client that may do everything.
    pub fn client(&self, client_id: &str, token_format: TokenFormat) -> Client {
        let provider = self.provider();
        Client {
            key: ClientKey(provider.random.id(provider.clock.millis())),
            secrets: vec![secret()],
            redirect_uris: vec!["https://app.example/callback".into()],
            grants: ["authorization_code", "refresh_token", "client_credentials"].map(String::from).to_vec(),
            scopes: Scopes::parse("openid profile email offline_access read write").expect("valid scopes"),
            id_token_alg: SigningAlg::EdDSA,
            token_format,
            introspect_any: true,
            ..default_client(&self.node.config, client_id)
        }
    }

    /// Makes a person who has authorized the first client; an access token of that.
    async fn person(&self) -> String {
        let provider = self.provider();
        let client = provider.store.client(SEALED).await.expect("the store answers").expect("a client");
        let user = user();
        let family = family(&client, &user);
        let (text, token) = provider.opaque.issue_refresh_token(family.id, 0, &provider.random);
        self.commit(vec![
            Effect::InsertUser(Box::new(user)),
            Effect::InsertFamily(Box::new(family)),
            Effect::InsertRefreshToken { token, expires_at: START.plus(86_400) },
        ])
        .await;
        let form = format!("grant_type=refresh_token&refresh_token={}", text.expose());
        access_token(&provider.tokens.token(&self.request(0, &form)).await.expect("tokens").body)
    }
}

fn basic(client_id: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{}", records::SECRET)))
}

fn access_token(body: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    answer["access_token"].as_str().expect("a token").to_owned()
}
