//! Signing keys that change under load (F11, F12).

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use crate::{
    faults::{
        check::{Promises, assert_holds},
        cluster::two_nodes_for,
        history::{Answer, What},
        load::Load,
        rounds,
        site::{DEADLINE, Node, Site},
    },
    servers::{self, Postgres},
};

/// The shortest that is allowed.
const SHORT: (&str, &str) = ("CHANCERY_KEYS_JWKS_MAX_AGE", "5s");
const JWT: [&str; 2] = ["--token-format", "jwt:EdDSA"];

/// F11: R50
#[tokio::test]
async fn keys_rotated_under_load_on_the_embedded_store_leave_no_token_unverified() {
    rotate_under_load(Site::open_with(vec![Node::prepare(&[SHORT])], &JWT).await).await;
}

/// F11: R50
#[tokio::test]
async fn keys_rotated_under_load_on_two_nodes_leave_no_token_unverified() {
    let database = Postgres::shared().await.database().await;
    rotate_under_load(two_nodes_for(database.url(), &[SHORT], &JWT).await).await;
}

async fn rotate_under_load(site: Site) {
    let load = Load::start(&site.driver, 4);
    let fetching = tokio::spawn(fetch_key_sets(site.driver.clone()));
    let mut kids = BTreeSet::new();
    for round in 0..rounds(1, 5) {
        load.until_answered(100, None, DEADLINE).await;
        let node = &site.nodes[round % site.nodes.len()];
        node.run(&["keys", "rotate", "EdDSA"]).await.with_code(0);
        let early = node.run(&["keys", "rotate", "EdDSA"]).await.with_code(1);
        assert!(early.err.contains("try again in"), "{early:?}");
        servers::until("the next key to be old enough", async || {
            node.run(&["keys", "rotate", "EdDSA"]).await.code == 0
        })
        .await;
        let from = site.driver.recorder.now();
        for node in 0..site.nodes.len() {
            load.until_answered(50, Some(node), DEADLINE).await;
        }
        kids = signing_since(&site, from);
    }
    assert!(!kids.is_empty(), "tokens were signed");
    load.stop().await.was_a_load(200);
    fetching.abort();
    let all = signing_since(&site, Duration::ZERO);
    assert!(all.len() > rounds(1, 5), "every key signed: {all:?}");
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}

/// Resource servers of all ages: somebody fetches at every moment.
async fn fetch_key_sets(driver: crate::faults::driver::Driver) {
    loop {
        for node in 0..driver.nodes.len() {
            driver.key_set(node).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn signing_since(site: &Site, from: Duration) -> BTreeSet<String> {
    let events = site.driver.recorder.events();
    let signed = events.into_iter().filter(|event| event.at >= from).filter_map(|event| match event.what {
        What::Ok(Answer::Tokens { signed, .. }) => Some(signed),
        _ => None,
    });
    signed.flatten().map(|token| token.kid).collect()
}

/// F12: R50
#[tokio::test]
async fn two_nodes_that_rotate_at_once_end_with_one_active_key_and_publish_the_same() {
    let database = Postgres::shared().await.database().await;
    let site = two_nodes_for(database.url(), &[SHORT], &[]).await;
    for _ in 0..rounds(1, 10) {
        let (one, two) = rotate_at_both(&site).await;
        assert!(one.min(two) == 0, "one of them publishes a key: {one}, {two}");
        agree(&site, &[("active", 1), ("next", 1)]).await;
        servers::until("the next key to be old enough", async || {
            let (one, two) = rotate_at_both(&site).await;
            one.min(two) == 0
        })
        .await;
        // Who came second may have published the key after.
        agree(&site, &[("active", 1)]).await;
    }
}

async fn rotate_at_both(site: &Site) -> (i32, i32) {
    let rotate = ["keys", "rotate", "EdDSA"];
    let (one, two) = tokio::join!(site.nodes[0].run(&rotate), site.nodes[1].run(&rotate));
    (one.code, two.code)
}

/// So many keys are in these states, and both nodes publish exactly the living ones within 5 s.
async fn agree(site: &Site, states: &[(&str, usize)]) {
    let listed = site.nodes[0].run(&["keys", "list", "--json"]).await.with_code(0).json();
    let keys: Vec<&Value> = listed.as_array().into_iter().flatten().collect();
    for (state, count) in states {
        assert_eq!(keys.iter().filter(|key| key["state"] == *state).count(), *count, "{listed}");
    }
    let kids: BTreeSet<&str> = keys.iter().filter_map(|key| key["kid"].as_str()).collect();
    assert_eq!(kids.len(), keys.len(), "each kid is unique: {listed}");
    let asked = std::time::Instant::now();
    for node in 0..site.nodes.len() {
        loop {
            let set = site.driver.key_set(node).await.expect("a key set");
            let published = set["keys"].as_array().into_iter().flatten();
            let published: BTreeSet<&str> = published.filter_map(|key| key["kid"].as_str()).collect();
            if published == kids {
                break;
            }
            assert!(
                asked.elapsed() < Duration::from_secs(5),
                "node {node} publishes {published:?} of {kids:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
