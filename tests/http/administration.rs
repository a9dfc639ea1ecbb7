//! What an operator's command does to requests.

use chancery::{model::*, store::Effect};

use crate::http::{
    app::TestApp,
    browser::{self, Browser},
};

/// What a person holds: an access token and a refresh token.
struct Held {
    access: String,
    refresh: String,
}

async fn hold(app: &TestApp, client: &Client, user: &User) -> Held {
    let code = app.code(client, user, "openid offline_access").await;
    let tokens = app.redeem(client, &code).await;
    Held { access: tokens.text("access_token"), refresh: tokens.text("refresh_token") }
}

async fn active(app: &TestApp, client: &Client, held: &Held) -> [bool; 3] {
    [
        app.is_active(&client.client_id, &held.access).await,
        app.userinfo(&held.access).await.status == 200,
        app.is_active(&client.client_id, &held.refresh).await,
    ]
}

/// R61
#[tokio::test]
async fn disabling_a_user_ends_everything_and_enabling_brings_nothing_back() {
    let app = browser::site().await;
    let client = app.client("web-2", |_| {}).await;
    let user = app.provider.administration.find_user("alice").await.expect("the site has her");
    let other = app.user("bob").await;
    let (held, others) = (hold(&app, &client, &user).await, hold(&app, &client, &other).await);
    let mut person = Browser::default();
    person.sign_in(&app, &browser::request("")).await;
    assert_eq!(active(&app, &client, &held).await, [true; 3]);
    assert_eq!(app.provider.store.sessions(user.id).await.expect("the store answers").len(), 1);
    for enabled in [false, true] {
        app.provider.administration.set_user_enabled("alice", enabled).await.expect("it is done");
        assert_eq!(active(&app, &client, &held).await, [false; 3], "enabled: {enabled}");
        let refused = app.refresh("web-2", &held.refresh).await.error();
        assert_eq!(refused, (400, "invalid_grant".into()), "enabled: {enabled}");
        assert_eq!(app.provider.store.sessions(user.id).await.expect("the store answers"), []);
        assert!(person.get(&app, "/account").await.location().starts_with("/login"), "enabled: {enabled}");
    }
    assert_eq!(active(&app, &client, &others).await, [true; 3], "another person's");
}

/// R61
#[tokio::test]
async fn disabling_a_client_ends_everything_and_enabling_brings_nothing_back() {
    let app = TestApp::start().await;
    let (client, other) = (app.client("web", |_| {}).await, app.client("other", |_| {}).await);
    app.client("watcher", |client| client.introspect_any = true).await;
    let user = app.user("alice").await;
    let (held, others) = (hold(&app, &client, &user).await, hold(&app, &other, &user).await);
    assert!(app.is_active("watcher", &held.access).await);
    for enabled in [false, true] {
        app.provider.administration.set_client_enabled("web", enabled).await.expect("it is done");
        assert!(!app.is_active("watcher", &held.access).await, "enabled: {enabled}");
        assert_eq!(app.userinfo(&held.access).await.status, 401, "enabled: {enabled}");
        assert_ne!(app.refresh("web", &held.refresh).await.status, 200, "enabled: {enabled}");
    }
    assert_eq!(active(&app, &other, &others).await, [true; 3], "another client's");
}

/// Lists are read in pages of 200.
#[tokio::test]
async fn lists_go_on_to_their_last_page() {
    let app = TestApp::start().await;
    let moment = app.clock.now();
    let (template, client) = (app.user("first").await, app.client("first", |_| {}).await);
    for count in 1..=401_u16 {
        let id = Id::new(moment.0 * 1000 + u64::from(count), [0; 10]);
        let user = User { id: UserId(id), username: format!("user-{count}"), ..template.clone() };
        let client = Client { key: ClientKey(id), client_id: format!("client-{count}"), ..client.clone() };
        let resource = Resource { id, uri: format!("urn:{count}"), owner: None, created_at: moment };
        app.commit(vec![
            Effect::InsertUser(Box::new(user)),
            Effect::InsertClient(Box::new(client)),
            Effect::InsertResource(resource),
        ])
        .await;
    }
    let distinct = |mut names: Vec<String>| {
        names.sort_unstable();
        names.dedup();
        names.len()
    };
    let users = app.provider.administration.all_users().await.expect("a list");
    assert_eq!((users.len(), distinct(users.into_iter().map(|user| user.username).collect())), (402, 402));
    let clients = app.provider.administration.all_clients().await.expect("a list");
    let ids = clients.iter().map(|client| client.client_id.clone()).collect();
    assert_eq!((clients.len(), distinct(ids)), (402, 402));
    let resources = app.provider.administration.all_resources().await.expect("a list");
    let uris = resources.iter().map(|resource| resource.uri.clone()).collect();
    assert_eq!((resources.len(), distinct(uris)), (401, 401));
}
