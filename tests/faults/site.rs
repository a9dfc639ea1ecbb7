//! One or two real nodes over one store, with a client, a person who is signed in, and a load.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Child,
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use crate::{
    cli::process::{Place, Said, Server},
    faults::{
        driver::{Address, Credentials, Driver, REDIRECT},
        history::{Answer, Op, What},
    },
};

const PASSWORD: &str = "correct horse battery staple\n";
/// 32 bytes in base64: nodes over one store share their master key.
const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Nothing takes longer, on the slowest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A node that can be killed and started again.
pub struct Node {
    place: Arc<Place>,
    address: Address,
    server: Mutex<Option<Server>>,
}

impl Node {
    pub fn prepare(variables: &[(&str, &str)]) -> Self {
        let mut place = Place::new()
            .with("CHANCERY_KEYS_MASTER", MASTER)
            .with("CHANCERY_KEYS_ALGORITHMS", "EdDSA")
            // What each refusal was about would fill the pipe and the memory.
            .with("CHANCERY_LOG_LEVEL", "info,chancery::http=error");
        for (name, value) in variables {
            place = place.with(name, value);
            if *name == "DATABASE_URL" {
                // A loaded machine may take longer than 1 s to let a client in.
                place = place.with("CONNECTION_TIMEOUT", "3s");
            }
        }
        let (address, server) = (Address::default(), Mutex::default());
        Self { place: Arc::new(place), address, server }
    }

    /// Starts it, and waits until it is ready.
    pub async fn start(&self) {
        let server = self.blocking(Place::serve).await;
        self.address.write().expect("no reader panicked").clone_from(&server.listen);
        *self.server.lock().expect("nobody panicked") = Some(server);
    }

    pub fn address(&self) -> Address {
        Arc::clone(&self.address)
    }

    /// Starts a command and does not wait for its end.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.place.command(arguments).spawn().expect("the binary runs")
    }

    /// SIGKILL: no handler runs, no buffer is flushed.
    pub async fn kill(&self) {
        let server = self.server.lock().expect("nobody panicked").take();
        self.blocking(move |_| drop(server)).await;
    }

    /// Runs a command beside the server.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with_input(arguments, "").await
    }

    pub async fn run_with_input(&self, arguments: &[&str], input: &'static str) -> Said {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.blocking(move |place| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            place.run_with_input(&arguments, input)
        })
        .await
    }

    /// Waiting for a process must not hold up the load, which lives on this thread.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Place) -> T + Send + 'static) -> T {
        let place = Arc::clone(&self.place);
        match tokio::task::spawn_blocking(move || work(&place)).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }
}

/// Nodes and what they serve.
pub struct Site {
    pub nodes: Vec<Arc<Node>>,
    pub driver: Driver,
}

impl Site {
    /// One node on an embedded store of its own.
    pub async fn embedded(variables: &[(&str, &str)]) -> Self {
        Self::open(vec![Node::prepare(variables)]).await
    }

    /// Nodes that are not started yet, on an empty store.
    pub async fn open(nodes: Vec<Node>) -> Self {
        Self::open_with(nodes, &[]).await
    }

    /// The same, with more arguments for the making of the client.
    pub async fn open_with(nodes: Vec<Node>, more: &[&str]) -> Self {
        let create = [
            "client",
            "create",
            "load",
            "--auth-method",
            "client_secret_post",
            "--redirect-uri",
            REDIRECT,
            "--grant",
            "client_credentials",
            "--grant",
            "authorization_code",
            "--grant",
            "refresh_token",
            "--scope",
            "openid offline_access read",
            "--skip-consent",
            "--id-token-alg",
            "EdDSA",
            "--introspect-any",
        ];
        for node in &nodes {
            node.start().await;
        }
        let first = &nodes[0];
        let made = first.run(&[&create, more, &["--json"]].concat()).await.with_code(0).json();
        let client_secret = made["client_secret"].as_str().expect("a secret").to_owned();
        first.run_with_input(&["user", "create", "alice"], PASSWORD).await.with_code(0);
        let addresses: Vec<Address> = nodes.iter().map(|node| Arc::clone(&node.address)).collect();
        let cookies = sign_in(&addresses[0]).await;
        let credentials = Credentials { client_id: "load".into(), client_secret, cookies };
        let nodes = nodes.into_iter().map(Arc::new).collect();
        Self { nodes, driver: Driver::new(addresses, credentials) }
    }

    /// Waits until a node is ready, and tells how long that took.
    #[track_caller]
    pub fn until_ready(&self, node: usize, ready: bool, within: Duration) -> impl Future<Output = Duration> {
        let (caller, driver) = (std::panic::Location::caller(), self.driver.clone());
        async move {
            let (begun, within) = (Instant::now(), crate::within(within));
            while driver.is_ready(node).await != ready {
                let waited = begun.elapsed();
                assert!(waited < within, "{caller}: node {node} is not ready = {ready} after {waited:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            begun.elapsed()
        }
    }

    /// Makes a user beside the servers, as an acknowledged write.
    pub async fn write_user(&self, name: &str) {
        let name = name.to_owned();
        let call = self.driver.recorder.invoke(0, Op::Write { name: name.clone() });
        let said = self.nodes[0].run(&["user", "create", &name, "--no-password"]).await;
        let what = match said.code {
            0 => What::Ok(Answer::Done),
            _ => What::Info(said.err),
        };
        self.driver.recorder.end(call, what);
    }

    /// Whether these users are there.
    pub async fn read_users<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let listed = self.nodes[0].run(&["user", "list", "--json"]).await.with_code(0).json();
        let there = |name: &str| {
            let users = listed.as_array().into_iter().flatten();
            users.clone().any(|user| user["username"] == name)
        };
        for name in names {
            let call = self.driver.recorder.invoke(0, Op::Read { name: name.to_owned() });
            self.driver.recorder.end(call, What::Ok(Answer::Is(there(name))));
        }
    }
}

/// Signs alice in, and gives the `Cookie` header for it.
async fn sign_in(address: &RwLock<String>) -> String {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.build().expect("a client");
    let url = format!("http://{}/login", address.read().expect("no writer panicked"));
    let mut cookies = BTreeMap::new();
    let take = |cookies: &mut BTreeMap<String, String>, answer: &reqwest::Response| {
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().expect("ASCII").split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("name=value");
            cookies.insert(name.to_owned(), value.to_owned());
        }
    };
    let header = |cookies: &BTreeMap<String, String>| {
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    };
    let page = http.get(&url).send().await.expect("the sign-in page");
    take(&mut cookies, &page);
    let page = page.text().await.expect("a page");
    let field = |name: &str| {
        let after = page.split(&format!("name=\"{name}\" value=\"")).nth(1);
        after.unwrap_or_else(|| panic!("no field {name} in {page}")).split('"').next().unwrap_or_default()
    };
    let form = [("csrf", field("csrf")), ("username", "alice"), ("password", PASSWORD.trim())];
    let request = http.post(&url).header("cookie", header(&cookies)).form(&form);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 303, "alice signs in");
    take(&mut cookies, &answer);
    header(&cookies)
}
