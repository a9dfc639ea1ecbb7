//! Single use under concurrency: the store decides once, and everybody learns the truth.

use chancery::store::Effect;

use crate::http::{
    app::TestApp,
    browser::{Browser, PASSWORD, redeem, request, site},
};

const AT_ONCE: usize = 50;
const ROUNDS: usize = 100;

/// R21, R22, T04
#[tokio::test]
async fn of_fifty_redemptions_of_one_code_one_succeeds_and_then_its_tokens_are_dead() {
    let app = TestApp::start().await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    for round in 0..ROUNDS {
        let code = app.code(&client, &user, "openid offline_access").await;
        let answers = all((0..AT_ONCE).map(|_| app.redeem(&client, &code))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1, "round {round}");
        for answer in lost {
            assert_eq!(answer.error(), (400, "invalid_grant".into()));
        }
        let (access, refresh) = (won[0].text("access_token"), won[0].text("refresh_token"));
        assert!(!app.is_active("web", &access).await && !app.is_active("web", &refresh).await);
        assert_eq!(app.refresh("web", &refresh).await.status, 400);
    }
}

/// R24, T05
#[tokio::test]
async fn fifty_refreshes_of_one_token_give_one_successor_and_identical_bytes() {
    let app = TestApp::start().await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    for round in 0..ROUNDS {
        let held = app.authorized(&client, &user, "openid offline_access").await;
        let answers = all((0..AT_ONCE).map(|_| app.refresh("web", &held.refresh_token))).await;
        let bodies: std::collections::HashSet<_> = answers.iter().map(|answer| &answer.body).collect();
        let failed = answers.iter().find(|answer| answer.status != 200);
        assert!(failed.is_none(), "round {round}: {failed:?}");
        assert_eq!(bodies.len(), 1, "round {round}");
        let access = answers[0].text("access_token");
        assert!(app.is_active("web", &access).await);
        // Outside the window the same token is reuse, and the family dies.
        app.clock.advance(std::time::Duration::from_secs(10));
        assert_eq!(app.refresh("web", &held.refresh_token).await.error(), (400, "invalid_grant".into()));
        assert!(!app.is_active("web", &access).await);
    }
}

/// Whoever comes too late for a grant is refused, whatever was deleted meanwhile; nothing fails.
#[tokio::test]
async fn a_grant_that_is_deleted_while_it_is_redeemed_is_refused() {
    let app = TestApp::start().await;
    for round in 0..ROUNDS {
        let (client, user) =
            (app.client(&format!("web-{round}"), |_| {}).await, app.user(&format!("user-{round}")).await);
        let code = app.code(&client, &user, "openid offline_access").await;
        let held = app.authorized(&client, &user, "openid offline_access").await;
        let until = app.clock.now().plus(100_000);
        let delete = async {
            app.commit(vec![Effect::RaiseUserEpoch { user: user.id, until }, Effect::DeleteUser(user.id)])
                .await;
        };
        let redeem = all((0..4).map(|_| app.redeem(&client, &code)));
        let refresh = all((0..4).map(|_| app.refresh(&client.client_id, &held.refresh_token)));
        let (redeemed, refreshed, ()) = tokio::join!(redeem, refresh, delete);
        for answer in redeemed.into_iter().chain(refreshed) {
            assert!(matches!(answer.status, 200 | 400), "round {round}: {answer:?}");
        }
    }
}

/// R61: a code that is issued while its session is ended does not outlive it.
#[tokio::test]
async fn no_code_slips_through_while_its_session_is_ended() {
    let app = site().await;
    Browser::default().authorized(&app, &request("")).await;
    for round in 0..30 {
        let mut browser = Browser::default();
        browser.sign_in_as(&app, "alice", PASSWORD).await;
        let csrf = browser.get(&app, "/oauth/logout").await.field("csrf");
        let silent = request("&prompt=none");
        let authorize = all((0..16).map(|_| {
            let (mut same, app, silent) = (browser.clone(), &app, &silent);
            async move { same.get(app, silent).await.param("code") }
        }));
        let (mut same, form) = (browser.clone(), [("csrf", &*csrf), ("action", "confirm")]);
        let (codes, ended) = tokio::join!(authorize, same.post(&app, "/oauth/logout", &form));
        assert!(ended.body.contains("logout-success"), "{}", ended.body);
        for code in codes.into_iter().flatten() {
            assert_eq!(redeem(&app, &code).await.status, 400, "round {round}");
        }
    }
}

/// Runs futures at once and waits for all.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures_util::future::join_all(futures).await
}
