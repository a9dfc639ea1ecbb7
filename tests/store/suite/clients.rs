//! Clients and resources.

use chancery::{model::*, store::*};

use crate::store::fixtures::*;

pub async fn a_client_is_found_by_its_name_and_its_key(place: &dyn Place) {
    let store = place.open().await;
    let client = client("web");
    let told = given(&store, [Effect::InsertClient(client.clone().into())]).await;
    assert_eq!(told, [Change::Client { key: client.key, client_id: "web".into() }]);
    assert_eq!(store.client("web").await.unwrap().as_deref(), Some(&client));
    assert_eq!(store.client_by_key(client.key).await.unwrap().as_deref(), Some(&client));
    assert_eq!(store.client("Web").await.unwrap(), None);
    assert_eq!(store.client_by_key(ClientKey(id())).await.unwrap(), None);
}

pub async fn a_client_id_is_taken_once(place: &dyn Place) {
    let store = place.open().await;
    let first = client("web");
    given(&store, [Effect::InsertClient(first.clone().into())]).await;
    let refused = store.commit(commit([Effect::InsertClient(client("web").into())])).await;
    assert!(matches!(refused, Err(CommitError::Conflict("client"))), "{refused:?}");
    assert_eq!(store.client("web").await.unwrap().as_deref(), Some(&first));
}

pub async fn an_edit_changes_neither_name_nor_epoch_nor_birth(place: &dyn Place) {
    let store = place.open().await;
    let made = client("web");
    let raise = Effect::RaiseClientEpoch { client: made.key, until: LATER };
    given(&store, [Effect::InsertClient(made.clone().into()), raise]).await;
    let edit = Client {
        client_id: "other".into(),
        name: "Renamed".into(),
        enabled: false,
        epoch: 0,
        created_at: LATER,
        updated_at: NOW.plus(5),
        ..made.clone()
    };
    let read = store.client("web").await.unwrap().unwrap();
    let update = Effect::UpdateClient { from: Client::clone(&read).into(), to: edit.clone().into() };
    let told = given(&store, [update.clone()]).await;
    assert_eq!(told, [Change::Client { key: made.key, client_id: "web".into() }]);
    // Whoever read it before must read it again, so that two edits at once lose neither.
    let late = store.commit(commit([update])).await;
    assert!(matches!(late, Err(CommitError::Changed("client"))), "{late:?}");
    let expected = Client { client_id: "web".into(), enabled: true, epoch: 1, created_at: NOW, ..edit };
    assert_eq!(store.client("web").await.unwrap().as_deref(), Some(&expected));
    assert_eq!(store.client("other").await.unwrap(), None);
}

pub async fn an_edit_keeps_the_fields_of_a_newer_version(place: &dyn Place) {
    let store = place.open().await;
    let newer = serde_json::json!({ "logo_uri": "https://app.example/logo.png", "contacts": ["a"] });
    let newer = newer.as_object().expect("an object").clone();
    let made = Client { unknown_fields: newer.clone(), ..client("web") };
    given(&store, [Effect::InsertClient(made.clone().into())]).await;
    let read = store.client("web").await.unwrap().unwrap();
    let edit = Client { name: "Renamed".into(), ..Client::clone(&read) };
    given(&store, [Effect::UpdateClient { from: Client::clone(&read).into(), to: edit.into() }]).await;
    let edited = store.client("web").await.unwrap().unwrap();
    assert_eq!((edited.name.as_str(), &edited.unknown_fields), ("Renamed", &newer));
}

pub async fn disabling_a_client_is_kept_and_told(place: &dyn Place) {
    let store = place.open().await;
    let client = client("web");
    given(&store, [Effect::InsertClient(client.clone().into())]).await;
    for enabled in [false, true] {
        let told = given(&store, [Effect::SetClientEnabled(client.key, enabled)]).await;
        assert_eq!(told, [Change::Client { key: client.key, client_id: "web".into() }]);
        assert_eq!(store.client("web").await.unwrap().unwrap().enabled, enabled);
    }
}

pub async fn raising_a_clients_epoch_revokes_what_was_issued_below_it(place: &dyn Place) {
    let store = place.open().await;
    let client = client("web");
    given(&store, [Effect::InsertClient(client.clone().into())]).await;
    let told = given(&store, [Effect::RaiseClientEpoch { client: client.key, until: LATER }]).await;
    let revocation = Revocation {
        kind: RevocationKind::Client,
        id: client.key.0,
        epoch: 1,
        client: client.key,
        expires_at: LATER,
    };
    assert!(told.contains(&Change::revoked(revocation, NOW)), "{told:?}");
    assert!(told.contains(&Change::Client { key: client.key, client_id: "web".into() }), "{told:?}");
    assert_eq!(store.client("web").await.unwrap().unwrap().epoch, 1);
    assert_eq!(all_revocations(&store).await, [revocation]);
}

pub async fn a_deleted_client_takes_everything_it_was_given_along(place: &dyn Place) {
    let store = place.open().await;
    let (client, person) = (client("web"), User { epoch: 4, ..user("alice") });
    let user = person.id;
    let family = Family { client_epoch: client.epoch, ..family(user, client.key) };
    let (code, token) = (code(&family), refresh_token(&family));
    let (other, _) = stored_code(&store).await;
    let effects = [
        Effect::InsertClient(client.clone().into()),
        Effect::InsertUser(person.into()),
        Effect::InsertFamily(family.clone().into()),
        Effect::InsertCode(code.clone().into()),
        begun(&token),
        Effect::PutConsent(consent(user, client.key, "openid")),
    ];
    given(&store, effects).await;
    given(
        &store,
        [Effect::RaiseClientEpoch { client: client.key, until: LATER }, Effect::DeleteClient(client.key)],
    )
    .await;
    assert_eq!(store.client("web").await.unwrap(), None);
    assert_eq!(store.family(family.id).await.unwrap(), None);
    assert_eq!(store.code(&code.digest).await.unwrap(), None);
    assert_eq!(row_of(&*store, &token).await, None);
    assert_eq!(store.consent(user, client.key).await.unwrap(), None);
    assert_eq!(all_revocations(&store).await.len(), 1, "its tokens stay revoked");
    assert!(store.family(other.id).await.unwrap().is_some(), "others are untouched");
}

pub async fn what_is_done_to_a_missing_client_is_refused(place: &dyn Place) {
    let store = place.open().await;
    let key = ClientKey(id());
    for effect in [
        Effect::UpdateClient { from: client("web").into(), to: client("web").into() },
        Effect::SetClientEnabled(key, false),
        Effect::RaiseClientEpoch { client: key, until: LATER },
        Effect::DeleteClient(key),
    ] {
        let refused = store.commit(commit([effect])).await;
        assert!(matches!(refused, Err(CommitError::Missing("client"))), "{refused:?}");
    }
    assert_eq!(store.feed(0, 10).await.unwrap().changes, []);
}

pub async fn clients_page_by_key(place: &dyn Place) {
    let store = place.open().await;
    let clients: Vec<_> = (0..5).map(|number| client(&format!("client-{number}"))).collect();
    given(&store, clients.iter().rev().map(|client| Effect::InsertClient(client.clone().into()))).await;
    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(|last: &Client| last.key);
        let page = store.clients(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, clients);
}

pub async fn resources_are_found_by_uri_and_deleted(place: &dyn Place) {
    let store = place.open().await;
    let (first, second) =
        (resource("https://a.example", Some(ClientKey(id()))), resource("https://b.example", None));
    let insert = [Effect::InsertResource(first.clone()), Effect::InsertResource(second.clone())];
    let told = given(&store, insert).await;
    assert_eq!(told[0], Change::Resource { uri: first.uri.clone() });
    assert_eq!(store.resource(&first.uri).await.unwrap().as_deref(), Some(&first));
    assert_eq!(store.resources(None, 1).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(store.resources(Some(first.id), 10).await.unwrap(), [second]);

    let again = store.commit(commit([Effect::InsertResource(resource(&first.uri, None))])).await;
    assert!(matches!(again, Err(CommitError::Conflict("resource"))), "{again:?}");
    given(&store, [Effect::DeleteResource(first.uri.clone())]).await;
    assert_eq!(store.resource(&first.uri).await.unwrap(), None);
    let again = store.commit(commit([Effect::DeleteResource(first.uri)])).await;
    assert!(matches!(again, Err(CommitError::Missing("resource"))), "{again:?}");
}
