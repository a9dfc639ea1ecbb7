//! Families, codes and refresh tokens.

use chancery::{model::*, store::*};

use crate::store::fixtures::*;

pub async fn families_codes_and_refresh_tokens_keep_everything_they_were_given(place: &dyn Place) {
    let store = place.open().await;
    let (family, code) = stored_code(&store).await;
    assert_eq!(store.family(family.id).await.unwrap().as_deref(), Some(&family));
    assert_eq!(store.code(&code.digest).await.unwrap(), Some(code));
    let (_, token) = stored_refresh_token(&store).await;
    let row =
        Rotation { current: token, issued_at: NOW, expires_at: NOW.plus(86_400), stands: true, last: None };
    assert_eq!(row_of(&*store, &token).await, Some(row));
    assert_eq!(store.family(FamilyId(id())).await.unwrap(), None);
    assert_eq!(store.code(&digest()).await.unwrap(), None);
    let never = RefreshToken { family: FamilyId(id()), ..token };
    assert_eq!(row_of(&*store, &never).await, None);
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
    let (_, token) = stored_refresh_token(&store).await;
    let (spend, next) = rotation(&token);
    let first = spending(spend.clone(), []);
    store.commit(first.clone()).await.unwrap();
    let row = row_of(&*store, &token).await.expect("the row stays");
    assert_eq!((row.current, row.expires_at, row.stands), (next, NOW.plus(86_400), true));
    let last = row.last.expect("it was rotated");
    assert!(last.age.is_some_and(|age| age < 60), "{last:?}");
    let expected = LastRotation {
        previous: token.digest,
        request: Digest([1; 32]),
        by: first.id,
        age: last.age,
        answer: Some(b"the answer, sealed".to_vec()),
    };
    assert_eq!(last, expected);
    let of_next = row_of(&*store, &next).await.and_then(|row| row.last).expect("the same row");
    assert_eq!(of_next, LastRotation { answer: None, age: of_next.age, ..expected }, "it has no answer yet");
    let again = store.commit(spending(spend, [])).await;
    assert!(matches!(again, Err(CommitError::AlreadySpent)), "{again:?}");

    let (spend, newest) = rotation(&next);
    store.commit(spending(spend, [])).await.unwrap();
    let row = row_of(&*store, &token).await.expect("the row stays");
    assert_eq!(
        (row.current, row.last.map(|last| (last.previous, last.answer))),
        (newest, Some((next.digest, None)))
    );
}

/// R24: only the current token of a family can be spent, and only before it expires.
pub async fn no_other_token_of_a_family_is_rotated(place: &dyn Place) {
    let store = place.open().await;
    let (_, token) = stored_refresh_token(&store).await;
    let (spend, next) = rotation(&token);
    store.commit(spending(spend, [])).await.unwrap();
    let others = [
        token,
        RefreshToken { digest: digest(), ..token },
        RefreshToken { digest: digest(), ..next },
        RefreshToken { generation: 2, ..next },
        RefreshToken { generation: 0, ..next },
    ];
    for other in others {
        let refused = store.commit(spending(rotation(&other).0, [])).await;
        assert!(matches!(refused, Err(CommitError::AlreadySpent)), "{other:?}: {refused:?}");
    }
    let idle = Commit { at: NOW.plus(86_400), ..spending(rotation(&next).0, []) };
    let refused = store.commit(idle).await;
    assert!(matches!(refused, Err(CommitError::AlreadySpent)), "it has expired: {refused:?}");
    assert!(is_current(&*store, &next).await, "nothing was changed");
    store.commit(spending(rotation(&next).0, [])).await.expect("the current one goes on");
}

/// R27: what ends an authorization ends its rotation in the same instant: the statement itself looks, in
/// the primary, whatever the caller has read before.
pub async fn a_rotation_holds_that_its_family_stands(place: &dyn Place) {
    let nodes = [place.open().await, place.open().await];
    let ends: [fn(&Family) -> Effect; 8] = [
        |of| Effect::RevokeFamily { family: of.id, client: of.client, until: LATER },
        |of| Effect::RevokeFamilies {
            user: of.user,
            client: None,
            session: None,
            keep_offline: false,
            until: LATER,
        },
        |of| Effect::RaiseUserEpoch { user: of.user, until: LATER },
        |of| Effect::RaiseClientEpoch { client: of.client, until: LATER },
        |of| Effect::SetUserEnabled(of.user, false),
        |of| Effect::SetClientEnabled(of.client, false),
        |of| Effect::DeleteUser(of.user),
        |of| Effect::DeleteClient(of.client),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let (family, token) = stored_refresh_token(&nodes[0]).await;
        assert!(row_of(&*nodes[0], &token).await.is_some_and(|row| row.stands), "{number}");
        given(&nodes[1], [end(&family)]).await;
        let refused = nodes[0].commit(spending(rotation(&token).0, [])).await;
        let lost = matches!(refused, Err(CommitError::AlreadySpent | CommitError::Missing("refresh token")));
        assert!(lost, "{number}: {refused:?}");
        assert!(row_of(&*nodes[0], &token).await.is_none_or(|row| !row.stands), "{number}");
    }
    let (family, token) = stored_refresh_token(&nodes[0]).await;
    let late = Commit { at: family.expires_at, ..spending(rotation(&token).0, []) };
    let refused = nodes[0].commit(late).await;
    assert!(matches!(refused, Err(CommitError::AlreadySpent)), "{refused:?}");
}

/// The same for the first token: a code is not redeemed for a family that has fallen.
pub async fn a_family_that_has_fallen_gets_no_refresh_token(place: &dyn Place) {
    let store = place.open().await;
    let (family, code) = stored_code(&store).await;
    given(&store, people(&family)).await;
    given(&store, [Effect::RaiseUserEpoch { user: family.user, until: LATER }]).await;
    let token = refresh_token(&family);
    let refused = store.commit(spending(Spend::Code(code.id), [begun(&token)])).await;
    assert!(matches!(refused, Err(CommitError::Missing("family"))), "{refused:?}");
    assert_eq!(store.code(&code.digest).await.unwrap(), Some(code), "the code is not spent");
    assert_eq!(row_of(&*store, &token).await, None);
}

/// The table is as large as there are families, however often their tokens are rotated.
pub async fn a_hundred_rotations_leave_as_many_rows_as_one(place: &dyn Place) {
    let store = place.open().await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(stored_refresh_token(&store).await.1);
    }
    let mut rows = Vec::new();
    for _ in 0..100 {
        for token in &mut tokens {
            let (spend, next) = rotation(token);
            store.commit(spending(spend, [])).await.unwrap();
            *token = next;
        }
        let counted = store.statistics().await.unwrap().rows;
        rows.push(counted.into_iter().find(|(class, _)| *class == "rotations").expect("a class").1);
    }
    assert_eq!(rows, [3; 100]);
    assert_eq!(tokens[0].generation, 100);
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
    let (spend, _) = rotation(&refresh_token(&family));
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
