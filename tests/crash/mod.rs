//! `kill -9` in the middle of a load: what was acknowledged is still there after the restart (F1, I1, I2, I5).

mod server;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chancery::{
    crypto::opaque::Opaque,
    model::*,
    store::{Commit, Effect},
};
use server::{Machine, Server};
use tokio::sync::Semaphore;

const ROUNDS: usize = 10;
const CALLERS: usize = 8;

/// What the server has said yes to.
#[derive(Default)]
struct Acknowledged {
    revoked: Vec<String>,
    standing: Vec<String>,
    /// Codes that were redeemed, and the refresh token of each.
    redeemed: Vec<(String, String)>,
    users: Vec<UserId>,
}

/// R41, T09
#[tokio::test]
async fn every_acknowledged_revocation_family_and_user_survives_kill_9() {
    let machine = Machine::prepare().await;
    let known = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..ROUNDS {
        let server = Server::start(&machine).await;
        check(&machine, &server, &known, round).await;
        let acknowledged = Arc::new(Semaphore::new(0));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                tokio::spawn(load(machine.clone(), server.url.clone(), known.clone(), acknowledged.clone()))
            })
            .collect();
        // Each round dies at another point of its load.
        let enough = acknowledged.acquire_many(40 + 37 * round as u32);
        let enough = tokio::time::timeout(Duration::from_secs(60), enough).await;
        let _ = enough.expect("the server acknowledges the load").expect("nobody closes it");
        server.kill();
        for caller in callers {
            caller.await.expect("a caller that fails to connect ends quietly");
        }
    }
    let server = Server::start(&machine).await;
    check(&machine, &server, &known, ROUNDS).await;
    let known = known.lock().expect("no caller panicked");
    assert!(
        known.revoked.len() > 50 && known.redeemed.len() > 50 && known.users.len() > 50,
        "there was a load"
    );
}

/// Calls until the server is gone; remembers only what was acknowledged.
async fn load(machine: Machine, url: String, known: Arc<Mutex<Acknowledged>>, count: Arc<Semaphore>) {
    let http = reqwest::Client::new();
    loop {
        let Some(kept) = server::machine_token(&http, &url).await else { return };
        let Some(token) = server::machine_token(&http, &url).await else { return };
        let revoked = server::post(&http, &url, "/oauth/revoke", &[("token", &token)]).await;
        if revoked.is_none_or(|(status, _)| status != 200) {
            return;
        }
        let code = machine.code().await;
        let Some((200, body)) = server::redeem(&http, &url, &code).await else { return };
        let refresh = body["refresh_token"].as_str().expect("a refresh token").to_owned();
        let user = machine.user().await;
        let mut known = known.lock().expect("no caller panicked");
        known.standing.push(kept);
        known.revoked.push(token);
        known.redeemed.push((code, refresh));
        known.users.push(user);
        count.add_permits(1);
    }
}

async fn check(machine: &Machine, server: &Server, known: &Mutex<Acknowledged>, round: usize) {
    let (revoked, standing, redeemed, users) = {
        let known = known.lock().expect("no caller panicked");
        (known.revoked.clone(), known.standing.clone(), known.redeemed.clone(), known.users.clone())
    };
    let http = reqwest::Client::new();
    for (tokens, active) in [(&revoked, false), (&standing, true)] {
        for chunk in tokens.chunks(500) {
            for result in server::introspect_batch(&http, &server.url, chunk).await {
                assert_eq!(result["active"], active, "round {round}: an acknowledged answer was undone");
            }
        }
    }
    for (_, refresh) in redeemed.iter().rev().take(20) {
        let family = server::introspect_batch(&http, &server.url, std::slice::from_ref(refresh)).await;
        assert_eq!(family[0]["active"], true, "round {round}: a family is gone");
    }
    for user in &users {
        assert!(
            machine.store().user(*user).await.expect("a read").is_some(),
            "round {round}: a user is gone"
        );
    }
    machine.check_integrity();
    // A spent code stays spent: presenting it again kills its family, so each is tried once.
    if let Some((code, refresh)) = redeemed.first().cloned() {
        let (status, body) = server::redeem(&http, &server.url, &code).await.expect("an answer");
        assert_eq!(
            (status, &body["error"]),
            (400, &"invalid_grant".into()),
            "round {round}: a code lives again"
        );
        let dead = server::introspect_batch(&http, &server.url, &[refresh]).await;
        assert_eq!(dead[0]["active"], false);
        known.lock().expect("no caller panicked").redeemed.remove(0);
    }
}

impl Machine {
    fn store(&self) -> &Arc<dyn chancery::store::Store> {
        &self.provider.store
    }

    async fn commit(&self, effects: Vec<Effect>) {
        let id = CommitId(self.id());
        let commit = Commit { id, at: self.provider.clock.now(), spend: None, effects };
        self.store().commit(commit).await.expect("a commit");
    }

    fn id(&self) -> Id {
        self.provider.random.id(self.provider.clock.millis())
    }

    /// A user, committed beside the server's own writes.
    async fn user(&self) -> UserId {
        let user = UserId(self.id());
        self.commit(vec![Effect::InsertUser(Box::new(server::user(user, &user.to_string())))]).await;
        user
    }

    /// A code, as the browser's part of the flow leaves it.
    async fn code(&self) -> String {
        let (text, digest) = self.provider.opaque.issue(Opaque::Code, &self.provider.random);
        let now = self.provider.clock.now();
        let family = server::family(FamilyId(self.id()), self.client, self.alice, now);
        let code = Code {
            id: RowId(self.id()),
            digest,
            family: family.id,
            client: self.client,
            redirect_uri: server::REDIRECT.into(),
            challenge: None,
            nonce: None,
            created_at: now,
            expires_at: now.plus(60),
            spent_by: None,
        };
        self.commit(vec![Effect::InsertFamily(Box::new(family)), Effect::InsertCode(Box::new(code))]).await;
        text.expose().clone()
    }
}
