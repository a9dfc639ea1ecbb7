//! W3C WebDriver — as much of it as these tests need, in plain JSON over HTTP.

use std::{
    future::Future,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// The key that a WebDriver element reference is under.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Tab and Enter, as WebDriver writes them (§17.4.2).
pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';

/// A headless Chromium with a profile of its own; it ends with this value.
pub struct Chromium {
    driver: Child,
    port: u16,
    session: String,
    http: reqwest::Client,
    // Kept open: what it writes must go somewhere.
    _output: BufReader<ChildStdout>,
    _profile: tempfile::TempDir,
}

/// A driver on a port of its own choice. It takes the same number on IPv4 and IPv6, one after the
/// other; `None` if somebody else had the second.
fn start_driver() -> Option<(Child, BufReader<ChildStdout>, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver is installed");
    let mut output = BufReader::new(driver.stdout.take().expect("a pipe"));
    let port = output
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse().ok());
    if port.is_none() {
        let _ = driver.wait();
    }
    Some((driver, output, port?))
}

impl Chromium {
    /// Starts chromedriver and, through it, a browser.
    pub async fn start() -> Self {
        let (driver, output, port) = (0..5).find_map(|_| start_driver()).expect("chromedriver starts");
        let profile = tempfile::tempdir().expect("a folder");
        let mut chromium = Self {
            driver,
            port,
            session: String::new(),
            http: reqwest::Client::new(),
            _output: output,
            _profile: profile,
        };
        let folder = format!("--user-data-dir={}", chromium._profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &folder,
        ];
        let options = json!({"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            // An alert must stay, so that it is noticed.
            "unhandledPromptBehavior": "ignore",
        }});
        let session = chromium.call("POST", "/session", json!({"capabilities": options})).await;
        let id = session.unwrap_or_else(|error| panic!("no browser: {error}"));
        chromium.session = id["sessionId"].as_str().expect("a session id").to_owned();
        chromium
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, Value> {
        let path =
            if path == "/session" { path.to_owned() } else { format!("/session/{}{path}", self.session) };
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = self.http.request(method.parse().expect("a method"), url);
        let request = if method == "POST" { request.body(body.to_string()) } else { request };
        let answer = request.send().await.expect("chromedriver answers");
        let (ok, mut body) = (answer.status().is_success(), answer.json::<Value>().await.expect("JSON"));
        let value = body["value"].take();
        if ok { Ok(value) } else { Err(value) }
    }

    async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        self.call(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Opens a page and waits until it has loaded.
    pub async fn open(&self, url: &str) {
        self.done("POST", "/url", json!({"url": url})).await;
    }

    /// Where the browser is.
    pub async fn url(&self) -> String {
        self.done("GET", "/url", Value::Null).await.as_str().expect("a URL").to_owned()
    }

    async fn find(&self, id: &str) -> Option<String> {
        let by = json!({"using": "css selector", "value": format!("#{id}")});
        let found = self.call("POST", "/element", by).await.ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    /// The element of this id, once it is there.
    async fn element(&self, id: &str) -> String {
        self.until(&format!("#{id}"), async || self.find(id).await).await
    }

    /// Waits until something is so; for at most ten seconds.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, so: impl Fn() -> F) -> T {
        let begun = Instant::now();
        loop {
            if let Some(value) = so().await {
                return value;
            }
            if begun.elapsed() > Duration::from_secs(10) {
                panic!("no {what} at {}: {:?}", self.url().await, self.log().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for an element.
    pub async fn wait_for(&self, id: &str) {
        self.element(id).await;
    }

    /// Clicks on an element.
    pub async fn click(&self, id: &str) {
        let element = self.element(id).await;
        self.done("POST", &format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into a field, after what it holds.
    pub async fn fill(&self, id: &str, text: &str) {
        let element = self.element(id).await;
        self.done("POST", &format!("/element/{element}/value"), json!({"text": text})).await;
    }

    /// The text of an element, as a person sees it.
    pub async fn text(&self, id: &str) -> String {
        let element = self.element(id).await;
        let text = self.done("GET", &format!("/element/{element}/text"), Value::Null).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|stroke| json!({"type": stroke, "value": key.to_string()}))
        });
        let keyboard = json!([{"type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>()}]);
        self.done("POST", "/actions", json!({"actions": keyboard})).await;
    }

    /// Runs a script in the page, as the page's debugger would.
    pub async fn script(&self, script: &str) -> Value {
        self.done("POST", "/execute/sync", json!({"script": script, "args": []})).await
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.done("POST", "/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// The text of an open alert.
    pub async fn alert(&self) -> Option<String> {
        self.call("GET", "/alert/text", Value::Null).await.ok()?.as_str().map(str::to_owned)
    }

    /// What the console said since the last time.
    pub async fn log(&self) -> Vec<String> {
        let entries = self.done("POST", "/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }

    /// A window as large, in light or dark colours.
    pub async fn look(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// The page as a PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let shot = self.done("GET", "/screenshot", Value::Null).await;
        let text = shot.as_str().expect("base64").trim_end_matches('=').replace('+', "-").replace('/', "_");
        chancery::crypto::base64url::decode(&text).expect("base64")
    }
}

impl Drop for Chromium {
    /// Ends the browser, also when a test has failed: chromedriver does it when its session is deleted.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let request = format!(
                "DELETE /session/{} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
                self.session
            );
            let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read(&mut [0; 512]));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
