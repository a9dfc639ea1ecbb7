//! Faults of one node on the embedded store (F1, F17, F18).

use crate::faults::{
    check::{Promises, assert_holds},
    load::Load,
    rounds,
    site::{DEADLINE, Site},
};

/// F1: R41, T09
#[tokio::test]
async fn an_embedded_node_killed_under_load_keeps_every_promise() {
    let site = Site::embedded(&[]).await;
    let load = Load::start(&site.driver, 6);
    let mut users = Vec::new();
    for round in 0..rounds(3, 30) {
        load.until_answered(150 + 37 * round, None, DEADLINE).await;
        users.push(format!("user {round}"));
        site.write_user(users.last().expect("just pushed")).await;
        site.nodes[0].kill().await;
        site.nodes[0].start().await;
    }
    load.until_answered(100, None, DEADLINE).await;
    load.stop().await.was_a_load(400);
    site.read_users(users.iter().map(String::as_str)).await;
    assert_holds(&site.driver.recorder.events(), &Promises::default());
}
