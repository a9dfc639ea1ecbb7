//! Signing keys.

use std::sync::Arc;

use chancery::{model::*, store::*};
use tokio::task::JoinSet;

use crate::store::fixtures::*;

fn moved(kid: &str, from: KeyState, to: KeyState) -> Effect {
    Effect::SetKeyState { kid: kid.to_owned(), from, to }
}

pub async fn a_key_moves_through_its_states(place: &dyn Place) {
    let store = place.open().await;
    let key = signing_key("first", SigningAlg::RS256, KeyState::Next);
    assert_eq!(given(&store, [Effect::InsertKey(key.clone())]).await, [Change::Keys]);
    assert_eq!(store.signing_keys(false).await.unwrap(), [key]);
    let life = [KeyState::Next, KeyState::Active, KeyState::Retiring, KeyState::Gone];
    for (step, states) in life.windows(2).enumerate() {
        let at = NOW.plus(step as u64 + 1);
        let effects = vec![moved("first", states[0], states[1])];
        let done = store.commit(Commit { at, ..commit(effects) }).await.unwrap();
        assert_eq!(done.changes, [Change::Keys]);
    }
    assert_eq!(store.signing_keys(false).await.unwrap(), []);
    let gone = &store.signing_keys(true).await.unwrap()[0];
    let times = (gone.activated_at, gone.retired_at, gone.gone_at);
    assert_eq!(times, (Some(NOW.plus(1)), Some(NOW.plus(2)), Some(NOW.plus(3))));
    assert_eq!((gone.state, gone.sealed.as_slice()), (KeyState::Gone, &[][..]), "only a record is left");
}

pub async fn only_one_node_moves_a_key_on(place: &dyn Place) {
    let nodes = [place.open().await, place.open().await];
    let key = signing_key("first", SigningAlg::RS256, KeyState::Next);
    given(&nodes[0], [Effect::InsertKey(key)]).await;
    let mut running = JoinSet::new();
    for number in 0..10 {
        let node = Arc::clone(&nodes[number % 2]);
        running.spawn(async move {
            node.commit(commit([moved("first", KeyState::Next, KeyState::Active)])).await
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|outcome| matches!(outcome, Err(CommitError::Conflict("key")))), "{lost:?}");
    let unknown = nodes[0].commit(commit([moved("none", KeyState::Next, KeyState::Active)])).await;
    assert!(matches!(unknown, Err(CommitError::Conflict("key"))), "{unknown:?}");
}

pub async fn an_algorithm_has_one_next_and_one_active_key(place: &dyn Place) {
    let store = place.open().await;
    let insert = |kid: &str, alg, state| commit([Effect::InsertKey(signing_key(kid, alg, state))]);
    store.commit(insert("a", SigningAlg::RS256, KeyState::Active)).await.unwrap();
    store.commit(insert("b", SigningAlg::ES256, KeyState::Active)).await.unwrap();
    let keys = store.signing_keys(false).await.unwrap();
    assert!(keys.iter().all(|key| key.activated_at == Some(NOW)), "an active key began to sign");

    let second = store.commit(insert("c", SigningAlg::RS256, KeyState::Active)).await;
    assert!(matches!(second, Err(CommitError::Conflict("key"))), "{second:?}");
    store.commit(insert("d", SigningAlg::RS256, KeyState::Next)).await.unwrap();
    let second = store.commit(insert("e", SigningAlg::RS256, KeyState::Next)).await;
    assert!(matches!(second, Err(CommitError::Conflict("key"))), "{second:?}");
    let taken = store.commit(insert("a", SigningAlg::EdDSA, KeyState::Next)).await;
    assert!(matches!(taken, Err(CommitError::Conflict("key"))), "{taken:?}");

    let rotation = [
        moved("a", KeyState::Active, KeyState::Retiring),
        moved("d", KeyState::Next, KeyState::Active),
        Effect::InsertKey(signing_key("f", SigningAlg::RS256, KeyState::Next)),
    ];
    given(&store, rotation).await;
    let kids: Vec<_> = store.signing_keys(false).await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!(kids, ["a", "b", "d", "f"]);
}

pub async fn nodes_that_begin_at_once_end_with_one_key(place: &dyn Place) {
    let nodes = [place.open().await, place.open().await];
    for (state, expected) in [(KeyState::Active, 1), (KeyState::Next, 2)] {
        let mut running = JoinSet::new();
        for number in 0..20 {
            let node = Arc::clone(&nodes[number % 2]);
            let key = signing_key(&format!("{}-{number}", state.as_str()), SigningAlg::EdDSA, state);
            running.spawn(async move { node.commit(commit([Effect::InsertKey(key)])).await });
        }
        let (won, lost): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().partition(Result::is_ok);
        assert!(lost.iter().all(|outcome| matches!(outcome, Err(CommitError::Conflict("key")))), "{lost:?}");
        assert_eq!(won.len(), 1);
        assert_eq!(nodes[0].signing_keys(false).await.unwrap().len(), expected);
    }
}

fn resealed(kid: &str, from: &[u8], to: &[u8]) -> Commit {
    commit([Effect::ResealKey { kid: kid.to_owned(), from: from.to_vec(), to: to.to_vec() }])
}

pub async fn a_key_is_sealed_anew_once_and_nobody_is_told(place: &dyn Place) {
    let nodes = [place.open().await, place.open().await];
    let (key, other) = (
        signing_key("first", SigningAlg::RS256, KeyState::Active),
        signing_key("second", SigningAlg::ES256, KeyState::Active),
    );
    given(&nodes[0], [Effect::InsertKey(key), Effect::InsertKey(other)]).await;
    let before = nodes[0].signing_keys(true).await.unwrap();
    let mut running = JoinSet::new();
    for number in 0..10 {
        let node = Arc::clone(&nodes[number % 2]);
        let to = format!("sealed anew by {number}").into_bytes();
        running.spawn(async move { (node.commit(resealed("first", b"sealed", &to)).await, to) });
    }
    let (won, lost): (Vec<_>, Vec<_>) =
        running.join_all().await.into_iter().partition(|(outcome, _)| outcome.is_ok());
    assert!(lost.iter().all(|(outcome, _)| matches!(outcome, Err(CommitError::Changed("key")))), "{lost:?}");
    let [(Ok(done), sealed)] = won.as_slice() else { panic!("one is first: {won:?}") };
    assert_eq!(done.changes, [], "it is the same key");
    let after = nodes[1].signing_keys(true).await.unwrap();
    let expected = before.into_iter().map(|key| match key.kid.as_str() {
        "first" => SigningKey { sealed: sealed.clone(), ..key },
        _ => key,
    });
    assert_eq!(after, expected.collect::<Vec<_>>(), "nothing else is changed");
}

pub async fn a_withdrawn_key_cannot_be_sealed_anew(place: &dyn Place) {
    let store = place.open().await;
    let key = signing_key("first", SigningAlg::RS256, KeyState::Active);
    given(&store, [Effect::InsertKey(key), moved("first", KeyState::Active, KeyState::Gone)]).await;
    for (kid, from) in [("first", &b"sealed"[..]), ("first", b""), ("none", b"sealed")] {
        let late = store.commit(resealed(kid, from, b"sealed anew")).await;
        assert!(matches!(late, Err(CommitError::Changed("key"))), "{kid}: {late:?}");
    }
    let keys = store.signing_keys(true).await.unwrap();
    assert_eq!(keys[0].sealed, b"", "it stays withdrawn");
}
