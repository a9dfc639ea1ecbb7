//! One way to write: single use, all or nothing, and nobody pays for another's conflict.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::{model::*, store::*};
use tokio::task::JoinSet;

use crate::store::fixtures::*;

const PARALLEL: usize = 50;

/// Commits all at once, half of them through each node; every outcome.
async fn at_once(
    nodes: &[Arc<dyn Store>; 2],
    commits: impl IntoIterator<Item = Commit>,
) -> Vec<(Commit, Result<Committed, CommitError>)> {
    let mut running = JoinSet::new();
    for (number, commit) in commits.into_iter().enumerate() {
        let node = Arc::clone(&nodes[number % 2]);
        running.spawn(async move { (commit.clone(), node.commit(commit).await) });
    }
    running.join_all().await
}

/// R21: a code is redeemed once, whoever asks, however often at once.
pub async fn fifty_parallel_commits_spend_a_code_once(place: &dyn Place) {
    let nodes = [place.open().await, place.open().await];
    for _ in 0..place.rounds() {
        let (family, code) = stored_code(&nodes[0]).await;
        given(&nodes[0], people(&family)).await;
        let redeem = || spending(Spend::Code(code.id), [begun(&refresh_token(&family))]);
        let outcomes = at_once(&nodes, std::iter::repeat_with(redeem).take(PARALLEL)).await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(_, outcome)| outcome.is_ok());
        assert_eq!(won.len(), 1);
        for (_, outcome) in &lost {
            assert!(matches!(outcome, Err(CommitError::AlreadySpent)), "{outcome:?}");
        }
        assert_eq!(nodes[1].code(&code.digest).await.unwrap().unwrap().spent_by, Some(won[0].0.id));
        for (commit, outcome) in won.iter().chain(&lost) {
            let Effect::InsertRefreshToken { token, .. } = &commit.effects[0] else {
                unreachable!("made above")
            };
            let stored = is_current(&*nodes[0], token).await;
            assert_eq!(stored, outcome.is_ok(), "only the winner's token exists");
        }
    }
}

/// R24: a refresh token is rotated once, and its successor is the winner's.
pub async fn fifty_parallel_rotations_leave_one_successor(place: &dyn Place) {
    let nodes = [place.open().await, place.open().await];
    for _ in 0..place.rounds() {
        let (_, token) = stored_refresh_token(&nodes[0]).await;
        let rotate = || spending(rotation(&token).0, []);
        let outcomes = at_once(&nodes, std::iter::repeat_with(rotate).take(PARALLEL)).await;
        let mut successors = Vec::new();
        for (commit, outcome) in outcomes {
            let Some(Spend::Refresh { successor, .. }) = commit.spend else { unreachable!("made above") };
            match outcome {
                Ok(_) => successors.push((successor, commit.id)),
                Err(CommitError::AlreadySpent) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(successors.len(), 1);
        let row = row_of(&*nodes[1], &token).await.expect("the row stays");
        assert_eq!(row.current, token.successor(successors[0].0));
        assert_eq!(row.last.map(|last| last.by), Some(successors[0].1));
    }
}

pub async fn a_conflict_leaves_nothing_of_its_commit(place: &dyn Place) {
    let store = place.open().await;
    given(&store, [Effect::InsertUser(user("alice").into())]).await;
    let (family, code) = stored_code(&store).await;
    given(&store, people(&family)).await;
    let before = store.feed(0, 100).await.unwrap();
    let (newcomer, token) = (client("web"), refresh_token(&family));
    let failing = spending(
        Spend::Code(code.id),
        [
            begun(&token),
            Effect::InsertClient(newcomer.clone().into()),
            Effect::RevokeFamily { family: family.id, client: family.client, until: LATER },
            Effect::InsertUser(user("alice").into()),
        ],
    );
    let refused = store.commit(failing).await;
    assert!(matches!(refused, Err(CommitError::Conflict("user"))), "{refused:?}");
    assert_eq!(store.code(&code.digest).await.unwrap(), Some(code), "it is not spent");
    assert_eq!(row_of(&*store, &token).await, None);
    assert_eq!(store.client("web").await.unwrap(), None);
    assert_eq!(store.family(family.id).await.unwrap().as_deref(), Some(&family));
    assert_eq!(all_revocations(&store).await, []);
    let after = store.feed(0, 100).await.unwrap();
    assert_eq!((after.head, after.changes), (before.head, before.changes), "nobody hears of it");
}

pub async fn one_callers_conflict_fails_nobody_else(place: &dyn Place) {
    let nodes = [place.open().await, place.open().await];
    given(&nodes[0], [Effect::InsertClient(client("taken").into())]).await;
    let commits = (0..PARALLEL).map(|number| {
        let name = if number % 3 == 0 { "taken".to_owned() } else { format!("client-{number}") };
        commit([Effect::InsertClient(client(&name).into())])
    });
    for (commit, outcome) in at_once(&nodes, commits).await {
        let Effect::InsertClient(client) = &commit.effects[0] else { unreachable!("made above") };
        match client.client_id.as_str() {
            "taken" => assert!(matches!(outcome, Err(CommitError::Conflict("client"))), "{outcome:?}"),
            name => {
                let told = outcome.unwrap().changes;
                assert_eq!(told, [Change::Client { key: client.key, client_id: name.to_owned() }]);
                assert_eq!(nodes[0].client(name).await.unwrap().as_deref(), Some(&**client));
            }
        }
    }
}

pub async fn what_was_committed_is_there_when_the_store_is_opened_again(place: &dyn Place) {
    let (user, client) = (user("alice"), client("web"));
    let family = family(user.id, client.key);
    let store = place.open().await;
    given(
        &store,
        [
            Effect::InsertUser(user.clone().into()),
            Effect::InsertClient(client.clone().into()),
            Effect::InsertFamily(family.clone().into()),
            Effect::RevokeFamily { family: family.id, client: client.key, until: LATER },
            Effect::InsertKey(signing_key("kid", SigningAlg::ES256, KeyState::Active)),
        ],
    )
    .await;
    let feed = store.feed(0, 100).await.unwrap();
    drop(store);

    let store = place.open().await;
    assert_eq!(store.user_by_name("alice").await.unwrap(), Some(user));
    assert_eq!(store.client("web").await.unwrap().as_deref(), Some(&client));
    assert_eq!(store.family(family.id).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert_eq!(store.signing_keys(false).await.unwrap().len(), 1);
    assert_eq!(all_revocations(&store).await.len(), 1);
    let again = store.feed(0, 100).await.unwrap();
    assert_eq!((again.head, again.oldest, again.changes), (feed.head, feed.oldest, feed.changes));
}

pub async fn two_nodes_share_one_truth(place: &dyn Place) {
    let (server, command) = (place.open().await, place.open().await);
    let client = client("web");
    given(&command, [Effect::InsertClient(client.clone().into())]).await;
    assert_eq!(server.client("web").await.unwrap().as_deref(), Some(&client));
    let page = server.feed(0, 10).await.unwrap();
    assert_eq!(page.changes, [(1, Change::Client { key: client.key, client_id: "web".into() })]);
    given(&server, [Effect::SetClientEnabled(client.key, false)]).await;
    let known = Instant::now() + place.staleness();
    while Instant::now() <= known && command.client("web").await.unwrap().unwrap().enabled {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!command.client("web").await.unwrap().unwrap().enabled);
}
