//! The load and the checker together find the flaws of a server that has them, and none in one that
//! has not.

use std::time::{Duration, Instant};

use crate::faults::{
    check::{Invariant, Promises, assert_holds, check},
    fake::{self, Flaw},
    load::Load,
    site::DEADLINE,
};

/// Runs a load on a flawed server until the checker objects, within a minute.
async fn find(flaw: Flaw, invariant: Invariant) {
    let driver = fake::start(flaw);
    let load = Load::start(&driver, 6);
    let begun = Instant::now();
    loop {
        let found = check(&driver.recorder.events(), &Promises::default());
        if found.iter().any(|violation| violation.invariant == invariant) {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{flaw:?} was not found, but {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.abandon();
}

#[tokio::test]
async fn a_server_without_a_flaw_passes() {
    let driver = fake::start(Flaw::None);
    let load = Load::start(&driver, 6);
    load.until_answered(1000, None, DEADLINE).await;
    load.stop().await.was_a_load(1000);
    assert_holds(&driver.recorder.events(), &Promises::default());
}

#[tokio::test]
async fn a_server_whose_refresh_is_not_atomic_is_found_out() {
    find(Flaw::RefreshNotAtomic, Invariant::I3).await;
}

#[tokio::test]
async fn a_server_that_revokes_in_a_cache_only_is_found_out() {
    find(Flaw::RevokedInCacheOnly, Invariant::I1).await;
}

#[tokio::test]
async fn a_server_that_remembers_spent_codes_per_node_is_found_out() {
    find(Flaw::CodesSpentPerNode, Invariant::I2).await;
}

#[tokio::test]
async fn a_server_that_signs_with_a_key_it_did_not_publish_is_found_out() {
    find(Flaw::KeyNotPublished, Invariant::I4).await;
}

#[tokio::test]
async fn a_server_that_loses_acknowledged_writes_is_found_out() {
    find(Flaw::WritesLost, Invariant::I5).await;
}
