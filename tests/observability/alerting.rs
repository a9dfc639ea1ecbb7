//! From a fault to whoever is told: rule, Alertmanager, webhook; and that it is over.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    cli::process::{Place, Server},
    servers::{Alertmanager, Prometheus, Redis, free_port, shipped, until},
};

/// The rules with every duration made short, and nothing else changed.
fn quick_rules() -> String {
    let is_duration = |text: &str| {
        let number = text.trim_end_matches(['s', 'm', 'h', 'd']);
        number.len() + 1 == text.len() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let quick = |line: &str| {
        if let Some((before, wait)) = line.split_once("for: ")
            && is_duration(wait)
        {
            return format!("{before}for: 2s");
        }
        let mut parts = line.split('[');
        let mut made = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            made += &match part.split_once(']') {
                Some((window, rest)) if is_duration(window) => format!("[10s]{rest}"),
                _ => format!("[{part}"),
            };
        }
        made.replace("offset 1h", "offset 10s")
    };
    shipped("alerts.yml").lines().map(|line| quick(line) + "\n").collect()
}

/// What came to the webhook: path, alert, `firing` or `resolved`.
type Told = Arc<Mutex<Vec<(String, String, String)>>>;

/// A webhook that writes down what it is told.
async fn webhook() -> (u16, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let told = Told::default();
    let writes = Arc::clone(&told);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = Arc::clone(&writes);
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                // Alertmanager keeps the connection; what it sent is over when it is a whole document.
                while let Ok(read @ 1..) = stream.read(&mut piece).await {
                    request.extend_from_slice(&piece[..read]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let Ok(notice) = serde_json::from_str::<Value>(body) else { continue };
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    for alert in notice["alerts"].as_array().into_iter().flatten() {
                        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                        let one =
                            (path.to_owned(), text(&alert["labels"]["alertname"]), text(&alert["status"]));
                        told.lock().expect("nobody panicked").push(one);
                    }
                    request.clear();
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
        }
    });
    (port, told)
}

fn was_told(told: &Told, path: &str, alert: &str, status: &str) -> bool {
    let told = told.lock().expect("nobody panicked");
    told.iter().any(|one| one.0 == path && one.1 == alert && one.2 == status)
}

async fn until_told(told: &Told, path: &str, alert: &str, status: &str) {
    until(&format!("{alert} {status} at {path}"), async || was_told(told, path, alert, status)).await;
}

/// Whether Prometheus holds that an alert fires.
async fn fires(prometheus: &Prometheus, alert: &str) -> bool {
    let alerts = prometheus.ask("alerts", &[]).await.expect("a list");
    let mut alerts = alerts["alerts"].as_array().into_iter().flatten();
    alerts.any(|one| one["labels"]["alertname"] == alert && one["state"] == "firing")
}

fn node(redis: &Redis) -> (Place, Server, String) {
    let operations = format!("127.0.0.1:{}", free_port());
    let place = Place::new().with("CHANCERY_SERVER_OPS_LISTEN", &operations).with("REDIS_URL", &redis.url());
    let server = place.serve();
    (place, server, operations)
}

#[tokio::test]
async fn a_fault_reaches_a_person_and_so_does_its_end_and_a_node_that_is_down_explains_the_rest() {
    let mut redis = Redis::start().await;
    let (place, server, one) = node(&redis);
    let (_other_place, _other, two) = node(&redis);
    let (port, told) = webhook().await;
    let alertmanager = Alertmanager::start(port).await;
    let prometheus = Prometheus::start(&[one, two], &quick_rules(), Some(alertmanager.port)).await;
    until("both nodes to be scraped", async || {
        let up = prometheus.at("sum(up{job=\"chancery\"})", crate::observability::live::now()).await;
        up.first().is_some_and(|(_, up)| *up == 2.0)
    })
    .await;
    // Killed: no farewell.
    drop(server);
    until_told(&told, "/page", "ChanceryDown", "firing").await;

    redis.signal("STOP");
    until("ChanceryRedisDown to fire", async || fires(&prometheus, "ChanceryRedisDown").await).await;
    until("it to be held back", async || alertmanager.inhibits("ChanceryRedisDown").await).await;
    // A few rounds of what would have told somebody.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!was_told(&told, "/ticket", "ChanceryRedisDown", "firing"), "{told:?}");

    let _server = place.serve();
    until_told(&told, "/page", "ChanceryDown", "resolved").await;
    until_told(&told, "/ticket", "ChanceryRedisDown", "firing").await;
    redis.signal("CONT");
    until_told(&told, "/ticket", "ChanceryRedisDown", "resolved").await;
}
