//! A real Prometheus and a real Alertmanager, each with a configuration made from what is shipped.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Leash, Start, free_port, program, wait_for};

/// A file of the repository.
pub fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A text in which each of these is replaced; all of them must be in it.
pub fn overlaid(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in what is shipped");
        text.replace(from, to)
    })
}

/// A running Prometheus.
pub struct Prometheus {
    pub url: String,
    http: reqwest::Client,
    _leash: Leash,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it with the shipped configuration, made quick: it scrapes these nodes as the job `chancery`,
    /// and itself, once a second, and evaluates these rules.
    pub async fn start(nodes: &[String], rules: &str, alertmanager: Option<u16>) -> Self {
        let folder = tempfile::Builder::new().prefix("chancery-prometheus-").tempdir().expect("a folder");
        std::fs::write(folder.path().join("alerts.yml"), rules).expect("our folder");
        let targets: Vec<String> = nodes.iter().map(|node| format!("{node:?}")).collect();
        // Nobody listens where there is no Alertmanager, and nothing comes of that.
        let manager = format!("127.0.0.1:{}", alertmanager.unwrap_or(9));
        let (port, leash) = start(("prometheus", "prometheus"), folder.path(), |port| {
            let itself = format!("127.0.0.1:{port}");
            let changes = [
                ("15s", "1s"),
                ("../alerts.yml", "alerts.yml"),
                ("\"chancery-1:9464\", \"chancery-2:9464\"", &targets.join(", ")),
                ("127.0.0.1:9090", &itself),
                ("alertmanager:9093", &manager),
            ];
            let file = folder.path().join("prometheus.yml");
            let text = overlaid(&shipped("deploy/prometheus.yml"), &changes);
            std::fs::write(&file, text).expect("our folder");
            vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", folder.path().join("data").display()),
                format!("--web.listen-address={itself}"),
                "--log.level=warn".to_owned(),
            ]
        });
        let url = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::new();
        ready(&http, &url).await;
        Self { url, http, _leash: leash, _folder: folder }
    }

    /// The answer of a part of its API, or what it says is wrong.
    pub async fn ask(&self, path: &str, arguments: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.http.get(format!("{}/api/v1/{path}", self.url)).query(arguments);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer.to_string()) }
    }

    /// The series of a query at a moment, with their values.
    pub async fn at(&self, query: &str, moment: f64) -> Vec<(Value, f64)> {
        let asked = self.ask("query", &[("query", query), ("time", &moment.to_string())]).await;
        let asked = asked.unwrap_or_else(|error| panic!("{query}: {error}"));
        let series = asked["result"].as_array().cloned().unwrap_or_default();
        series.into_iter().map(|mut one| (one["metric"].take(), number(&one["value"][1]))).collect()
    }

    /// The same over a time, second by second.
    pub async fn over(&self, query: &str, (from, to): (f64, f64)) -> Result<Vec<(Value, Vec<f64>)>, String> {
        let (from, to) = (from.to_string(), to.to_string());
        let arguments = [("query", query), ("start", &*from), ("end", &*to), ("step", "1")];
        let asked = self.ask("query_range", &arguments).await?;
        let series = asked["result"].as_array().cloned().unwrap_or_default();
        let values = |one: &Value| -> Vec<f64> {
            one["values"].as_array().into_iter().flatten().map(|point| number(&point[1])).collect()
        };
        Ok(series.into_iter().map(|one| (one["metric"].clone(), values(&one))).collect())
    }
}

/// What Prometheus writes as text, `NaN` and `+Inf` among it.
fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// A running Alertmanager.
pub struct Alertmanager {
    pub port: u16,
    http: reqwest::Client,
    _leash: Leash,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts it with the shipped configuration, made quick, which tells a local webhook.
    pub async fn start(webhook: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("chancery-alertmanager-").tempdir().expect("a folder");
        let told = format!("127.0.0.1:{webhook}");
        let changes = [
            ("group_wait: 30s", "group_wait: 1s"),
            ("group_wait: 10s", "group_wait: 1s"),
            ("group_interval: 5m", "group_interval: 1s"),
            ("127.0.0.1:9099", &*told),
        ];
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(&file, overlaid(&shipped("deploy/alertmanager.yml"), &changes)).expect("our folder");
        let (port, leash) =
            start(("prometheus-alertmanager", "prometheus-alertmanager"), folder.path(), |port| {
                vec![
                    format!("--config.file={}", file.display()),
                    format!("--storage.path={}", folder.path().join("data").display()),
                    format!("--web.listen-address=127.0.0.1:{port}"),
                    // One alone: it talks to no other.
                    "--cluster.listen-address=".to_owned(),
                    "--log.level=warn".to_owned(),
                ]
            });
        let http = reqwest::Client::new();
        ready(&http, &format!("http://127.0.0.1:{port}")).await;
        Self { port, http, _leash: leash, _folder: folder }
    }

    /// Whether it holds an alert back because of another one.
    pub async fn inhibits(&self, alert: &str) -> bool {
        let url = format!("http://127.0.0.1:{}/api/v2/alerts", self.port);
        let Ok(answer) = self.http.get(url).send().await else { return false };
        let alerts: Value = answer.json().await.unwrap_or_default();
        let mut of_it =
            alerts.as_array().into_iter().flatten().filter(|one| one["labels"]["alertname"] == alert);
        of_it.any(|one| one["status"]["inhibitedBy"].as_array().is_some_and(|by| !by.is_empty()))
    }
}

/// Starts a program on a free port; on another one if somebody was faster.
fn start(
    (name, package): (&str, &str),
    folder: &Path,
    arguments: impl Fn(u16) -> Vec<String>,
) -> (u16, Leash) {
    let program: PathBuf = program(name, &["/usr/bin".into()], package);
    for _ in 0..10 {
        let port = free_port();
        let mut leash = Leash::start(&Start {
            program: &program,
            arguments: &arguments(port),
            folder,
            account: None,
            signal: "KILL",
            remove: false,
        });
        let failed = |log: &str| log.contains("level=error");
        wait_for(name, || super::listens(port) || failed(&leash.log()));
        if !failed(&leash.log()) {
            return (port, leash);
        }
        assert!(leash.log().contains("address already in use"), "{name} does not start:\n{}", leash.log());
        leash.end();
        let _ = std::fs::remove_file(folder.join("server.log"));
    }
    panic!("no free port for {name}");
}

async fn ready(http: &reqwest::Client, url: &str) {
    super::until("a server to be ready", async || {
        let answer = http.get(format!("{url}/-/ready")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}
