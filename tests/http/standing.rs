//! R27 — what the caches do not know yet is asked of the revocation index, and decides.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use chancery::store::{Revocable, RevocationIndex, Stale};

use crate::http::app::TestApp;

/// An index that hears of every revocation at once, while the caches have not heard of any.
#[derive(Default)]
struct Ahead {
    revoked: AtomicBool,
    stale: AtomicBool,
}

impl Ahead {
    fn answer(&self) -> Result<bool, Stale> {
        if self.stale.load(Relaxed) { Err(Stale) } else { Ok(self.revoked.load(Relaxed)) }
    }
}

#[async_trait]
impl RevocationIndex for Ahead {
    async fn is_revoked(&self, _: &Revocable, _: bool) -> Result<bool, Stale> {
        self.answer()
    }

    async fn are_revoked(&self, what: &[Revocable], _: bool) -> Result<Vec<bool>, Stale> {
        Ok(vec![self.answer()?; what.len()])
    }

    async fn confirm_fresh(&self) -> Result<(), Stale> {
        self.answer().map(drop)
    }

    fn is_fresh(&self) -> bool {
        !self.stale.load(Relaxed)
    }
}

/// R27
#[tokio::test]
async fn nothing_is_issued_for_an_authorization_that_the_index_knows_to_be_revoked() {
    let index = Arc::new(Ahead::default());
    let app = TestApp::start_with_index(index.clone()).await;
    let (client, user) = (app.client("web", |_| {}).await, app.user("alice").await);
    let code = app.code(&client, &user, "openid").await;
    let [spent, unspent] = [
        app.authorized(&client, &user, "read offline_access").await.refresh_token,
        app.authorized(&client, &user, "read offline_access").await.refresh_token,
    ];
    let first = app.refresh("web", &spent).await;
    assert_eq!(first.status, 200, "{first:?}");
    for (revoked, stale, refusal) in
        [(true, false, (400, "invalid_grant")), (false, true, (503, "temporarily_unavailable"))]
    {
        index.revoked.store(revoked, Relaxed);
        index.stale.store(stale, Relaxed);
        let refusal = (refusal.0, refusal.1.to_owned());
        assert_eq!(app.redeem(&client, &code).await.error(), refusal, "a code");
        assert_eq!(app.refresh("web", &unspent).await.error(), refusal, "a refresh token");
        assert_eq!(app.refresh("web", &spent).await.error(), refusal, "a retry");
    }
    index.stale.store(false, Relaxed);
    assert_eq!(app.refresh("web", &spent).await.body, first.body, "nothing was spent by the refusals");
    assert_eq!(app.redeem(&client, &code).await.status, 200);
    assert_eq!(app.refresh("web", &unspent).await.status, 200);
}
