//! `deploy/`: what is shipped there is understood by those who are to read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use chancery::config::{Config, Location};
use yaml_rust2::{Yaml, YamlLoader};

use crate::{
    cli::{behind_proxy::proxy, process::Place},
    servers::{free_port, until},
};

pub fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

pub fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).expect("it is shipped")
}

fn compose() -> Yaml {
    let mut documents = YamlLoader::load_from_str(&text("compose.yml")).expect("it is YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// Names and values of a mapping; the names of a sequence.
fn entries(of: &Yaml) -> Vec<(String, Yaml)> {
    let name = |yaml: &Yaml| yaml.as_str().expect("a name").to_owned();
    match of {
        Yaml::Hash(hash) => hash.iter().map(|(key, value)| (name(key), value.clone())).collect(),
        Yaml::Array(array) => array.iter().map(|key| (name(key), Yaml::Null)).collect(),
        _ => Vec::new(),
    }
}

fn names(of: &Yaml) -> BTreeSet<String> {
    entries(of).into_iter().map(|(name, _)| name).collect()
}

/// `${NAME:-default}` is its default.
fn plain(value: &str) -> String {
    match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(variable) => variable.split_once(":-").expect("a variable has a default").1.to_owned(),
        None => value.to_owned(),
    }
}

/// Makes the secrets in a copy of the folder.
fn made_secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("make-secrets");
    std::fs::copy(deploy("make-secrets"), &script).expect("a copy");
    let run = || Command::new("sh").arg(&script).output().expect("a shell");
    let made = run();
    assert!(made.status.success(), "{made:?}");
    let again = run();
    assert!(!again.status.success(), "nothing is overwritten: {again:?}");
    folder
}

fn is_node(service: &Yaml) -> bool {
    service["image"].as_str() == Some("chancery")
}

#[test]
fn compose_configures_its_nodes_as_the_server_understands_it() {
    let secrets = made_secrets();
    let file = secrets.path().join("secrets/chancery.toml");
    let toml = std::fs::read_to_string(&file).expect("it was made");
    let compose = compose();
    let nodes: Vec<_> =
        entries(&compose["services"]).into_iter().filter(|(_, service)| is_node(service)).collect();
    assert_eq!(nodes.len(), 2);
    for (name, node) in nodes {
        let environment: BTreeMap<String, String> = entries(&node["environment"])
            .into_iter()
            .map(|(name, value)| (name, plain(value.as_str().expect("a text"))))
            .collect();
        let config = Config::load(Some((&file, &toml)), &environment);
        let config = config.unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        assert!(matches!(config.store.location(), Location::Postgres(_)), "{name}");
        assert!(config.redis.url.is_some(), "{name}");
        assert_eq!(config.master_keys().expect("good keys").map(|keys| keys.len()), Some(1), "{name}");
        for variable in environment.keys() {
            assert!(variable.starts_with("CHANCERY_"), "{name}: {variable}");
        }
        // The proxy is given the port that the node listens on.
        let port = config.server.listen.port();
        assert!(text("haproxy.cfg").contains(&format!("{name}:{port}")), "{name}");
        let grace = node["stop_grace_period"].as_str().expect("a time").trim_end_matches('s');
        let grace: u64 = grace.parse().expect("seconds");
        assert!(grace > config.server.shutdown_timeout.as_secs(), "{name} would be killed while it drains");
        for command in [&node["command"], &node["healthcheck"]["test"]] {
            let words: Vec<_> = command.as_vec().expect("a list").iter().filter_map(Yaml::as_str).collect();
            assert!(words.ends_with(&["--config", "/run/secrets/chancery.toml"]), "{name}: {words:?}");
            assert!(words.iter().any(|word| ["serve", "healthcheck"].contains(word)), "{name}: {words:?}");
        }
    }
}

#[test]
fn what_compose_refers_to_is_there() {
    let compose = compose();
    let (services, made) = (names(&compose["services"]), made_secrets());
    for (name, service) in entries(&compose["services"]) {
        assert!(names(&service["depends_on"]).is_subset(&services), "{name} depends on something else");
        assert!(names(&service["secrets"]).is_subset(&names(&compose["secrets"])), "{name}");
        assert!(names(&service["networks"]).is_subset(&names(&compose["networks"])), "{name}");
        for (dependency, how) in entries(&service["depends_on"]) {
            let healthy = how["condition"].as_str() == Some("service_healthy");
            let checked = !compose["services"][dependency.as_str()]["healthcheck"].is_badvalue();
            assert!(!healthy || checked, "{name} waits for {dependency}, which nobody checks");
        }
        for volume in names(&service["volumes"]) {
            let source = volume.split(':').next().expect("a first part");
            let known = if source.starts_with('.') {
                deploy(source).exists()
            } else {
                names(&compose["volumes"]).contains(source)
            };
            assert!(known, "{name}: {volume}");
        }
    }
    for (name, secret) in entries(&compose["secrets"]) {
        let file = secret["file"].as_str().expect("a file");
        assert!(made.path().join(file).exists(), "{name}: make-secrets does not make {file}");
    }
}

/// Nobody else on the machine may read them; the containers' users may.
#[test]
fn secrets_are_random_and_kept_from_others() {
    use std::os::unix::fs::PermissionsExt;

    let (one, other) = (made_secrets(), made_secrets());
    let mode = |path: PathBuf| std::fs::metadata(path).expect("it was made").permissions().mode() & 0o777;
    assert_eq!(mode(one.path().join("secrets")), 0o700);
    for name in ["chancery.toml", "postgres_password", "redis.conf"] {
        let of = |folder: &Path| std::fs::read_to_string(folder.join("secrets").join(name)).expect("a file");
        assert_ne!(of(one.path()), of(other.path()), "{name}");
        assert_eq!(mode(one.path().join("secrets").join(name)), 0o644, "{name}");
    }
    let password = std::fs::read_to_string(one.path().join("secrets/postgres_password")).expect("a file");
    assert_eq!(password.len(), 48);
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

fn run(command: &mut Command) -> Output {
    command.output().expect("it runs")
}

#[test]
fn haproxy_understands_its_configuration() {
    if !is_installed("haproxy") {
        return;
    }
    let checked = run(Command::new("haproxy").arg("-c").arg("-f").arg(deploy("haproxy.cfg")));
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn haproxy_says_when_to_come_back_while_no_node_is_ready() {
    let (place, port) = (Place::new(), free_port());
    let nobody = format!("127.0.0.1:{}", free_port());
    let _proxy = proxy(port, [&nobody, &nobody], &place);
    until("the proxy to listen", async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 1"), "{answer}");
    assert!(head.contains("content-type: application/json") && !answer.contains("<html"), "{answer}");
    assert!(body.contains("\"error\":\"temporarily_unavailable\""), "{answer}");
}

#[test]
fn nginx_understands_its_configuration() {
    if !is_installed("nginx") || !is_installed("openssl") {
        return;
    }
    let place = Place::new();
    let (key, certificate) = (place.path("key.pem"), place.path("fullchain.pem"));
    let made = run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=id.example.org", "-days", "1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    assert!(made.status.success(), "{made:?}");
    let ours = text("nginx.conf")
        .replace("/etc/ssl/id.example.org/fullchain.pem", &certificate.display().to_string())
        .replace("/etc/ssl/id.example.org/key.pem", &key.display().to_string());
    let folder = place.path("").display().to_string();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths: String = paths.iter().map(|name| format!("{name}_temp_path {folder}/{name};\n")).collect();
    let whole = format!("pid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{paths}{ours}\n}}\n");
    let file = place.path("nginx.conf");
    std::fs::write(&file, whole).expect("a file");
    let checked = run(Command::new("nginx").arg("-t").arg("-q").arg("-c").arg(&file).arg("-p").arg(&folder));
    assert!(checked.status.success(), "{checked:?}");
}
