//! The change feed and the revocations that the index is loaded from.

use std::{collections::BTreeSet, sync::Arc};

use chancery::{model::*, store::*};
use tokio::task::JoinSet;

use crate::store::fixtures::*;

fn revoke_token(token: TokenId) -> Effect {
    Effect::RevokeToken { token, client: ClientKey::default(), until: LATER }
}

fn token(change: &Change) -> TokenId {
    match change {
        Change::Revoked { id, .. } => TokenId(*id),
        other => panic!("only tokens were revoked: {other:?}"),
    }
}

pub async fn changes_come_in_commit_order(place: &dyn Place) {
    let store = place.open().await;
    let tokens: Vec<_> = (0..6).map(|_| TokenId(id())).collect();
    for pair in tokens.chunks(2) {
        given(&store, pair.iter().rev().map(|token| revoke_token(*token))).await;
    }
    let page = store.feed(0, 100).await.unwrap();
    let seqs: Vec<_> = page.changes.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    let order: Vec<_> = page.changes.iter().map(|(_, change)| token(change)).collect();
    assert_eq!(order, [1, 0, 3, 2, 5, 4].map(|at: usize| tokens[at]), "and in effect order within one");
    assert_eq!(page.head.seq, 6);
}

/// A slow committer must not be missed: what a reader has passed never fills up later.
pub async fn a_reader_that_tails_the_feed_misses_nothing(place: &dyn Place) {
    const COMMITTERS: usize = 8;
    const EACH: usize = 40;
    let nodes = [place.open().await, place.open().await];
    let mut running = JoinSet::new();
    for committer in 0..COMMITTERS {
        let node = Arc::clone(&nodes[committer % 2]);
        running.spawn(async move {
            let mut revoked = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                let token = TokenId(id());
                given(&node, [revoke_token(token)]).await;
                revoked.push(token);
            }
            revoked
        });
    }
    let reader = place.open().await;
    let (mut seen, mut at) = (Vec::new(), 0);
    while seen.len() < COMMITTERS * EACH {
        let page = reader.feed(at, 16).await.unwrap();
        for (seq, change) in page.changes {
            assert_eq!(seq, at + 1, "without gaps");
            at = seq;
            seen.push(token(&change));
        }
        assert!(page.head.seq >= at);
        tokio::task::yield_now().await;
    }
    let committed: BTreeSet<_> = running.join_all().await.into_iter().flatten().collect();
    assert_eq!(committed, seen.into_iter().collect());
}

pub async fn the_feed_is_read_in_pages(place: &dyn Place) {
    let store = place.open().await;
    given(&store, (0..5).map(|_| revoke_token(TokenId(id())))).await;
    let page = store.feed(1, 3).await.unwrap();
    let seqs: Vec<_> = page.changes.iter().map(|(seq, _)| *seq).collect();
    assert_eq!((seqs, page.head.seq, page.oldest), (vec![2, 3, 4], 5, 1));
    let page = store.feed(5, 3).await.unwrap();
    assert_eq!((page.changes.len(), page.head.seq), (0, 5));
}

pub async fn a_new_feed_is_empty_and_starts_at_one(place: &dyn Place) {
    let store = place.open().await;
    let page = store.feed(0, 10).await.unwrap();
    assert_eq!((page.head.seq, page.oldest, page.changes.len()), (0, 1, 0));
    assert_eq!(given(&store, []).await, [], "a commit may be empty");
    assert_eq!(store.feed(0, 10).await.unwrap().head, page.head);
}

pub async fn revocations_are_listed_in_pages_and_looked_up(place: &dyn Place) {
    let store = place.open().await;
    let tokens: Vec<_> = (0..3).map(|_| TokenId(id())).collect();
    let (family, client) = (FamilyId(id()), ClientKey(id()));
    let revoke = Effect::RevokeFamily { family, client, until: LATER };
    given(&store, tokens.iter().map(|token| revoke_token(*token)).chain([revoke])).await;
    let entry = |kind, id, client| Revocation { kind, id, epoch: 0, client, expires_at: LATER };
    let mut expected: Vec<_> =
        tokens.iter().map(|token| entry(RevocationKind::Token, token.0, ClientKey::default())).collect();
    expected.push(entry(RevocationKind::Family, family.0, client));
    assert_eq!(all_revocations(&store).await, expected);

    let asked = [
        (RevocationKind::Token, tokens[1].0),
        (RevocationKind::Family, tokens[1].0),
        (RevocationKind::Token, id()),
        (RevocationKind::Family, family.0),
    ];
    let found = store.revocations_of(&asked).await.unwrap();
    assert_eq!(found, [expected[1], expected[3]]);
    assert_eq!(store.revocations_of(&[]).await.unwrap(), []);
}

pub async fn a_repeated_revocation_only_gets_stronger(place: &dyn Place) {
    let store = place.open().await;
    let (token, client) = (TokenId(id()), ClientKey(id()));
    for until in [NOW.plus(50), NOW.plus(90), NOW.plus(20)] {
        given(&store, [Effect::RevokeToken { token, client, until }]).await;
    }
    let entries = all_revocations(&store).await;
    assert_eq!(entries.iter().map(|entry| entry.expires_at).collect::<Vec<_>>(), [NOW.plus(90)]);
}
