//! A real Redis that keeps nothing on disk.

use std::path::Path;

use super::{Authority, Leash, free_port, leash::Start, listens, program, wait_for};

/// A running Redis, or one that was killed.
pub struct Redis {
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    tls: bool,
    leash: Option<Leash>,
}

impl Redis {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with arguments, as `--requirepass secret`.
    pub async fn start_with(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self::start_in(Self::folder_for_one(), settings, false)
    }

    /// One that speaks TLS only, with the certificate of an authority.
    pub async fn start_with_tls(authority: &Authority, settings: &[&str]) -> Self {
        let folder = Self::folder_for_one();
        authority.equip(folder.path());
        let mut all: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        for (name, file) in [("cert", "server.crt"), ("key", "server.key"), ("ca-cert", "server.crt")] {
            all.push(format!("--tls-{name}-file"));
            all.push(folder.path().join(file).display().to_string());
        }
        all.extend(["--tls-auth-clients".to_owned(), "no".to_owned()]);
        Self::start_in(folder, all, true)
    }

    fn folder_for_one() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("chancery-redis-").tempdir().expect("a folder")
    }

    fn start_in(folder: tempfile::TempDir, settings: Vec<String>, tls: bool) -> Self {
        let mut redis = Self { folder, port: 0, settings, tls, leash: None };
        redis.launch();
        redis
    }

    fn launch(&mut self) {
        for _ in 0..10 {
            if self.port == 0 {
                self.port = free_port();
            }
            let _ = std::fs::remove_file(self.folder.path().join("server.log"));
            let mut leash = self.run();
            wait_for("Redis to start", || {
                let log = leash.log();
                log.contains("Ready to accept connections") || log.contains("bind") || log.contains("FATAL")
            });
            if leash.log().contains("Ready to accept connections") && listens(self.port) {
                self.leash = Some(leash);
                return;
            }
            assert!(leash.log().contains("bind"), "Redis does not start:\n{}", leash.log());
            leash.end();
            self.port = 0;
        }
        panic!("no free port for Redis");
    }

    fn run(&self) -> Leash {
        let port = self.port.to_string();
        let socket = self.socket();
        let (plain, encrypted) = if self.tls { ("0", port.as_str()) } else { (port.as_str(), "0") };
        let always =
            ["--port", plain, "--tls-port", encrypted, "--bind", "127.0.0.1", "--unixsocket", &socket];
        let nothing_kept = ["--save", "", "--appendonly", "no", "--daemonize", "no"];
        let mut arguments: Vec<String> = always.into_iter().chain(nothing_kept).map(str::to_owned).collect();
        arguments.extend(self.settings.iter().cloned());
        Leash::start(&Start {
            program: &program("redis-server", &["/usr/bin".into()], "redis-server"),
            arguments: &arguments,
            folder: self.folder.path(),
            account: None,
            signal: "KILL",
            remove: false,
        })
    }

    fn socket(&self) -> String {
        self.folder.path().join("redis.sock").display().to_string()
    }

    pub fn url(&self) -> String {
        // The certificate names the host.
        let (scheme, host) = if self.tls { ("rediss", "localhost") } else { ("redis", "127.0.0.1") };
        format!("{scheme}://{host}:{}/", self.port)
    }

    /// The same over the Unix socket.
    pub fn socket_url(&self) -> String {
        format!("redis+unix://{}", self.socket())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it at once, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.leash = None;
    }

    /// Starts it again, empty, on the same port.
    pub async fn restart(&mut self) {
        self.leash = None;
        self.launch();
    }

    /// Sends a signal: `STOP` makes it hang, `CONT` go on.
    pub fn signal(&mut self, name: &str) {
        self.leash.as_mut().expect("a server that runs").signal(name);
    }

    pub fn log(&self) -> String {
        self.leash.as_ref().map(Leash::log).unwrap_or_default()
    }
}

/// A Sentinel that watches a server under the name `main`.
pub struct Sentinel {
    _leash: Leash,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Sentinel {
    pub fn of(redis: &Redis) -> Self {
        let folder = tempfile::Builder::new().prefix("chancery-sentinel-").tempdir().expect("a folder");
        let file = folder.path().join("sentinel.conf");
        let port = free_port();
        let watched = format!("sentinel monitor main 127.0.0.1 {} 1", redis.port);
        std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n{watched}\n")).expect("our folder");
        let leash = Leash::start(&Start {
            program: &program("redis-server", &["/usr/bin".into()], "redis-server"),
            arguments: &[file.display().to_string(), "--sentinel".to_owned()],
            folder: folder.path(),
            account: None,
            signal: "KILL",
            remove: false,
        });
        wait_for("the Sentinel to start", || listens(port));
        Self { _leash: leash, _folder: folder, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}
