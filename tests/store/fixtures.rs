//! Records to store, each different from every other, and the commits that store them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chancery::{model::*, store::*};

/// The time in these tests.
pub const NOW: UnixTime = UnixTime(1_700_000_000);

/// A year later: nothing lives so long.
pub const LATER: UnixTime = UnixTime(NOW.0 + 365 * 24 * 60 * 60);

/// Where one test's data lies. Every handle opened on it is another node of the same installation.
#[async_trait]
pub trait Place: Send + Sync {
    async fn open(&self) -> Arc<dyn Store>;

    /// For how long a node may go on answering from what it knew before another committed.
    fn staleness(&self) -> Duration {
        Duration::ZERO
    }

    /// How often callers race for the same value.
    fn rounds(&self) -> usize {
        100
    }
}

/// An id later than every other.
pub fn id() -> Id {
    let count = count();
    let mut random = [0; 10];
    random[2..].copy_from_slice(&count.to_be_bytes());
    Id::new(NOW.0 * 1000 + count, random)
}

fn count() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

pub fn digest() -> Digest {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&count().to_be_bytes());
    Digest(digest)
}

pub fn commit(effects: impl IntoIterator<Item = Effect>) -> Commit {
    Commit { id: CommitId(id()), at: NOW, spend: None, effects: effects.into_iter().collect() }
}

pub fn spending(spend: Spend, effects: impl IntoIterator<Item = Effect>) -> Commit {
    Commit { spend: Some(spend), ..commit(effects) }
}

/// Stores what a test stands on; that it can be stored is another test's matter.
pub async fn given(store: &Arc<dyn Store>, effects: impl IntoIterator<Item = Effect>) -> Vec<Change> {
    store.commit(commit(effects)).await.expect("what the test stands on is stored").changes
}

pub fn client(client_id: &str) -> Client {
    Client {
        key: ClientKey(id()),
        client_id: client_id.to_owned(),
        name: "A client".to_owned(),
        secrets: vec![ClientSecret { digest: digest(), created_at: NOW, expires_at: Some(LATER) }],
        redirect_uris: vec!["https://client.example/callback".to_owned()],
        grants: vec!["authorization_code".to_owned()],
        scopes: ["openid", "profile"].into_iter().collect(),
        token_format: TokenFormat::Jwt(SigningAlg::EdDSA),
        access_lifetime: 3600,
        refresh_idle_lifetime: 86_400,
        refresh_lifetime: 864_000,
        refresh_policy: RefreshPolicy::Always,
        retry_window: Some(10),
        created_at: NOW,
        updated_at: NOW,
        ..Client::default()
    }
}

pub fn user(username: &str) -> User {
    let claims =
        serde_json::json!({ "name": "Alice Ä", "email": "alice@example.com", "email_verified": true });
    User {
        id: UserId(id()),
        username: username.to_owned(),
        password: Some("$argon2id$first".to_owned()),
        claims: claims.as_object().expect("an object").clone(),
        created_at: NOW,
        updated_at: NOW,
        ..User::default()
    }
}

pub fn session(user: UserId) -> Session {
    Session {
        id: SessionId(id()),
        digest: digest(),
        user,
        user_epoch: 0,
        auth_time: NOW,
        amr: vec!["pwd".to_owned()],
        user_agent: "Browser".to_owned(),
        seen_at: NOW,
        expires_at: NOW.plus(3600),
    }
}

pub fn consent(user: UserId, client: ClientKey, scopes: &str) -> Consent {
    Consent {
        id: id(),
        user,
        client,
        scopes: Scopes::parse(scopes).expect("scopes"),
        resources: vec!["https://api.example".to_owned()],
        created_at: NOW,
        updated_at: NOW,
    }
}

pub fn family(user: UserId, client: ClientKey) -> Family {
    Family {
        id: FamilyId(id()),
        client,
        client_epoch: 3,
        user,
        user_epoch: 4,
        session: Some(SessionId(id())),
        scopes: ["openid", "email"].into_iter().collect(),
        resources: vec!["https://api.example".to_owned()],
        claims: RequestedClaims { userinfo: vec!["email".to_owned()], id_token: Vec::new() },
        auth_time: NOW,
        amr: vec!["pwd".to_owned()],
        refreshable: true,
        created_at: NOW,
        expires_at: NOW.plus(864_000),
        revoked_at: None,
    }
}

pub fn code(family: &Family) -> Code {
    Code {
        id: RowId(id()),
        digest: digest(),
        family: family.id,
        client: family.client,
        redirect_uri: "https://client.example/callback".to_owned(),
        challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned()),
        nonce: Some("n-0S6_WzA2Mj".to_owned()),
        created_at: NOW,
        expires_at: NOW.plus(60),
        spent_by: None,
    }
}

/// The first refresh token of a family.
pub fn refresh_token(family: &Family) -> RefreshToken {
    RefreshToken { family: family.id, generation: 0, digest: digest() }
}

/// Makes a first refresh token the current one of its family.
pub fn begun(token: &RefreshToken) -> Effect {
    Effect::InsertRefreshToken { token: *token, expires_at: NOW.plus(86_400) }
}

/// The client and the user of a family, under the epochs it began with.
pub fn people(family: &Family) -> [Effect; 2] {
    let client = Client {
        key: family.client,
        epoch: family.client_epoch,
        ..client(&format!("client of {}", family.id))
    };
    let user = User { id: family.user, epoch: family.user_epoch, ..user(&format!("user of {}", family.id)) };
    [Effect::InsertClient(client.into()), Effect::InsertUser(user.into())]
}

pub fn signing_key(kid: &str, alg: SigningAlg, state: KeyState) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        alg,
        state,
        sealed: b"sealed".to_vec(),
        created_at: NOW,
        activated_at: None,
        retired_at: None,
        gone_at: None,
    }
}

pub fn resource(uri: &str, owner: Option<ClientKey>) -> Resource {
    Resource { id: id(), uri: uri.to_owned(), owner, created_at: NOW }
}

/// A family with a code, stored.
pub async fn stored_code(store: &Arc<dyn Store>) -> (Family, Code) {
    let family = family(UserId(id()), ClientKey(id()));
    let code = code(&family);
    given(store, [Effect::InsertFamily(family.clone().into()), Effect::InsertCode(code.clone().into())])
        .await;
    (family, code)
}

/// What makes a family that stands, with its first refresh token.
pub fn standing() -> (Family, RefreshToken, Vec<Effect>) {
    let family = family(UserId(id()), ClientKey(id()));
    let token = refresh_token(&family);
    let effects =
        people(&family).into_iter().chain([Effect::InsertFamily(family.clone().into()), begun(&token)]);
    (family, token, effects.collect())
}

/// A family that stands, with its first refresh token, stored.
pub async fn stored_refresh_token(store: &Arc<dyn Store>) -> (Family, RefreshToken) {
    let (family, token, effects) = standing();
    given(store, effects).await;
    (family, token)
}

/// The rotation of a refresh token: what its commit spends, and the token that follows.
pub fn rotation(token: &RefreshToken) -> (Spend, RefreshToken) {
    let next = token.successor(digest());
    let spend = Spend::Refresh {
        token: *token,
        successor: next.digest,
        expires_at: NOW.plus(86_400),
        retry_request: Digest([1; 32]),
        retry_answer: Some(b"the answer, sealed".to_vec()),
    };
    (spend, next)
}

/// The row that a token names.
pub async fn row_of(store: &(impl Grants + ?Sized), token: &RefreshToken) -> Option<Rotation> {
    store.rotation(token, NOW).await.expect("a read")
}

/// Whether a token is the one of its family that can be used.
pub async fn is_current(store: &(impl Grants + ?Sized), token: &RefreshToken) -> bool {
    row_of(store, token).await.is_some_and(|row| row.current == *token)
}

/// Every revocation, read page by page.
pub async fn all_revocations(store: &Arc<dyn Store>) -> Vec<Revocation> {
    let mut all: Vec<Revocation> = Vec::new();
    loop {
        let after = all.last().map(|last| (last.kind, last.id));
        let page = store.revocations(after, 2).await.expect("revocations");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
