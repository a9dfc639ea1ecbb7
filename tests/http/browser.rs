//! A browser for the tests: it keeps cookies, follows nothing and runs no script.

use std::collections::BTreeMap;

use chancery::model::*;

use crate::http::app::{Answer, CHALLENGE, TestApp, VERIFIER};

/// The password of everybody in these tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// The cookies of one browser.
#[derive(Clone, Default)]
pub struct Browser(pub BTreeMap<String, String>);

/// A server with alice, and the public client `app` called "An app".
pub async fn site() -> TestApp {
    site_with(|_| ()).await
}

/// The same, with the client changed.
pub async fn site_with(change: impl FnOnce(&mut Client)) -> TestApp {
    furnish(TestApp::start().await, change).await
}

/// Gives a server alice and the client.
pub async fn furnish(app: TestApp, change: impl FnOnce(&mut Client)) -> TestApp {
    add_user(&app, "alice").await;
    app.client("app", |client| {
        client.name = "An app".into();
        client.auth_method = AuthMethod::None;
        client.secrets = vec![];
        client.redirect_uris = vec!["https://app.example/cb".into()];
        client.grants = ["authorization_code", "refresh_token"].map(String::from).to_vec();
        change(client);
    })
    .await;
    app
}

/// Makes a user with [`PASSWORD`].
pub async fn add_user(app: &TestApp, name: &str) -> User {
    let user = app.user(name).await;
    let password =
        app.provider.sign_in.passwords.hash(Secret::new(PASSWORD.to_owned())).await.expect("it is hashed");
    app.commit(vec![chancery::store::Effect::SetPassword { user: user.id, password }]).await;
    user
}

/// A good authorization request, with more parameters.
pub fn request(more: &str) -> String {
    format!(
        "/oauth/authorize?client_id=app&redirect_uri=https://app.example/cb&response_type=code&state=s1\
         &scope=openid%20profile&code_challenge={CHALLENGE}&code_challenge_method=S256{more}"
    )
}

/// The parameters of [`request`].
const GOOD: [(&str, &str); 7] = [
    ("client_id", "app"),
    ("redirect_uri", "https://app.example/cb"),
    ("response_type", "code"),
    ("state", "s1"),
    ("scope", "openid profile"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// The good request with parameters set, added or (empty) taken away.
pub fn request_with(changes: &[(&str, &str)]) -> String {
    let kept = GOOD.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let mut query = form_urlencoded::Serializer::new(String::new());
    kept.chain(changes).filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
        query.append_pair(name, value);
    });
    format!("/oauth/authorize?{}", query.finish())
}

/// The claims of a JWT that came from the server itself: not verified.
pub fn claims(jwt: &str) -> serde_json::Value {
    let payload = jwt.split('.').nth(1).expect("three parts");
    let payload = chancery::crypto::base64url::decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON claims")
}

/// The sum of the metric's series whose labels hold all of `labels`.
pub async fn count(app: &TestApp, metric: &str, labels: &[&str]) -> u64 {
    let metrics = app.get_operations("/metrics").await.body;
    let series = metrics.lines().filter_map(|line| line.strip_prefix(metric));
    let series = series.filter(|line| line.starts_with(['{', ' ']));
    let series = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// How often a security event was counted.
pub async fn events(app: &TestApp, event: &str) -> u64 {
    count(app, "chancery_security_events_total", &[&format!("event=\"{event}\"")]).await
}

/// The text of an attribute or element as it was before it was escaped.
pub fn unescape(html: &str) -> String {
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    entities.iter().fold(html.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// Redeems a code of the client `app`.
pub async fn redeem(app: &TestApp, code: &str) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "app"),
        ("code", code),
        ("redirect_uri", "https://app.example/cb"),
        ("code_verifier", VERIFIER),
    ];
    app.post("/oauth/token", None, &form).await
}

impl Answer {
    /// Where a 303 leads.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.body);
        self.header("location")
    }

    /// A parameter of the redirect.
    pub fn param(&self, name: &str) -> Option<String> {
        let query = self.location().split_once('?')?.1;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(held, _)| held == name).map(|(_, value)| value.into_owned())
    }

    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> String {
        let after = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1);
        let after = after.unwrap_or_else(|| panic!("no field {name} in {}", self.body));
        unescape(after.split('"').next().unwrap_or_default())
    }

    /// The code in the redirect.
    pub fn code(&self) -> String {
        self.param("code").unwrap_or_else(|| panic!("no code: {}", self.location()))
    }

    /// The error in the redirect.
    pub fn refused(&self) -> String {
        self.param("error").unwrap_or_else(|| panic!("no error: {}", self.location()))
    }

    /// Whether the redirect leads to the sign-in page.
    pub fn asks_to_sign_in(&self) -> bool {
        self.location().starts_with("/login?tx=")
    }

    /// Whether the redirect leads to the consent page.
    pub fn asks_for_consent(&self) -> bool {
        self.location().starts_with("/consent?tx=")
    }

    /// The error page's code.
    pub fn error_code(&self) -> String {
        assert_eq!(self.header("location"), "");
        let after = self.body.split("id=\"error-code\">").nth(1);
        let after = after.unwrap_or_else(|| panic!("no error page: {}", self.body));
        after.split('<').next().unwrap_or_default().to_owned()
    }
}

impl Browser {
    /// Sends a request with the cookies, and takes those of the answer.
    pub async fn send(&mut self, app: &TestApp, request: reqwest::RequestBuilder) -> Answer {
        let cookies: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("cookie", cookies.join("; ")).header("user-agent", "Test/1");
        let answer = app.send(request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let pair = cookie.to_str().expect("an ASCII header").split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("name=value");
            match value {
                "" => self.0.remove(name),
                _ => self.0.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// A GET.
    pub async fn get(&mut self, app: &TestApp, path: &str) -> Answer {
        self.send(app, app.request("GET", path)).await
    }

    /// A POST of a form.
    pub async fn post(&mut self, app: &TestApp, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(app, app.request("POST", path).form(form)).await
    }

    /// Posts a page's form: its transaction and CSRF token, and what the person filled in.
    pub async fn submit(
        &mut self,
        app: &TestApp,
        page: &Answer,
        path: &str,
        filled: &[(&str, &str)],
    ) -> Answer {
        let csrf = page.field("csrf");
        let tx = page.body.contains("name=\"tx\"").then(|| page.field("tx"));
        let mut form = vec![("csrf", csrf.as_str())];
        form.extend(tx.as_deref().map(|tx| ("tx", tx)));
        form.extend(filled);
        self.post(app, path, &form).await
    }

    /// The parameters of a GET as a POST.
    pub async fn post_target(&mut self, app: &TestApp, target: &str) -> Answer {
        let (path, query) = target.split_once('?').expect("a query");
        let request = app.request("POST", path).body(query.to_owned());
        self.send(app, request.header("content-type", "application/x-www-form-urlencoded")).await
    }

    /// From the authorization request to the answer of the posted sign-in form.
    pub async fn sign_in(&mut self, app: &TestApp, request: &str) -> Answer {
        self.sign_in_to(app, request, "Alice").await
    }

    /// The same as somebody else than Alice.
    pub async fn sign_in_to(&mut self, app: &TestApp, request: &str, name: &str) -> Answer {
        let begun = self.get(app, request).await;
        let page = self.get(app, begun.location()).await;
        self.submit(app, &page, "/login", &[("username", name), ("password", PASSWORD)]).await
    }

    /// Signs in for the account page.
    pub async fn sign_in_as(&mut self, app: &TestApp, name: &str, password: &str) -> Answer {
        let mut page = self.get(app, "/login").await;
        if page.status == 303 {
            // Signed in already: a form of the account page has a token as well.
            page = self.get(app, page.location()).await;
        }
        let form = [("csrf", &*page.field("csrf")), ("username", name), ("password", password)];
        self.post(app, "/login", &form).await
    }

    /// Answers the consent page.
    pub async fn answer_consent(&mut self, app: &TestApp, path: &str, action: &str) -> Answer {
        let page = self.get(app, path).await;
        self.submit(app, &page, "/consent", &[("action", action)]).await
    }

    /// The whole way, to the redirect with the code.
    pub async fn authorized(&mut self, app: &TestApp, request: &str) -> Answer {
        let signed_in = self.sign_in(app, request).await;
        let path = signed_in.location().to_owned();
        self.answer_consent(app, &path, "allow").await
    }
}
