//! People, their sessions and consents.

use chancery::{model::*, store::*};

use crate::store::fixtures::*;

pub async fn a_user_is_found_by_id_and_by_name(place: &dyn Place) {
    let store = place.open().await;
    let user = user("alice");
    let told = given(&store, [Effect::InsertUser(user.clone().into())]).await;
    assert_eq!(told, [Change::User { id: user.id }]);
    assert_eq!(store.user(user.id).await.unwrap().as_deref(), Some(&user));
    assert_eq!(store.user_by_name("alice").await.unwrap().as_ref(), Some(&user));
    assert_eq!(store.user_by_name("bob").await.unwrap(), None);
    assert_eq!(store.user(UserId(id())).await.unwrap(), None);
}

pub async fn a_username_is_taken_once(place: &dyn Place) {
    let store = place.open().await;
    given(&store, [Effect::InsertUser(user("alice").into())]).await;
    let refused = store.commit(commit([Effect::InsertUser(user("alice").into())])).await;
    assert!(matches!(refused, Err(CommitError::Conflict("user"))), "{refused:?}");
}

pub async fn a_password_is_set_and_replaced_only_if_it_is_still_the_verified_one(place: &dyn Place) {
    let store = place.open().await;
    let user = user("alice");
    given(&store, [Effect::InsertUser(user.clone().into())]).await;
    let password = async || store.user_by_name("alice").await.unwrap().unwrap().password.unwrap();
    let rehash = |from: &str, to: &str| Effect::RehashPassword {
        user: user.id,
        from: from.to_owned(),
        to: to.to_owned(),
    };

    assert_eq!(given(&store, [rehash("$argon2id$first", "$argon2id$stronger")]).await, []);
    assert_eq!(password().await, "$argon2id$stronger");
    let set = Effect::SetPassword { user: user.id, password: "$argon2id$new".into() };
    assert_eq!(given(&store, [set]).await, [Change::User { id: user.id }]);
    given(&store, [rehash("$argon2id$stronger", "$argon2id$late")]).await;
    assert_eq!(password().await, "$argon2id$new", "a late rehash does not bring the old one back");

    let nobody = Effect::SetPassword { user: UserId(id()), password: "$argon2id$x".into() };
    let refused = store.commit(commit([nobody])).await;
    assert!(matches!(refused, Err(CommitError::Missing("user"))), "{refused:?}");
}

pub async fn raising_a_users_epoch_revokes_what_was_issued_below_it(place: &dyn Place) {
    let store = place.open().await;
    let user = user("alice");
    given(&store, [Effect::InsertUser(user.clone().into())]).await;
    let told = given(&store, [Effect::RaiseUserEpoch { user: user.id, until: LATER }]).await;
    let revocation = Revocation {
        kind: RevocationKind::User,
        id: user.id.0,
        epoch: 1,
        client: ClientKey::default(),
        expires_at: LATER,
    };
    assert!(told.contains(&Change::revoked(revocation, NOW)), "{told:?}");
    assert!(told.contains(&Change::User { id: user.id }), "{told:?}");
    assert_eq!(store.user(user.id).await.unwrap().unwrap().epoch, 1);
    assert_eq!(all_revocations(&store).await, [revocation]);
}

pub async fn epochs_never_fall(place: &dyn Place) {
    let store = place.open().await;
    let (user, client) = (user("alice"), client("web"));
    given(&store, [Effect::InsertUser(user.clone().into()), Effect::InsertClient(client.clone().into())])
        .await;
    for round in 1..=5 {
        let raises = [
            Effect::RaiseUserEpoch { user: user.id, until: LATER.minus(round) },
            Effect::RaiseClientEpoch { client: client.key, until: LATER.minus(round) },
            Effect::SetUserEnabled(user.id, true),
            Effect::SetPassword { user: user.id, password: "$argon2id$new".into() },
        ];
        given(&store, raises).await;
        let from = Client::clone(&*store.client("web").await.unwrap().unwrap());
        let lower = Effect::UpdateClient { from: from.into(), to: client.clone().into() };
        given(&store, [lower]).await;
        assert_eq!(u64::from(store.user(user.id).await.unwrap().unwrap().epoch), round);
        assert_eq!(u64::from(store.client("web").await.unwrap().unwrap().epoch), round);
    }
    let revoked = all_revocations(&store).await;
    assert!(revoked.iter().all(|entry| entry.epoch == 5), "{revoked:?}");
    assert!(revoked.iter().all(|entry| entry.expires_at == LATER.minus(1)), "the latest time stays");
}

pub async fn a_disabled_user_stays_known(place: &dyn Place) {
    let store = place.open().await;
    let user = user("alice");
    given(&store, [Effect::InsertUser(user.clone().into())]).await;
    let told = given(&store, [Effect::SetUserEnabled(user.id, false)]).await;
    assert_eq!(told, [Change::User { id: user.id }]);
    assert!(!store.user_by_name("alice").await.unwrap().unwrap().enabled);
    let refused = store.commit(commit([Effect::SetUserEnabled(UserId(id()), false)])).await;
    assert!(matches!(refused, Err(CommitError::Missing("user"))), "{refused:?}");
}

pub async fn a_deleted_user_takes_everything_along(place: &dyn Place) {
    let store = place.open().await;
    let (user, app) = (user("alice"), Client { epoch: 3, ..client("web") });
    let client = app.key;
    let family = Family { user_epoch: user.epoch, ..family(user.id, client) };
    let (code, token, session) = (code(&family), refresh_token(&family), session(user.id));
    let effects = [
        Effect::InsertUser(user.clone().into()),
        Effect::InsertClient(app.into()),
        Effect::InsertFamily(family.clone().into()),
        Effect::InsertCode(code.clone().into()),
        begun(&token),
        Effect::InsertSession(session.clone().into()),
        Effect::PutConsent(consent(user.id, client, "openid")),
    ];
    given(&store, effects).await;
    let raise = Effect::RaiseUserEpoch { user: user.id, until: LATER };
    let told = given(&store, [raise, Effect::DeleteUser(user.id)]).await;
    assert!(told.contains(&Change::User { id: user.id }), "{told:?}");
    assert!(told.contains(&Change::Session { id: session.id }), "{told:?}");
    assert_eq!(store.user_by_name("alice").await.unwrap(), None);
    assert_eq!(store.family(family.id).await.unwrap(), None);
    assert_eq!(store.code(&code.digest).await.unwrap(), None);
    assert_eq!(row_of(&*store, &token).await, None);
    assert_eq!(store.session(&session.digest).await.unwrap(), None);
    assert_eq!(store.consents(user.id).await.unwrap(), []);
    assert_eq!(all_revocations(&store).await.len(), 1, "its tokens stay revoked");
}

pub async fn users_page_by_key(place: &dyn Place) {
    let store = place.open().await;
    let users: Vec<_> = (0..3).map(|number| user(&format!("user-{number}"))).collect();
    given(&store, users.iter().map(|user| Effect::InsertUser(user.clone().into()))).await;
    assert_eq!(store.users(None, 2).await.unwrap(), users[..2]);
    assert_eq!(store.users(Some(users[1].id), 2).await.unwrap(), users[2..]);
    assert_eq!(store.users(Some(users[2].id), 2).await.unwrap(), []);
}

pub async fn a_session_is_found_until_it_ends(place: &dyn Place) {
    let store = place.open().await;
    let session = session(UserId(id()));
    assert_eq!(given(&store, [Effect::InsertSession(session.clone().into())]).await, []);
    assert_eq!(store.session(&session.digest).await.unwrap().as_ref(), Some(&session));
    assert_eq!(store.session_by_id(session.id).await.unwrap().as_ref(), Some(&session));
    let told = given(&store, [Effect::EndSession(session.id)]).await;
    assert_eq!(told, [Change::Session { id: session.id }]);
    assert_eq!(store.session(&session.digest).await.unwrap(), None);
    assert_eq!(store.session_by_id(session.id).await.unwrap(), None);
    given(&store, [Effect::EndSession(session.id)]).await;
}

pub async fn a_sessions_last_use_never_moves_back(place: &dyn Place) {
    let store = place.open().await;
    let session = session(UserId(id()));
    given(&store, [Effect::InsertSession(session.clone().into())]).await;
    assert_eq!(given(&store, [Effect::TouchSession(session.id, NOW.plus(60))]).await, []);
    given(&store, [Effect::TouchSession(session.id, NOW.plus(30))]).await;
    assert_eq!(store.session_by_id(session.id).await.unwrap().unwrap().seen_at, NOW.plus(60));
    given(&store, [Effect::EndSession(session.id), Effect::TouchSession(session.id, LATER)]).await;
    assert_eq!(store.session_by_id(session.id).await.unwrap(), None, "it stays ended");
}

pub async fn all_sessions_of_a_user_end_at_once(place: &dyn Place) {
    let store = place.open().await;
    let (alice, bob) = (UserId(id()), UserId(id()));
    let sessions = [session(alice), session(alice), session(bob)];
    given(&store, sessions.iter().map(|session| Effect::InsertSession(session.clone().into()))).await;
    let newest_first = [sessions[1].clone(), sessions[0].clone()];
    assert_eq!(store.sessions(alice).await.unwrap(), newest_first);
    let told = given(&store, [Effect::EndSessions(alice)]).await;
    assert_eq!(told.len(), 2);
    assert_eq!(store.sessions(alice).await.unwrap(), []);
    assert_eq!(store.sessions(bob).await.unwrap(), sessions[2..]);
}

pub async fn a_consent_grows_and_is_forgotten(place: &dyn Place) {
    let store = place.open().await;
    let (user, client) = (UserId(id()), ClientKey(id()));
    let first = consent(user, client, "openid email");
    given(&store, [Effect::PutConsent(first.clone())]).await;
    assert_eq!(store.consent(user, client).await.unwrap().as_ref(), Some(&first));

    let mut second = consent(user, client, "profile openid");
    second.resources = vec!["https://other.example".into()];
    second.updated_at = NOW.plus(9);
    let other = consent(user, ClientKey(id()), "openid");
    given(&store, [Effect::PutConsent(second), Effect::PutConsent(other.clone())]).await;
    let grown = Consent {
        scopes: Scopes::parse("openid email profile").unwrap(),
        resources: vec!["https://api.example".into(), "https://other.example".into()],
        updated_at: NOW.plus(9),
        ..first
    };
    assert_eq!(store.consents(user).await.unwrap(), [other.clone(), grown]);

    let told = given(&store, [Effect::DeleteConsent(user, client)]).await;
    assert_eq!(told, [Change::Consent { user, client }]);
    assert_eq!(store.consents(user).await.unwrap(), [other]);
    assert_eq!(given(&store, [Effect::DeleteConsent(user, client)]).await, []);
}
