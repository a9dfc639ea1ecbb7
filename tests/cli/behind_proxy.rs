//! Two nodes on one Postgres behind HAProxy, as `deploy/haproxy.cfg` has it: round robin, no stickiness.

use std::{net::TcpListener, path::PathBuf};

use crate::{
    cli::process::{Place, Server},
    servers::{Database, Leash, Postgres, Start, free_port, until},
};

pub const PASSWORD: &str = "four wooden clocks tick";

const MASTER: &str = "bWFzdGVyIGtleSBvZiB0aGVzZSB0ZXN0cywgMzIgYnk=";

/// What browsers see as one server. Alice can sign in.
pub struct Site {
    /// The issuer: the proxy's address.
    pub url: String,
    /// A machine that commands run on.
    pub machine: Place,
    /// `one` and `two`, as the proxy calls them.
    pub nodes: [Option<Server>; 2],
    pub database: Database,
    _proxy: Leash,
}

impl Site {
    pub async fn start() -> Self {
        let database = Postgres::shared().await.database().await;
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let machines = [machine(&database, &url), machine(&database, &url)];
        let nodes = machines.each_ref().map(Place::serve);
        machines[0].run_with_input(&["user", "create", "alice"], PASSWORD).with_code(0);
        let proxy = proxy(port, nodes.each_ref().map(|node| node.listen.as_str()), &machines[0]);
        until("the proxy to listen", async || TcpListener::bind(("127.0.0.1", port)).is_err()).await;
        let [machine, _] = machines;
        Self { url, machine, nodes: nodes.map(Some), database, _proxy: proxy }
    }

    /// Another machine for a node of this site.
    pub fn another_machine(&self) -> Place {
        machine(&self.database, &self.url)
    }

    /// A public client of this redirect URI.
    pub fn client(&self, redirect_uri: &str) {
        let create = ["client", "create", "app", "--name", "Notes", "--auth-method", "none"];
        let uris = ["--redirect-uri", redirect_uri, "--post-logout-redirect-uri", redirect_uri];
        let rest = ["--scope", "openid profile offline_access"];
        self.machine.run(&[&create[..], &uris, &rest].concat()).with_code(0);
    }
}

fn machine(database: &Database, issuer: &str) -> Place {
    Place::new()
        .with("DATABASE_URL", database.url())
        .with("CHANCERY_KEYS_MASTER", MASTER)
        .with("CHANCERY_SERVER_ISSUER", issuer)
}

/// HAProxy with the configuration that is shipped, listening and asking elsewhere, and telling in each
/// answer which node gave it.
pub fn proxy(port: u16, nodes: [&str; 2], place: &Place) -> Leash {
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy.cfg");
    let mut ours = std::fs::read_to_string(shipped).expect("it is shipped");
    let listen = format!("bind 127.0.0.1:{port}");
    let tell = "default_backend nodes\n    http-response set-header x-node %s\n";
    for (shipped, here) in [
        ("bind :8080", &*listen),
        ("chancery-1:8080", nodes[0]),
        ("chancery-2:8080", nodes[1]),
        ("default_backend nodes\n", tell),
    ] {
        assert_eq!(ours.matches(shipped).count(), 1, "{shipped}");
        ours = ours.replace(shipped, here);
    }
    let file = place.path("haproxy.cfg");
    std::fs::write(&file, ours).expect("a file");
    let program = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("haproxy"))
        .find(|file| file.exists())
        .expect("Missing: haproxy. Install it; ./scripts/test tries to.");
    Leash::start(&Start {
        program: &program,
        arguments: &["-db".to_owned(), "-f".to_owned(), file.display().to_string()],
        folder: &place.path(""),
        account: None,
        signal: "KILL",
        remove: false,
    })
}
