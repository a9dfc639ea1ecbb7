//! A child process that cannot outlive the tests: a small shell waits on a pipe that the test
//! process holds open, and ends the server when it closes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use super::Account;

/// $1: the signal that ends the server; $2: its log; $3: a folder to remove at the end, or nothing;
/// then the command. Each line on the standard input is a signal to pass on.
const KEEP: &str = r#"
last=$1; log=$2; folder=$3; shift 3
"$@" </dev/null >>"$log" 2>&1 &
server=$!
trap '' INT TERM HUP
while read -r signal; do kill -"$signal" "$server" 2>/dev/null; done
kill -CONT "$server" 2>/dev/null
kill -"$last" "$server" 2>/dev/null
wait "$server"
if [ -n "$folder" ]; then rm -rf "$folder"; fi
"#;

/// A server on its leash.
pub struct Leash {
    shell: Child,
    signals: Option<ChildStdin>,
    log: PathBuf,
}

/// How a server is started.
pub struct Start<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    pub folder: &'a Path,
    pub account: Option<Account>,
    /// What ends it at once.
    pub signal: &'a str,
    /// Whether the folder goes when the server goes.
    pub remove: bool,
}

impl Leash {
    pub fn start(start: &Start<'_>) -> Self {
        let log = start.folder.join("server.log");
        let mut command = Command::new("sh");
        command.arg("-c").arg(KEEP).arg("leash").arg(start.signal).arg(&log);
        command.arg(if start.remove { start.folder.as_os_str() } else { "".as_ref() });
        if let Some(Account { uid, gid }) = start.account {
            command.arg("setpriv").arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
            command.arg("--clear-groups");
        }
        command.arg(start.program).args(start.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.current_dir(start.folder);
        let mut shell = command.spawn().expect("a shell");
        let signals = shell.stdin.take();
        Self { shell, signals, log }
    }

    /// Sends a signal by its name: `STOP`, `CONT`, `HUP`, `TERM` …
    pub fn signal(&mut self, name: &str) {
        let pipe = self.signals.as_mut().expect("a server that runs");
        writeln!(pipe, "{name}").and_then(|()| pipe.flush()).expect("a shell that listens");
    }

    /// Ends the server and waits until it is gone.
    pub fn end(&mut self) {
        self.signals = None;
        let _ = self.shell.wait();
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.end();
    }
}
