//! Calls to the nodes as their clients make them, each written into the history.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::faults::history::{Answer, Op, Recorder, Signed, What};

pub const REDIRECT: &str = "https://app.example/callback";
/// RFC 7636 Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// No call waits longer; its outcome is then unknown.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a node answers; a node that is started again has another port.
pub type Address = Arc<RwLock<String>>;

/// The client of the load, and the person who signed in.
#[derive(Clone, Default)]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
    /// The `Cookie` header of somebody who is signed in.
    pub cookies: String,
}

/// What a grant brought.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    pub id_token: Option<String>,
}

type KeySet = (Instant, Duration, HashMap<String, Value>);

#[derive(Clone)]
pub struct Driver {
    pub nodes: Vec<Address>,
    pub recorder: Recorder,
    credentials: Credentials,
    http: reqwest::Client,
    /// The key set of a verifier: when it was fetched, how long it may be kept, its keys by `kid`.
    cached: Arc<Mutex<Option<KeySet>>>,
}

impl Driver {
    pub fn new(nodes: Vec<Address>, credentials: Credentials) -> Self {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self { nodes, recorder: Recorder::new(), credentials, http, cached: Arc::default() }
    }

    pub fn url(&self, node: usize, path: &str) -> String {
        format!("http://{}{path}", self.nodes[node].read().expect("no writer panicked"))
    }

    pub async fn issue(&self, node: usize) -> Option<String> {
        let form = [("grant_type", "client_credentials")];
        let (_, tokens) = self.grant(node, Op::Issue, &form).await;
        Some(tokens?.access)
    }

    pub async fn redeem(&self, node: usize, code: &str) -> (What, Option<Tokens>) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.grant(node, Op::Redeem { code: code.into() }, &form).await
    }

    pub async fn refresh(&self, node: usize, token: &str) -> (What, Option<Tokens>) {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.grant(node, Op::Refresh { token: token.into() }, &form).await
    }

    /// Whether it was acknowledged.
    pub async fn revoke(&self, node: usize, token: &str) -> bool {
        let request = self.post(node, "/oauth/revoke", &[("token", token)]);
        let what = self.call(node, Op::Revoke { token: token.into() }, request, |_, _| Answer::Done).await;
        matches!(what.0, What::Ok(_))
    }

    /// Asks by introspection. `None`: it was not told.
    pub async fn probe(&self, node: usize, token: &str) -> Option<bool> {
        let request = self.post(node, "/oauth/introspect", &[("token", token)]);
        let read = |body: &Value, _: Duration| Answer::Is(body["active"] == true);
        self.told(node, Op::Probe { token: token.into() }, request, read).await
    }

    /// Asks by userinfo.
    pub async fn userinfo(&self, node: usize, token: &str) -> Option<bool> {
        let request = self.http.get(self.url(node, "/oauth/userinfo")).bearer_auth(token);
        let read = |body: &Value, _: Duration| Answer::Is(body["sub"].is_string());
        self.told(node, Op::Probe { token: token.into() }, request, read).await
    }

    /// Fetches the key set.
    pub async fn key_set(&self, node: usize) -> Option<Value> {
        let request = self.http.get(self.url(node, "/.well-known/jwks.json"));
        let (what, body) = self
            .call(node, Op::KeySet, request, |body, max_age| {
                let keys = body["keys"].as_array().into_iter().flatten();
                let kids = keys.filter_map(|key| key["kid"].as_str()).map(str::to_owned).collect();
                Answer::Keys { kids, max_age }
            })
            .await;
        let What::Ok(Answer::Keys { max_age, .. }) = what else { return None };
        let keys = body["keys"].as_array().into_iter().flatten();
        let keys = keys.filter_map(|key| Some((key["kid"].as_str()?.to_owned(), key.clone()))).collect();
        let mut cached = self.cached.lock().expect("no caller panicked");
        if cached.as_ref().is_none_or(|(at, old, _)| at.elapsed() >= *old) {
            *cached = Some((Instant::now(), max_age, keys));
        }
        Some(body)
    }

    /// Verifies a JWT as a resource server does that caches the key set as long as it may.
    pub async fn verify(&self, node: usize, jwt: &str, token: &str) {
        let fresh =
            |cached: &Option<KeySet>| cached.as_ref().is_some_and(|(at, max_age, _)| at.elapsed() < *max_age);
        let is_cached = fresh(&self.cached.lock().expect("no caller panicked"));
        if !is_cached && self.key_set(node).await.is_none() {
            return;
        }
        let call = self.recorder.invoke(node, Op::Verify { token: token.into() });
        let cached = self.cached.lock().expect("no caller panicked").clone();
        let keys = cached.map(|(_, _, keys)| keys).unwrap_or_default();
        self.recorder.end(call, What::Ok(Answer::Is(verifies(jwt, &keys))));
    }

    /// Where an application sends the person to.
    pub fn authorize_path(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", self.credentials.client_id.as_str()),
                ("redirect_uri", REDIRECT),
                ("response_type", "code"),
                ("scope", "openid offline_access read"),
                ("state", "s1"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        format!("/oauth/authorize?{query}")
    }

    /// A page, as the person who is signed in asks for it.
    pub fn visit(&self, node: usize, path: &str) -> reqwest::RequestBuilder {
        self.http.get(self.url(node, path)).header("cookie", &self.credentials.cookies)
    }

    /// A code for the person who is signed in.
    pub async fn code(&self, node: usize) -> Option<String> {
        let request = self.visit(node, &self.authorize_path());
        let answer = request.send().await.ok()?;
        let location = answer.headers().get("location")?.to_str().ok()?;
        let (_, query) = location.split_once('?')?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == "code").map(|(_, value)| value.into_owned())
    }

    /// The status of a GET, and its `Retry-After`; `None` without an answer.
    pub async fn get(&self, node: usize, path: &str) -> Option<(u16, Option<String>)> {
        head(self.http.get(self.url(node, path))).await
    }

    /// An introspection outside the history: its status and `Retry-After`.
    pub async fn introspection(&self, node: usize, token: &str) -> Option<(u16, Option<String>)> {
        head(self.post(node, "/oauth/introspect", &[("token", token)])).await
    }

    /// A revocation whose caller waits as long as it takes: its status and `Retry-After`.
    pub async fn revocation(&self, node: usize, token: &str) -> Option<(u16, Option<String>)> {
        let call = self.recorder.invoke(node, Op::Revoke { token: token.into() });
        let request = self.post(node, "/oauth/revoke", &[("token", token)]);
        let answer = head(request.timeout(Duration::from_secs(60))).await;
        let what = match &answer {
            Some((200, _)) => What::Ok(Answer::Done),
            _ => What::Info(format!("{answer:?}")),
        };
        self.recorder.end(call, what);
        answer
    }

    pub async fn is_ready(&self, node: usize) -> bool {
        matches!(self.get(node, "/health/ready").await, Some((200, _)))
    }

    async fn grant(&self, node: usize, op: Op, form: &[(&str, &str)]) -> (What, Option<Tokens>) {
        let request = self.post(node, "/oauth/token", form);
        let now = self.recorder.now();
        let read = move |body: &Value, _: Duration| tokens_of(body, now);
        let (what, body) = self.call(node, op, request, read).await;
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let tokens = matches!(what, What::Ok(_)).then(|| Tokens {
            access: text("access_token").unwrap_or_default(),
            refresh: text("refresh_token"),
            id_token: text("id_token"),
        });
        (what, tokens)
    }

    pub fn post(&self, node: usize, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let Credentials { client_id, client_secret, .. } = &self.credentials;
        let mut form = form.to_vec();
        form.extend([("client_id", client_id.as_str()), ("client_secret", client_secret.as_str())]);
        self.http.post(self.url(node, path)).form(&form)
    }

    async fn told(
        &self,
        node: usize,
        op: Op,
        request: reqwest::RequestBuilder,
        read: impl Fn(&Value, Duration) -> Answer,
    ) -> Option<bool> {
        match self.call(node, op, request, read).await.0 {
            What::Ok(Answer::Is(is)) => Some(is),
            _ => None,
        }
    }

    /// Makes a call, and writes down how it began and how it ended.
    async fn call(
        &self,
        node: usize,
        op: Op,
        request: reqwest::RequestBuilder,
        read: impl Fn(&Value, Duration) -> Answer,
    ) -> (What, Value) {
        let is_probe = matches!(op, Op::Probe { .. });
        let call = self.recorder.invoke(node, op);
        let (what, body) = match exchange(request).await {
            Ok((200, max_age, body)) => (What::Ok(read(&body, max_age)), body),
            // RFC 6750 §3.1: userinfo's way of saying that a token is not active.
            Ok((401, _, body)) if is_probe && body["error"] == "invalid_token" => {
                (What::Ok(Answer::Is(false)), body)
            }
            Ok((status @ 400..=499, _, body)) => {
                let reason = body["error"].as_str().map_or_else(|| status.to_string(), str::to_owned);
                (What::Fail(reason), body)
            }
            Ok((status, _, body)) => (What::Info(format!("{status} {}", body["error_description"])), body),
            Err(error) => (What::Info(error), Value::Null),
        };
        self.recorder.end(call, what.clone());
        (what, body)
    }
}

/// Status and `Retry-After`; `None` without an answer.
async fn head(request: reqwest::RequestBuilder) -> Option<(u16, Option<String>)> {
    let answer = request.send().await.ok()?;
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    Some((answer.status().as_u16(), retry_after.map(str::to_owned)))
}

/// Status, `max-age` and JSON body; the error is a few words.
async fn exchange(request: reqwest::RequestBuilder) -> Result<(u16, Duration, Value), String> {
    let words = |error: reqwest::Error| match error {
        error if error.is_timeout() => "timed out".to_owned(),
        error if error.is_connect() => "no connection".to_owned(),
        error => format!("cut off: {error}"),
    };
    let answer = request.send().await.map_err(words)?;
    let status = answer.status().as_u16();
    let control = answer.headers().get("cache-control").and_then(|value| value.to_str().ok());
    let max_age = control.and_then(|value| value.split("max-age=").nth(1));
    let max_age = max_age.and_then(|value| value.split(',').next()?.trim().parse().ok()).unwrap_or(0);
    let body = answer.text().await.map_err(words)?;
    Ok((status, Duration::from_secs(max_age), serde_json::from_str(&body).unwrap_or_default()))
}

fn tokens_of(body: &Value, now: Duration) -> Answer {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    // It lives from its issue on, which was not before it was asked for.
    let expires_at = now + Duration::from_secs(body["expires_in"].as_u64().unwrap_or(0));
    let jwts = [text("access_token"), text("id_token")];
    let kids = jwts.iter().flatten().filter_map(|jwt| header_of(jwt)?["kid"].as_str().map(str::to_owned));
    Answer::Tokens {
        access: text("access_token").unwrap_or_default(),
        refresh: text("refresh_token"),
        signed: kids.map(|kid| Signed { kid, expires_at }).collect(),
        expires_at,
    }
}

/// The header of a JWT; `None` for anything else.
fn header_of(jwt: &str) -> Option<Value> {
    let (header, rest) = jwt.split_once('.')?;
    rest.contains('.').then_some(())?;
    serde_json::from_slice(&chancery::crypto::base64url::decode(header)?).ok()
}

/// Whether the signature is good by one of these keys, as an independent library sees it.
fn verifies(jwt: &str, keys: &HashMap<String, Value>) -> bool {
    let held = || {
        let header = jsonwebtoken::decode_header(jwt).ok()?;
        let jwk = serde_json::from_value(keys.get(header.kid.as_deref()?)?.clone()).ok()?;
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).ok()?;
        let (message, signature) = jwt.rsplit_once('.')?;
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, header.alg).ok()
    };
    held().unwrap_or(false)
}
