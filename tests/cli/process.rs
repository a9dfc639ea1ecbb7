//! The real binary, in a folder of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Nothing here takes longer, on the slowest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A data folder, and commands that work on it.
pub struct Place {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data").display().to_string();
        let variables = [
            ("CHANCERY_STORE_DATA_DIR", data.as_str()),
            // Port 0, so that no two tests meet; then the issuer cannot be derived.
            ("CHANCERY_SERVER_LISTEN", "127.0.0.1:0"),
            ("CHANCERY_SERVER_OPS_LISTEN", "127.0.0.1:0"),
            ("CHANCERY_SERVER_ISSUER", "http://127.0.0.1:8080"),
            // RSA keys take long without optimization.
            ("CHANCERY_KEYS_ALGORITHMS", "ES256,EdDSA"),
            ("CHANCERY_SERVER_WORKERS", "2"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { folder, variables }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("TMPDIR", self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.run_with_input(arguments, "")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self.command(arguments).spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that reads nothing has closed its end.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the command ends");
        Said {
            code: output.status.code().expect("it was not killed"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Runs a command that must succeed, with `--json`.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).with_code(0).json()
    }

    /// Starts `serve`, and waits until it says that it is ready.
    pub fn serve(&self) -> Server {
        self.wait_for(self.command(&["serve"]).spawn().expect("the binary runs"))
    }

    /// Waits until a started server says that it is ready.
    pub fn wait_for(&self, child: Child) -> Server {
        let mut server = Server {
            child,
            listen: String::new(),
            operations: String::new(),
            log: String::new(),
            rest: None,
        };
        let mut log = BufReader::new(server.child.stderr.take().expect("a pipe"));
        loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("UTF-8") > 0, "serve ended: {}", server.log);
            server.log.push_str(&line);
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if entry["message"] == "ready" {
                let address = |name: &str| entry[name].as_str().expect("an address").to_owned();
                (server.listen, server.operations) = (address("listen"), address("operations"));
                // Read on, so that the server never waits for a full pipe.
                server.rest = Some(std::thread::spawn(move || {
                    let mut rest = String::new();
                    log.read_to_string(&mut rest).expect("UTF-8");
                    rest
                }));
                return server;
            }
        }
    }
}

/// A running server.
pub struct Server {
    pub child: Child,
    pub listen: String,
    pub operations: String,
    /// What it logged until it was ready.
    pub log: String,
    rest: Option<JoinHandle<String>>,
}

impl Server {
    /// Sends SIGTERM, and gives the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        terminate(&self.child);
        self.child.wait().expect("it ends").code()
    }

    /// Ends it, and gives what it logged after it was ready.
    pub fn logged(mut self) -> String {
        let rest = self.rest.take().expect("it was ready");
        assert_eq!(self.terminate(), Some(0));
        rest.join().expect("the log is UTF-8")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a test that failed half-way; otherwise it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends SIGTERM.
pub fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
}

/// The first line that a process prints.
pub fn first_line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("UTF-8");
    line
}

/// One HTTP exchange: status and body.
pub fn http(address: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let length = body.len();
    write!(
        stream,
        "{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

/// POSTs a form with the client's secret in it.
pub fn post(address: &str, path: &str, form: &str) -> (u16, String) {
    let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded");
    http(address, &head, form)
}

/// Asks again and again until it is so.
#[track_caller]
pub fn eventually(within: Duration, what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
