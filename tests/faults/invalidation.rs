//! A row that changes while others read it slowly: what was read before is not remembered after (F20).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    faults::{
        cluster::Behind,
        driver::{Credentials, Driver},
        history::{Call, calls},
        rounds,
        site::DEADLINE,
    },
    servers,
};

const STALENESS: Duration = Duration::from_secs(2);

/// F20: R41
#[tokio::test]
async fn a_disabled_client_stays_disabled_though_a_node_reads_late() {
    // Rows are dropped from the caches all the time, so that there are always late readers.
    let Behind { site, proxies, .. } = Behind::two_proxies(&[("CACHE_DEFAULT_TTL", "1s")]).await;
    let create = ["client", "create", "flicker", "--auth-method", "client_secret_post", "--json"];
    let made = site.nodes[0].run(&create).await.with_code(0).json();
    let secret = made["client_secret"].as_str().expect("a secret").to_owned();
    let credentials =
        Credentials { client_id: "flicker".into(), client_secret: secret, ..Credentials::default() };
    let driver = Driver::new(site.driver.nodes.clone(), credentials);
    proxies[0].delay(Duration::from_millis(150));

    let stopped = Arc::new(AtomicBool::new(false));
    let asking = (0..4).map(|number| tokio::spawn(ask(driver.clone(), number % 2, Arc::clone(&stopped))));
    let asking: Vec<_> = asking.collect();
    let mut disabled = Vec::new();
    for _ in 0..rounds(2, 20) {
        for node in 0..2 {
            given_a_token(&driver, node).await;
        }
        site.nodes[1].run(&["client", "disable", "flicker"]).await.with_code(0);
        let from = driver.recorder.now() + STALENESS;
        servers::until("a while to pass", async || {
            driver.recorder.now() > from + Duration::from_millis(1500)
        })
        .await;
        disabled.push(from..driver.recorder.now());
        site.nodes[1].run(&["client", "enable", "flicker"]).await.with_code(0);
    }
    stopped.store(true, Ordering::Relaxed);
    for asks in asking {
        tokio::time::timeout(DEADLINE, asks).await.expect("it ends").expect("it does not panic");
    }
    let events = driver.recorder.events();
    // Who was answered after the end may have been judged after it.
    let is_within = |call: &&Call<'_>| {
        disabled.iter().any(|span| span.contains(&call.begun) && span.contains(&call.ended))
    };
    let calls = calls(&events);
    let wrong: Vec<_> = calls.iter().filter(is_within).filter(|call| call.is_ok()).collect();
    assert!(wrong.is_empty(), "a disabled client got {} tokens, the first: {:?}", wrong.len(), wrong[0]);
    let asked = calls.iter().filter(is_within).count();
    assert!(asked > 50, "somebody asked: {asked}");
}

/// Waits until a node gives the client a token; if it never does, says what it answered at last.
async fn given_a_token(driver: &Driver, node: usize) {
    let begun = Instant::now();
    while driver.issue(node).await.is_none() {
        if begun.elapsed() > DEADLINE {
            let events = driver.recorder.events();
            panic!("node {node} gives no token: {:?}", &events[events.len().saturating_sub(12)..]);
        }
    }
}

async fn ask(driver: Driver, node: usize, stopped: Arc<AtomicBool>) {
    while !stopped.load(Ordering::Relaxed) {
        driver.issue(node).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
