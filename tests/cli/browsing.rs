//! The whole browser flow over two nodes: no request needs the node that served the one before.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    cli::behind_proxy::{PASSWORD, Site},
    servers::until,
};

const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An answer, and the node that gave it.
struct Answer {
    status: u16,
    location: String,
    body: String,
    node: String,
}

/// A browser with its cookies; it follows nothing.
struct Browser<'a> {
    site: &'a Site,
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
    /// Who served what, in order.
    served: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    fn new(site: &'a Site) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.build().expect("a client");
        Self { site, http, cookies: BTreeMap::new(), served: Vec::new() }
    }

    async fn send(&mut self, what: String, request: reqwest::RequestBuilder) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header("cookie", cookies.join("; ")).send().await.expect("an answer");
        let text = |name: &str| {
            let header = answer.headers().get(name).map(|value| value.to_str().expect("ASCII"));
            header.unwrap_or_default().to_owned()
        };
        let (status, location, node) = (answer.status().as_u16(), text("location"), text("x-node"));
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().expect("ASCII").split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("name=value");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        self.cookies.retain(|_, value| !value.is_empty());
        self.served.push((what, node.clone()));
        Answer { status, location, body: answer.text().await.expect("UTF-8"), node }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.site.url));
        self.send(format!("GET {path}"), request).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let form: Vec<_> = form.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(format!("{}{path}", self.site.url)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("origin", &self.site.url);
        self.send(format!("POST {path}"), request).await
    }

    /// Posts a page's form with its hidden fields.
    async fn submit(&mut self, page: &Answer, path: &str, filled: &[(&str, &str)]) -> Answer {
        let (csrf, tx) = (field(page, "csrf"), field(page, "tx"));
        let hidden = [("csrf", csrf.as_deref()), ("tx", tx.as_deref())];
        let hidden = hidden.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let form: Vec<_> = hidden.chain(filled.iter().copied()).collect();
        self.post(path, &form).await
    }

    async fn token(&mut self, form: &[(&str, &str)]) -> Value {
        let answer = self.post("/oauth/token", &[&[("client_id", "app")], form].concat()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    async fn redeem(&mut self, location: &str) -> Value {
        let code = param(location, "code");
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(&form).await
    }
}

/// The value of a hidden field.
fn field(page: &Answer, name: &str) -> Option<String> {
    let after = page.body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    Some(after.split('"').next()?.replace("&#x2f;", "/").replace("&amp;", "&"))
}

fn param(location: &str, name: &str) -> String {
    let query = location.split_once('?').unwrap_or_else(|| panic!("no parameters: {location}")).1;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let found = pairs.find(|(held, _)| held == name).map(|(_, value)| value.into_owned());
    found.unwrap_or_else(|| panic!("no {name}: {location}"))
}

fn request() -> String {
    format!(
        "/oauth/authorize?client_id=app&redirect_uri={CALLBACK}&response_type=code&state=s1\
         &scope=openid%20profile%20offline_access&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
}

/// Signs in, consents, redeems, asks for userinfo, renews, sees the account, signs in silently, signs out.
async fn whole_flow(browser: &mut Browser<'_>, first: bool) {
    let begun = browser.get(&request()).await;
    assert!(begun.location.starts_with("/login?tx="), "{} {}", begun.status, begun.body);
    let page = browser.get(&begun.location).await;
    let filled = [("username", "alice"), ("password", PASSWORD), ("action", "login")];
    let signed_in = browser.submit(&page, "/login", &filled).await;
    assert_ne!(page.node, signed_in.node, "a page and its form are served by different nodes");
    let mut location = signed_in.location;
    if first {
        assert!(location.starts_with("/consent?tx="), "{location}: {}", signed_in.body);
        let page = browser.get(&location).await;
        let allowed = browser.submit(&page, "/consent", &[("action", "allow")]).await;
        assert_ne!(page.node, allowed.node);
        location = allowed.location;
    }
    let tokens = browser.redeem(&location).await;
    let access = tokens["access_token"].as_str().expect("a token");
    for _ in 0..2 {
        let userinfo = browser.http.get(format!("{}/oauth/userinfo", browser.site.url)).bearer_auth(access);
        let claims = browser.send("GET /oauth/userinfo".to_owned(), userinfo).await;
        assert!(claims.status == 200 && claims.body.contains("\"sub\""), "{}", claims.body);
    }
    let mut refresh = tokens["refresh_token"].as_str().expect("a token").to_owned();
    for _ in 0..3 {
        let renewed = browser.token(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).await;
        refresh = renewed["refresh_token"].as_str().expect("a token").to_owned();
    }
    // Signed in and agreed: straight back, whichever node is asked.
    for _ in 0..2 {
        let silent = browser.get(&format!("{}&prompt=none", request())).await;
        browser.redeem(&silent.location).await;
        assert_eq!(browser.get("/account").await.status, 200);
    }
    let asked = browser.get("/oauth/logout").await;
    let done = browser.submit(&asked, "/oauth/logout", &[("action", "confirm")]).await;
    assert!(done.body.contains("logout-success"), "{}", done.body);
    let account = browser.get("/account").await;
    assert_eq!((account.status, &*account.location), (303, "/login"), "signed out on every node");
}

#[tokio::test]
async fn two_nodes_serve_the_whole_browser_flow_with_requests_spread_over_both() {
    let mut site = Site::start().await;
    site.client(CALLBACK);
    {
        let mut browser = Browser::new(&site);
        for round in 0..4 {
            whole_flow(&mut browser, round == 0).await;
        }
        let by = |node: &str| browser.served.iter().filter(|(_, by)| by == node).count();
        let (one, two) = (by("one"), by("two"));
        assert_eq!(one + two, browser.served.len(), "{:?}", browser.served);
        assert!(one.abs_diff(two) <= 2, "{one} and {two}: {:?}", browser.served);
    }
    // A node is stopped under the proxy: the other has all of it.
    let node = site.nodes[0].take().expect("it runs");
    let mut browser = Browser::new(&site);
    let begun = browser.get(&request()).await;
    let page = browser.get(&begun.location).await;
    assert_eq!(node.terminate(), Some(0));
    let filled = [("username", "alice"), ("password", PASSWORD), ("action", "login")];
    let signed_in = browser.submit(&page, "/login", &filled).await;
    browser.redeem(&signed_in.location).await;
    assert!(browser.served[2..].iter().all(|(_, by)| by == "two"), "{:?}", browser.served);
}

/// What the proxy finds by asking, nobody has to notice.
#[tokio::test]
async fn a_node_that_stops_loses_no_request_and_gets_its_share_when_it_is_back() {
    let mut site = Site::start().await;
    site.client(CALLBACK);
    let node = site.nodes[1].take().expect("it runs");
    let listen = node.listen.clone();
    let mut browser = Browser::new(&site);
    let stopping = std::thread::spawn(move || node.terminate());
    let mut asked = 0;
    while !stopping.is_finished() || asked < 20 {
        let metadata = browser.get("/.well-known/openid-configuration").await;
        assert_eq!(metadata.status, 200, "{}", metadata.body);
        asked += 1;
    }
    assert_eq!(stopping.join().expect("no panic"), Some(0));
    let (_, last) = browser.served.last().expect("an answer");
    assert_eq!(last, "one");

    let node = site.another_machine().with("CHANCERY_SERVER_LISTEN", &listen).serve();
    until("both to serve again", async || browser.get("/health/live").await.node == "two").await;
    assert_eq!(node.terminate(), Some(0));
}
