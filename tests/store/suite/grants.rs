//! Families, codes and refresh tokens.

use chancery::{model::*, store::*};

use crate::store::fixtures::*;

pub async fn families_codes_and_refresh_tokens_keep_everything_they_were_given(place: &dyn Place) {
    let store = place.open().await;
    let (family, code) = stored_code(&store).await;
    assert_eq!(store.family(family.id).await.unwrap().as_deref(), Some(&family));
    assert_eq!(store.code(&code.digest).await.unwrap(), Some(code));
    let (_, token) = stored_refresh_token(&store).await;
    assert_eq!(store.refresh_token(&token.digest).await.unwrap(), Some(token));
    assert_eq!(store.family(FamilyId(id())).await.unwrap(), None);
    assert_eq!(store.code(&digest()).await.unwrap(), None);
    assert_eq!(store.refresh_token(&digest()).await.unwrap(), None);
}

pub async fn a_spent_code_names_the_commit_that_spent_it(place: &dyn Place) {
    let store = place.open().await;
    let (_, code) = stored_code(&store).await;
    let first = spending(Spend::Code(code.id), []);
    store.commit(first.clone()).await.unwrap();
    assert_eq!(store.code(&code.digest).await.unwrap().unwrap().spent_by, Some(first.id));
    let second = store.commit(spending(Spend::Code(code.id), [])).await;
    assert!(matches!(second, Err(CommitError::AlreadySpent)), "{second:?}");
    assert_eq!(store.code(&code.digest).await.unwrap().unwrap().spent_by, Some(first.id));
}

pub async fn a_rotated_refresh_token_remembers_its_answer_and_its_successor(place: &dyn Place) {
    let store = place.open().await;
    let (family, token) = stored_refresh_token(&store).await;
    let (spend, next) = rotation(&token, &family);
    let first = spending(spend.clone(), [Effect::InsertRefreshToken(next.clone().into())]);
    store.commit(first.clone()).await.unwrap();
    let rotated = RefreshToken {
        spent_by: Some(first.id),
        spent_at: Some(NOW),
        successor: Some(next.id),
        retry_request: Some(Digest([1; 32])),
        retry_answer: Some(b"the answer, sealed".to_vec()),
        ..token.clone()
    };
    assert_eq!(store.refresh_token(&token.digest).await.unwrap(), Some(rotated.clone()));
    assert_eq!(store.refresh_token(&next.digest).await.unwrap(), Some(next.clone()));
    let again = store.commit(spending(spend, [])).await;
    assert!(matches!(again, Err(CommitError::AlreadySpent)), "{again:?}");

    let (spend, last) = rotation(&next, &family);
    store.commit(spending(spend, [Effect::InsertRefreshToken(last.into())])).await.unwrap();
    let found = store.refresh_token(&token.digest).await.unwrap();
    assert_eq!(found, Some(RefreshToken { successor_spent: true, ..rotated }));
}

pub async fn a_revoked_family_is_found_and_listed(place: &dyn Place) {
    let store = place.open().await;
    let (family, _) = stored_code(&store).await;
    let revoke = |family: FamilyId, client| Effect::RevokeFamily { family, client, until: NOW.plus(100) };
    let told = given(&store, [revoke(family.id, family.client)]).await;
    let revocation = Revocation {
        kind: RevocationKind::Family,
        id: family.id.0,
        epoch: 0,
        client: family.client,
        expires_at: NOW.plus(100),
    };
    assert_eq!(told, [Change::revoked(revocation, NOW)]);
    assert_eq!(store.family(family.id).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert_eq!(all_revocations(&store).await, [revocation]);

    let again = Commit { at: NOW.plus(7), ..commit([revoke(family.id, family.client)]) };
    store.commit(again).await.unwrap();
    assert_eq!(store.family(family.id).await.unwrap().unwrap().revoked_at, Some(NOW), "the first time stays");
    given(&store, [revoke(FamilyId(id()), family.client)]).await;
    assert_eq!(all_revocations(&store).await.len(), 2, "an unknown family is no error");
}

pub async fn families_of_a_user_are_revoked_as_asked(place: &dyn Place) {
    let store = place.open().await;
    let (user, client, session) = (UserId(id()), ClientKey(id()), SessionId(id()));
    let plain = family(user, client);
    let offline = Family {
        session: Some(session),
        scopes: ["openid", "offline_access"].into_iter().collect(),
        ..family(user, client)
    };
    let online = Family { session: Some(session), ..family(user, ClientKey(id())) };
    let expired = Family { expires_at: NOW, session: Some(session), ..family(user, client) };
    let foreign = Family { session: Some(session), ..family(UserId(id()), client) };
    let all = [&plain, &offline, &online, &expired, &foreign];
    given(&store, all.map(|family| Effect::InsertFamily(family.clone().into()))).await;
    let revoke = |client, session, keep_offline| {
        commit([Effect::RevokeFamilies { user, client, session, keep_offline, until: LATER }])
    };
    let ids = |told: Vec<Change>| -> Vec<Id> {
        let mut ids: Vec<Id> = told
            .iter()
            .map(|change| match change {
                Change::Revoked { id, .. } => *id,
                other => panic!("only revocations are told: {other:?}"),
            })
            .collect();
        ids.sort();
        ids
    };

    let ended = store.commit(revoke(None, Some(session), true)).await.unwrap();
    assert_eq!(ids(ended.changes), [online.id.0], "signing out spares offline access");
    let ended = store.commit(revoke(Some(client), None, false)).await.unwrap();
    assert_eq!(ids(ended.changes), [plain.id.0, offline.id.0], "withdrawing spares nothing");
    let ended = store.commit(revoke(None, None, false)).await.unwrap();
    assert_eq!(ids(ended.changes), [], "nothing live is left");
    assert_eq!(store.family(foreign.id).await.unwrap().unwrap().revoked_at, None);
    assert_eq!(all_revocations(&store).await.len(), 3);
}

pub async fn what_was_never_stored_cannot_be_spent(place: &dyn Place) {
    let store = place.open().await;
    let (family, token) = (family(UserId(id()), ClientKey(id())), RowId(id()));
    let code = store.commit(spending(Spend::Code(token), [])).await;
    assert!(matches!(code, Err(CommitError::Missing("code"))), "{code:?}");
    let (spend, _) = rotation(&refresh_token(&family), &family);
    let refresh = store.commit(spending(spend, [])).await;
    assert!(matches!(refresh, Err(CommitError::Missing("refresh token"))), "{refresh:?}");
}

pub async fn a_one_time_value_is_spent_once(place: &dyn Place) {
    let store = place.open().await;
    let spend = Spend::Once { id: id(), expires_at: LATER };
    store.commit(spending(spend.clone(), [])).await.unwrap();
    let again = store.commit(spending(spend, [])).await;
    assert!(matches!(again, Err(CommitError::AlreadySpent)), "{again:?}");
    store.commit(spending(Spend::Once { id: id(), expires_at: LATER }, [])).await.unwrap();
}
