//! The server under test, and the identities that are used on it.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{args::TargetArgs, failure::Failure, wire::request::basic};

/// A demo needs less, to begin.
const DEMO_BEGINS: Duration = Duration::from_secs(20);
/// A shell needs less, to make a file.
const FILE_APPEARS: Duration = Duration::from_secs(1);

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// The authority of its URL.
    pub host: String,
    /// The service client's `Authorization` header.
    pub service: String,
    /// The web client.
    pub web: WebClient,
    /// The person, and her password.
    pub person: (String, String),
    /// The server's process.
    pub pid: Option<u32>,
}

/// The client of the code flow.
#[derive(Clone, Debug)]
pub struct WebClient {
    /// Its identifier.
    pub id: String,
    /// Its `Authorization` header.
    pub authorization: String,
    /// Where its codes go.
    pub redirect_uri: String,
    /// What it asks for.
    pub scope: String,
}

impl Target {
    /// From the command line.
    pub fn of(args: &TargetArgs) -> Result<Self, Failure> {
        let mut args = args.clone();
        if let Some(name) = &args.password_env {
            let said = std::env::var(name);
            args.password =
                said.map_err(|error| Failure::Usage(format!("--password-env {name}: {error}; set it")))?;
        }
        if let Some(path) = args.demo.clone() {
            let text = read_demo(&path).map_err(|error| Failure::io("read --demo", error))?;
            take_demo(&mut args, &text).ok_or_else(|| {
                let path = path.display();
                Failure::Usage(format!(
                    "--demo {path} is not what `chancery demo --json` prints; write its output there"
                ))
            })?;
        }
        let (address, host) = locate(&args.url)?;
        if !address.ip().is_loopback() && !args.i_own_this_server {
            return Err(Failure::Usage(format!(
                "{} is not on this machine; load on a server of somebody else is an attack: add \
                 --i-own-this-server if it is yours",
                args.url
            )));
        }
        let (service, service_secret) = credentials("--client", &args.client)?;
        let (web, web_secret) = credentials("--web-client", &args.web_client)?;
        Ok(Self {
            address,
            host,
            service: basic(service, service_secret),
            web: WebClient {
                id: web.into(),
                authorization: basic(web, web_secret),
                redirect_uri: args.redirect_uri,
                scope: args.user_scope,
            },
            person: (args.user, args.password),
            pid: args.pid,
        })
    }
}

/// A demo that was started a moment ago has not said anything yet, and perhaps not even has its file.
fn read_demo(path: &Path) -> std::io::Result<String> {
    let begin = Instant::now();
    loop {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && begin.elapsed() < FILE_APPEARS => {
                String::new()
            }
            other => other?,
        };
        if text.ends_with('\n') {
            return Ok(text);
        }
        if begin.elapsed() > DEMO_BEGINS {
            return Err(std::io::Error::other("it has no whole line; does the demo run?"));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Puts the demo's facts where the options are.
fn take_demo(args: &mut TargetArgs, text: &str) -> Option<()> {
    let facts: Value = serde_json::from_str(text).ok()?;
    let text = |pointer: &str| facts.pointer(pointer)?.as_str().map(str::to_owned);
    let client = |name: &str| {
        let part = |part: &str| text(&format!("/clients/{name}/{part}"));
        Some(format!("{}:{}", part("client_id")?, part("client_secret")?))
    };
    args.url = text("/issuer")?;
    args.client = client("service")?;
    args.web_client = client("web")?;
    args.redirect_uri = text("/clients/web/redirect_uri")?;
    args.user = text("/user/username")?;
    args.password = text("/user/password")?;
    Some(())
}

fn credentials<'t>(option: &str, text: &'t str) -> Result<(&'t str, &'t str), Failure> {
    text.split_once(':')
        .ok_or_else(|| Failure::Usage(format!("{option} {text} is not of the form ID:SECRET")))
}

fn locate(url: &str) -> Result<(SocketAddr, String), Failure> {
    let usage = |why: &str| Failure::Usage(format!("--url {url} {why}"));
    if url.starts_with("https://") {
        return Err(usage(
            "is HTTPS, which this tool does not speak; point it at the server behind the proxy",
        ));
    }
    let rest = url.strip_prefix("http://").ok_or_else(|| usage("does not begin with http://"))?;
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err(usage("is not of the form http://HOST:PORT"));
    }
    let port = |host: &str| host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let full = if port(host) { host.to_owned() } else { format!("{host}:80") };
    let found = full.to_socket_addrs().ok().and_then(|mut all| all.next());
    Ok((found.ok_or_else(|| usage("leads nowhere; is its host right?"))?, host.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn target(options: &[&str]) -> Result<Target, Failure> {
        let command_line = [&["security_load_test", "token"], options].concat();
        match Cli::try_parse_from(command_line).expect("a command line").command {
            Command::Token(load) => Target::of(&load.target),
            _ => panic!("another command"),
        }
    }

    #[test]
    fn only_loopback_is_loaded_without_asking() {
        let refused = target(&["--url", "http://192.0.2.7:8080"]).expect_err("refused");
        assert!(refused.to_string().contains("--i-own-this-server") && refused.code() == 2);
        assert!(target(&["--url", "http://192.0.2.7:8080", "--i-own-this-server"]).is_ok());
        for own in
            ["http://127.0.0.1:8080", "http://127.8.8.8:1/", "http://[::1]:8080", "http://localhost:80"]
        {
            assert!(target(&["--url", own]).is_ok(), "{own}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_with_the_reason() {
        for (url, part) in [
            ("https://127.0.0.1", "HTTPS"),
            ("127.0.0.1:8080", "http://"),
            ("http://127.0.0.1/x", "HOST:PORT"),
            ("http://", "HOST:PORT"),
            ("http://a@127.0.0.1", "HOST:PORT"),
        ] {
            let refused = target(&["--url", url]).expect_err(url).to_string();
            assert!(refused.contains(part), "{refused}");
        }
        assert!(target(&["--client", "nobody"]).expect_err("refused").to_string().contains("ID:SECRET"));
    }

    #[test]
    fn the_facts_of_a_demo_replace_the_options() {
        let facts = r#"{"issuer":"http://127.0.0.1:9","clients":{"service":{"client_id":"s","client_secret":"t"},
            "web":{"client_id":"w","client_secret":"v","redirect_uri":"http://r"}},
            "user":{"username":"u","password":"p"}}
"#;
        let path = std::env::temp_dir().join(format!("load-test-demo-{}", std::process::id()));
        fs::write(&path, facts).expect("written");
        let name = path.to_str().expect("UTF-8");
        let read = target(&["--demo", name]).expect("a target");
        assert_eq!((read.host.as_str(), read.address.port()), ("127.0.0.1:9", 9));
        assert_eq!((read.service, read.web.authorization), (basic("s", "t"), basic("w", "v")));
        assert_eq!((read.web.redirect_uri.as_str(), read.person), ("http://r", ("u".into(), "p".into())));
        fs::write(&path, "{}\n").expect("written");
        assert!(target(&["--demo", name]).expect_err("refused").to_string().contains("demo --json"));
        fs::remove_file(&path).expect("removed");
    }
}
