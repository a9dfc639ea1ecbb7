//! Requests as programs and browsers make them, each counted as the server is supposed to count it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::cli::process::DEADLINE;

/// What was done so far: how often, by the selector of the series that should say so.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

impl Tally {
    pub fn add(&self, metric: &str, labels: &[(&str, &str)], count: u64) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let selector = format!("{metric}{{{}}}", labels.join(","));
        *self.0.lock().expect("nobody panicked").entry(selector).or_default() += count;
    }

    pub fn so_far(&self) -> BTreeMap<String, u64> {
        self.0.lock().expect("nobody panicked").clone()
    }
}

/// A node that is asked, and the secrets of its clients.
#[derive(Clone)]
pub struct Asked {
    pub address: String,
    pub secrets: BTreeMap<&'static str, String>,
}

/// An answer, with what a browser keeps of it.
pub struct Answer {
    pub status: u16,
    pub location: String,
    pub body: String,
    cookies: Vec<(String, String)>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn text(&self, member: &str) -> String {
        let json = self.json();
        json[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member}: {} {}", self.status, self.body))
            .to_owned()
    }

    /// A parameter of where the browser is sent to.
    pub fn param(&self, name: &str) -> String {
        let query = self.location.split_once('?').map_or("", |(_, query)| query);
        let found = form_urlencoded::parse(query.as_bytes()).find(|(held, _)| held == name);
        let found = found.map(|(_, value)| value.into_owned());
        found.unwrap_or_else(|| panic!("no {name}: {} {} {}", self.status, self.location, self.body))
    }

    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> Option<String> {
        let after = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
        Some(after.split('"').next()?.replace("&#x2f;", "/").replace("&amp;", "&"))
    }

    #[track_caller]
    pub fn with(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}", self.location, self.body);
        self
    }
}

/// Who sends the requests to one node.
#[derive(Clone)]
pub struct Driver {
    pub node: Asked,
    pub tally: Tally,
    http: reqwest::Client,
}

/// The template of a path.
fn route(path: &str) -> &str {
    match path.split('?').next().unwrap_or_default() {
        path if path.starts_with("/assets/") => "/assets/{name}",
        path if path.starts_with("/no-such") => "unmatched",
        path => path,
    }
}

impl Driver {
    pub fn new(node: Asked, tally: &Tally) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(DEADLINE);
        Self { node, tally: tally.clone(), http: http.build().expect("a client") }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http.request(method, format!("http://{}{path}", self.node.address))
    }

    /// Notes an answer that was seen.
    pub fn saw(&self, method: &str, path: &str, status: u16) {
        // A method that a route does not have leads nowhere.
        let route = if status == 405 { "unmatched" } else { route(path) };
        let (method, status) = (if route == "unmatched" { "other" } else { method }, status.to_string());
        let labels = [("method", method), ("route", route), ("status", &*status)];
        self.tally.add("chancery_http_requests_total", &labels, 1);
    }

    pub async fn send(&self, (method, path): (&str, &str), request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        self.saw(method, path, status);
        let location =
            answer.headers().get("location").map(|value| value.to_str().expect("ASCII").to_owned());
        let cookies = answer.headers().get_all("set-cookie").iter().map(|cookie| {
            let pair = cookie.to_str().expect("ASCII").split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        });
        let cookies = cookies.collect();
        let body = answer.text().await.expect("UTF-8");
        Answer { status, location: location.unwrap_or_default(), body, cookies }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(("GET", path), self.request("GET", path)).await
    }

    /// A form with the credentials of a client.
    pub async fn form(&self, path: &str, client: &str, form: &[(&str, &str)]) -> Answer {
        let mut form = form.to_vec();
        form.extend([("client_id", client), ("client_secret", &self.node.secrets[client])]);
        self.raw_form(path, &form).await
    }

    /// A form as it is; a client that is refused was refused for its secret.
    pub async fn raw_form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let answer = self.send(("POST", path), self.request("POST", path).form(form)).await;
        if answer.status == 401 {
            let labels = [("method", "client_secret_post"), ("outcome", "failure")];
            self.tally.add("chancery_client_auth_total", &labels, 1);
        }
        answer
    }

    /// A token request that must end like this: with tokens, or with an error.
    pub async fn token(&self, client: &str, form: &[(&str, &str)], expected: Result<(), &str>) -> Answer {
        let answer = self.form("/oauth/token", client, form).await;
        self.count_token(form, &answer, expected, true);
        answer
    }

    /// Counts a token answer. A repeated one issues nothing.
    pub fn count_token(
        &self,
        form: &[(&str, &str)],
        answer: &Answer,
        expected: Result<(), &str>,
        issued: bool,
    ) {
        let grant = form.iter().find(|(name, _)| *name == "grant_type").map_or("", |(_, value)| *value);
        let known = ["client_credentials", "authorization_code", "refresh_token"].contains(&grant);
        let grant = if known { grant } else { "unknown" };
        let json = answer.json();
        let error = json["error"].as_str();
        assert_eq!(expected.err(), error, "{grant}: {} {}", answer.status, answer.body);
        let outcome = if error.is_none() { "success" } else { "failure" };
        let labels = [("grant_type", grant), ("outcome", outcome), ("error", error.unwrap_or("none"))];
        self.tally.add("chancery_token_requests_total", &labels, 1);
        for (member, kind) in [("access_token", "access"), ("refresh_token", "refresh"), ("id_token", "id")] {
            if issued && json[member].is_string() {
                let labels = [("token_type", kind), ("grant_type", grant)];
                self.tally.add("chancery_tokens_issued_total", &labels, 1);
            }
        }
    }

    /// Asks whether a token is active, and expects it to be or not.
    pub async fn introspect(&self, token: &str, active: bool) {
        let answer = self.form("/oauth/introspect", "service", &[("token", token)]).await.with(200);
        assert_eq!(answer.json()["active"], active, "{}", answer.body);
        self.introspected(usize::from(active), usize::from(!active));
    }

    pub fn introspected(&self, active: usize, inactive: usize) {
        for (is, count) in [("true", active), ("false", inactive)] {
            self.tally.add("chancery_introspections_total", &[("active", is)], count as u64);
        }
    }

    /// Revokes a token that stands.
    pub async fn revoke(&self, client: &str, token: &str, kind: &str) {
        self.form("/oauth/revoke", client, &[("token", token)]).await.with(200);
        self.revoked("client", kind);
    }

    pub fn revoked(&self, cause: &str, kind: &str) {
        self.tally.add("chancery_revocations_total", &[("cause", cause), ("token_type", kind)], 1);
    }

    pub fn event(&self, event: &str) {
        self.tally.add("chancery_security_events_total", &[("event", event)], 1);
    }

    pub fn signed_in(&self, reason: &str) {
        let outcome = if reason == "none" { "success" } else { "failure" };
        self.tally.add("chancery_login_attempts_total", &[("outcome", outcome), ("reason", reason)], 1);
    }
}

/// A browser with its cookies; it follows nothing.
pub struct Browser<'d> {
    driver: &'d Driver,
    cookies: BTreeMap<String, String>,
}

impl<'d> Browser<'d> {
    pub fn new(driver: &'d Driver) -> Self {
        Self { driver, cookies: BTreeMap::new() }
    }

    pub fn cookies(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    async fn send(&mut self, what: (&str, &str), request: reqwest::RequestBuilder) -> Answer {
        let answer = self.driver.send(what, request.header("cookie", self.cookies())).await;
        self.cookies.extend(answer.cookies.iter().cloned());
        self.cookies.retain(|_, value| !value.is_empty());
        answer
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(("GET", path), self.driver.request("GET", path)).await
    }

    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.driver.node.address);
        let request = self.driver.request("POST", path).form(form).header("origin", origin);
        self.send(("POST", path), request).await
    }

    /// Posts a page's form with its hidden fields.
    pub async fn submit(&mut self, page: &Answer, path: &str, filled: &[(&str, &str)]) -> Answer {
        let (csrf, tx) = (page.field("csrf"), page.field("tx"));
        let hidden = [("csrf", csrf.as_deref()), ("tx", tx.as_deref())];
        let hidden = hidden.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let form: Vec<_> = hidden.chain(filled.iter().copied()).collect();
        self.post(path, &form).await
    }
}
