//! A server that is just enough of an OAuth server for the tests, and that can be told to fail.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// What it does instead of answering.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    Status(u16),
    WrongAnswer,
    Cut,
    Garbage,
    /// It does not answer this one.
    Silence,
    /// It answers nobody for so long.
    Stall(Duration),
}

/// When: from the path and how many requests there were before.
pub type When = fn(&str, usize) -> Option<Trouble>;

#[derive(Default)]
struct State {
    requests: usize,
    made: usize,
    /// Challenges by code.
    codes: HashMap<String, String>,
    refresh: HashSet<String>,
    /// How long access tokens live, and when each was made.
    lifetime: Option<Duration>,
    issued: HashMap<String, Instant>,
    /// The challenge of each transaction.
    transactions: HashMap<String, String>,
}

pub struct StandIn {
    pub url: String,
}

struct Asked {
    line: String,
    path: String,
    params: HashMap<String, String>,
    headers: HashMap<String, String>,
}

impl StandIn {
    /// Serves until the test's process ends.
    pub fn start(when: When) -> Self {
        Self::serve(State::default(), when)
    }

    /// The same, with access tokens that expire.
    pub fn start_with_lifetime(lifetime: Duration) -> Self {
        Self::serve(State { lifetime: Some(lifetime), ..State::default() }, |_, _| None)
    }

    fn serve(state: State, when: When) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(state));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || serve(stream, &state, when));
            }
        });
        Self { url }
    }
}

/// One connection; it ends with the client's patience.
fn serve(mut stream: TcpStream, state: &Mutex<State>, when: When) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let asked = read(&mut reader)?;
        let mut state = state.lock().expect("no panic");
        state.requests += 1;
        let answer = match when(&asked.path, state.requests - 1) {
            Some(Trouble::Status(status)) => sized(&format!("{status} Trouble"), "", "{}"),
            Some(Trouble::WrongAnswer) => sized("200 OK", "", "{\"active\":false}"),
            Some(Trouble::Cut) => return None,
            Some(Trouble::Garbage) => "no HTTP at all\r\n\r\n".into(),
            Some(Trouble::Silence) => continue,
            Some(Trouble::Stall(length)) => {
                // With the lock: everybody waits.
                thread::sleep(length);
                state.answer(&asked)
            }
            None => state.answer(&asked),
        };
        drop(state);
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut params: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    params.extend(form_urlencoded::parse(&body).into_owned());
    Some(Asked { line: format!("{method} {path}"), path: path.into(), params, headers })
}

fn sized(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

impl Asked {
    fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl State {
    fn new_name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }

    fn answer(&mut self, asked: &Asked) -> String {
        let json = |body: &str| sized("200 OK", "content-type: application/json\r\n", body);
        match &*asked.line {
            "POST /oauth/token" => self.token(asked),
            "POST /oauth/introspect" if self.has_expired(asked.param("token")) => json("{\"active\":false}"),
            "POST /oauth/introspect" => json("{\"active\":true,\"scope\":\"read\"}"),
            "POST /oauth/introspect/batch" => json("{\"results\":[{\"active\":true},{\"active\":true}]}"),
            "GET /oauth/userinfo" if asked.header("authorization").starts_with("Bearer at-") => {
                json("{\"sub\":\"s\"}")
            }
            "GET /.well-known/openid-configuration" => json("{\"issuer\":\"i\"}"),
            "GET /.well-known/jwks.json" => {
                let chunks = "8\r\n{\"keys\":\r\n3\r\n[]}\r\n0\r\n\r\n";
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
            }
            "GET /oauth/authorize" => self.authorize(asked),
            "GET /login" | "GET /consent" => {
                let tx = asked.param("tx");
                let form = format!(r#"<input name="csrf" value="c&#x2f;1"><input name="tx" value="{tx}">"#);
                sized("200 OK", "set-cookie: browser=b; Path=/\r\n", &form)
            }
            "POST /login" => self.login(asked),
            "POST /consent" if asked.param("csrf") == "c/1" && asked.param("action") == "allow" => {
                let challenge = self.transactions.remove(asked.param("tx")).unwrap_or_default();
                self.redirect_with_code(challenge)
            }
            _ => sized("404 Not Found", "", ""),
        }
    }

    fn token(&mut self, asked: &Asked) -> String {
        // The secrets are those of the demo.
        if !asked.header("authorization").starts_with("Basic ZGVtby") {
            return sized("401 Unauthorized", "", "{\"error\":\"invalid_client\"}");
        }
        let granted = match asked.param("grant_type") {
            "client_credentials" => true,
            "refresh_token" => self.refresh.remove(asked.param("refresh_token")),
            "authorization_code" => {
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(asked.param("code_verifier")));
                self.codes.remove(asked.param("code")) == Some(challenge)
            }
            _ => false,
        };
        if !granted {
            return sized("400 Bad Request", "", "{\"error\":\"invalid_grant\"}");
        }
        let (access, refresh) = (self.new_name("at"), self.new_name("rt"));
        self.refresh.insert(refresh.clone());
        self.issued.insert(access.clone(), Instant::now());
        let lives =
            self.lifetime.map(|time| format!(r#","expires_in":{}"#, time.as_secs())).unwrap_or_default();
        sized("200 OK", "", &format!(r#"{{"access_token":"{access}","refresh_token":"{refresh}"{lives}}}"#))
    }

    fn has_expired(&self, token: &str) -> bool {
        let (issued, lifetime) = (self.issued.get(token), self.lifetime);
        issued.zip(lifetime).is_some_and(|(issued, lifetime)| issued.elapsed() >= lifetime)
    }

    fn authorize(&mut self, asked: &Asked) -> String {
        let challenge = asked.param("code_challenge").to_owned();
        if asked.header("cookie").contains("session=s") {
            return self.redirect_with_code(challenge);
        }
        let tx = self.new_name("tx");
        self.transactions.insert(tx.clone(), challenge);
        sized("303 See Other", &format!("location: /login?tx={tx}\r\n"), "")
    }

    fn login(&self, asked: &Asked) -> String {
        let from_page = asked.header("cookie").contains("browser=b") && asked.param("csrf") == "c/1";
        let known = asked.param("username") == "alice" && asked.param("password").starts_with("correct");
        if !from_page || !known {
            return sized("400 Bad Request", "", "no");
        }
        let tx = asked.param("tx");
        let location = if tx.is_empty() { "/account".into() } else { format!("/consent?tx={tx}") };
        let headers = format!("location: {location}\r\nset-cookie: session=s; Path=/; HttpOnly\r\n");
        sized("303 See Other", &headers, "")
    }

    fn redirect_with_code(&mut self, challenge: String) -> String {
        let code = self.new_name("code");
        self.codes.insert(code.clone(), challenge);
        sized("303 See Other", &format!("location: http://127.0.0.1:8081/callback?code={code}\r\n"), "")
    }
}
