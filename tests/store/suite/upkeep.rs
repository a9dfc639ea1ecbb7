//! The sweeper, restored backups, statistics.

use std::{collections::BTreeMap, sync::Arc};

use chancery::{model::*, store::*};

use crate::store::fixtures::*;

async fn swept(store: &Arc<dyn Store>, now: UnixTime) -> BTreeMap<&'static str, u64> {
    store.sweep(now, 1000).await.unwrap().into_iter().filter(|(_, rows)| *rows > 0).collect()
}

pub async fn the_sweeper_deletes_what_expired_and_nothing_else(place: &dyn Place) {
    let store = place.open().await;
    let (family, code) = stored_code(&store).await;
    let (token, session) = (refresh_token(&family), session(family.user));
    let revoked = Effect::RevokeToken { token: TokenId(id()), client: family.client, until: NOW.plus(200) };
    given(&store, people(&family)).await;
    given(&store, [begun(&token), Effect::InsertSession(session.clone().into()), revoked]).await;
    let once = Spend::Once { id: id(), expires_at: NOW.plus(100) };
    store.commit(spending(once.clone(), [])).await.unwrap();

    assert_eq!(swept(&store, code.expires_at.minus(1)).await, BTreeMap::new());
    assert_eq!(swept(&store, code.expires_at).await, BTreeMap::from([("codes", 1)]));
    assert_eq!(store.code(&code.digest).await.unwrap(), None);
    assert_eq!(swept(&store, NOW.plus(100)).await, BTreeMap::from([("spent", 1)]));
    store.commit(spending(once, [])).await.expect("its time is past, it is forgotten");
    assert_eq!(swept(&store, NOW.plus(200)).await, BTreeMap::from([("spent", 1), ("revocations", 1)]));
    assert_eq!(swept(&store, session.expires_at).await, BTreeMap::from([("sessions", 1)]));
    assert_eq!(store.session(&session.digest).await.unwrap(), None);
    let over = UnixTime((NOW.plus(86_400).day() + 1) * 86_400);
    assert!(!swept(&store, over.minus(1)).await.contains_key("rotations"), "its last day is not over");
    assert_eq!(swept(&store, over).await.get("rotations"), Some(&1));
    assert_eq!(row_of(&*store, &token).await, None);
    assert!(store.family(family.id).await.unwrap().is_some());
    assert_eq!(swept(&store, family.expires_at).await, BTreeMap::from([("families", 1)]));
    // A cache may remember what has expired, so it is another node that is asked.
    assert_eq!(place.open().await.family(family.id).await.unwrap(), None);
}

/// R22: a replay is recognised for as long as there is a family to revoke.
pub async fn a_spent_code_is_kept_as_long_as_its_family(place: &dyn Place) {
    let store = place.open().await;
    let (family, code) = stored_code(&store).await;
    store.commit(spending(Spend::Code(code.id), [])).await.unwrap();
    swept(&store, family.expires_at.minus(1)).await;
    assert!(store.code(&code.digest).await.unwrap().is_some());
    assert_eq!(swept(&store, family.expires_at).await, BTreeMap::from([("families", 1)]));
    assert_eq!(store.code(&code.digest).await.unwrap(), None);
}

pub async fn a_sweep_deletes_no_more_than_its_limit(place: &dyn Place) {
    let store = place.open().await;
    let user = UserId(id());
    given(&store, (0..7).map(|_| Effect::InsertSession(session(user).into()))).await;
    for left in [4, 1, 0] {
        store.sweep(LATER, 3).await.unwrap();
        assert_eq!(store.sessions(user).await.unwrap().len(), left);
    }
}

pub async fn a_family_goes_with_its_rotation(place: &dyn Place) {
    let store = place.open().await;
    let (family, token) = stored_refresh_token(&store).await;
    let (spend, next) = rotation(&token);
    let Spend::Refresh { retry_request, retry_answer, successor, .. } = spend else {
        unreachable!("made above")
    };
    let spend =
        Spend::Refresh { token, successor, expires_at: LATER.plus(86_400), retry_request, retry_answer };
    store.commit(spending(spend, [])).await.unwrap();
    store.sweep(family.expires_at, 1000).await.unwrap();
    assert_eq!(row_of(&*store, &next).await, None);
    assert_eq!(place.open().await.family(family.id).await.unwrap(), None);
}

pub async fn old_changes_go_but_the_feed_still_knows_where_it_is(place: &dyn Place) {
    const TWO_HOURS: u64 = 2 * 60 * 60;
    let store = place.open().await;
    let revoke = || Effect::RevokeToken { token: TokenId(id()), client: ClientKey(id()), until: LATER };
    given(&store, (0..4).map(|_| revoke())).await;
    let young = Commit { at: NOW.plus(TWO_HOURS), ..commit([revoke()]) };
    store.commit(young).await.unwrap();
    assert_eq!(swept(&store, NOW.plus(TWO_HOURS)).await, BTreeMap::new());

    assert_eq!(store.sweep(NOW.plus(TWO_HOURS + 1), 3).await.unwrap().last(), Some(&("changes", 3)));
    let page = store.feed(0, 100).await.unwrap();
    assert_eq!((page.oldest, page.head.seq, page.changes.len()), (4, 5, 2));
    swept(&store, LATER).await;
    let page = store.feed(5, 100).await.unwrap();
    assert_eq!((page.oldest, page.head.seq), (5, 5), "the newest stays");
    given(&store, [revoke()]).await;
    assert_eq!(store.feed(5, 100).await.unwrap().changes[0].0, 6, "a number is never used twice");
}

/// Once a clock was a year ahead. That must not keep every later change for a year: whoever has not
/// read one that is deleted too soon loads anew.
pub async fn a_change_dated_in_the_future_holds_nothing_up(place: &dyn Place) {
    let store = place.open().await;
    let revoke = || Effect::RevokeToken { token: TokenId(id()), client: ClientKey(id()), until: LATER };
    store.commit(Commit { at: LATER, ..commit([revoke()]) }).await.unwrap();
    given(&store, (0..3).map(|_| revoke())).await;
    swept(&store, NOW.plus(2 * 60 * 60 + 1)).await;
    assert_eq!(store.feed(0, 100).await.unwrap().oldest, 4, "the newest stays");
}

/// The node that served before the restore may have issued tokens under epochs that the backup has
/// never heard of.
pub async fn restoring_a_backup_kills_every_token(place: &dyn Place) {
    let store = place.open().await;
    let (user, client) = (user("alice"), client("web"));
    given(&store, [Effect::InsertUser(user.clone().into()), Effect::InsertClient(client.clone().into())])
        .await;
    let before = store.feed(0, 1).await.unwrap().head;
    store.restored(NOW, LATER).await.unwrap();
    let raised = store.user(user.id).await.unwrap().unwrap().epoch;
    assert!(raised > 1_000_000, "above every epoch there was: {raised}");
    assert_eq!(store.client("web").await.unwrap().unwrap().epoch, raised);
    let entry = |kind, id, client| Revocation { kind, id, epoch: raised, client, expires_at: LATER };
    let expected = [
        entry(RevocationKind::User, user.id.0, ClientKey::default()),
        entry(RevocationKind::Client, client.key.0, client.key),
    ];
    assert_eq!(all_revocations(&store).await, expected);
    let after = store.feed(0, 1).await.unwrap().head;
    assert_ne!(after.epoch, before.epoch, "every node reads everything anew");

    store.restored(NOW, LATER).await.unwrap();
    assert_eq!(store.user(user.id).await.unwrap().unwrap().epoch, raised + 1, "and again");
    assert_ne!(store.feed(0, 1).await.unwrap().head.epoch, after.epoch);
}

pub async fn a_store_tells_its_schema_and_its_size(place: &dyn Place) {
    let store = place.open().await;
    store.probe().await.unwrap();
    assert!(store.schema_version().await.unwrap() >= 1);
    given(&store, [Effect::InsertClient(client("a").into()), Effect::InsertClient(client("b").into())]).await;
    let statistics = store.statistics().await.unwrap();
    assert!(statistics.rows.contains(&("clients", 2)), "{:?}", statistics.rows);
    assert!(statistics.rows.contains(&("changes", 2)), "{:?}", statistics.rows);
    assert!(statistics.bytes.iter().any(|(_, bytes)| *bytes > 0), "{:?}", statistics.bytes);
}
