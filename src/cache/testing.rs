//! A store in memory for the tests of this folder: it can be slow, fail, hang and rewrite its history.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::watch;

use super::cached::{CacheOptions, Cached};
use crate::{model::*, resilience::Clock, store::*};

/// The moment at which the tests take place.
pub(super) const NOW: UnixTime = UnixTime(1_800_000_000);

/// What a test needs: a store, a node in front of it, and the node's clock.
pub(super) struct Node {
    pub(super) store: Arc<Fake>,
    pub(super) cached: Arc<Cached<Fake>>,
    pub(super) clock: Clock,
}

/// A node that has started, with three clients in its store.
pub(super) async fn node(options: CacheOptions) -> Node {
    let store = Arc::new(Fake::default());
    for n in 0..3 {
        store.state().clients.insert(client_key(n), client(n));
    }
    let clock = Clock::manual(NOW);
    let cached = Arc::new(Cached::new(store.clone(), options, clock.clone()));
    cached.tail().start().await.expect("the fake store answers");
    Node { store, cached, clock }
}

impl Node {
    /// Follows the feed until the test ends.
    pub(super) fn run(&self) {
        tokio::spawn(self.cached.tail().clone().run(std::future::pending()));
    }

    /// Whether its first client is enabled, as the node knows it.
    pub(super) async fn enabled(&self) -> bool {
        self.cached.client("client-0").await.expect("the store answers").expect("it exists").enabled
    }

    /// Commits through the node.
    pub(super) async fn commit(&self, effect: Effect) {
        self.cached.commit(commit(effect)).await.expect("the fake store commits");
    }
}

/// A commit with one effect.
pub(super) fn commit(effect: Effect) -> Commit {
    Commit { id: CommitId(id(0)), at: NOW, spend: None, effects: vec![effect] }
}

pub(super) fn id(n: u8) -> Id {
    Id([n; 16])
}

pub(super) fn client_key(n: u8) -> ClientKey {
    ClientKey(id(n + 1))
}

pub(super) fn client(n: u8) -> Client {
    Client {
        key: client_key(n),
        client_id: format!("client-{n}"),
        name: "A client".into(),
        grants: vec!["client_credentials".into()],
        access_lifetime: 600,
        refresh_idle_lifetime: 0,
        refresh_lifetime: 0,
        refresh_policy: RefreshPolicy::Never,
        created_at: NOW,
        updated_at: NOW,
        ..Client::default()
    }
}

pub(super) fn resource(uri: &str) -> Resource {
    Resource { id: id(9), uri: uri.into(), owner: None, created_at: NOW }
}

/// A token of a client, without family or user.
pub(super) fn token(client: ClientKey, n: u8) -> Revocable {
    Revocable { token: Some(TokenId(id(n))), family: None, client: (client, 0), user: None }
}

pub(super) fn revoke(client: ClientKey, n: u8) -> Effect {
    Effect::RevokeToken { token: TokenId(id(n)), client, until: NOW.plus(600) }
}

/// Where answers are held back, although the store has already done its work.
pub(super) struct Gate {
    open: watch::Sender<bool>,
    arrivals: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: watch::Sender::new(true), arrivals: watch::Sender::new(0) }
    }
}

impl Gate {
    pub(super) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until `n` answers have come this far since the start.
    pub(super) async fn arrived(&self, n: usize) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|arrived| *arrived >= n).await.expect("the gate outlives the wait");
    }

    /// Answers that have come this far since the start.
    pub(super) fn count(&self) -> usize {
        *self.arrivals.borrow()
    }

    pub(super) async fn pass(&self) {
        self.arrivals.send_modify(|arrived| *arrived += 1);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("the gate outlives the wait");
    }
}

/// What the store holds; tests may rewrite it behind the store's back.
#[derive(Default)]
pub(super) struct State {
    pub(super) clients: BTreeMap<ClientKey, Client>,
    pub(super) resources: BTreeMap<String, Resource>,
    pub(super) families: BTreeMap<FamilyId, Family>,
    pub(super) revocations: BTreeMap<(RevocationKind, Id), Revocation>,
    pub(super) changes: Vec<(u64, Change)>,
    pub(super) head: FeedPosition,
}

/// The store.
#[derive(Default)]
pub(super) struct Fake {
    state: Mutex<State>,
    statements: AtomicU64,
    failing: AtomicBool,
    /// Answers to reads of rows.
    pub(super) rows: Gate,
    /// Answers to reads of the feed.
    pub(super) feed: Gate,
    /// Reads of the feed on their way to the store.
    pub(super) feed_asked: Gate,
    /// Answers to commits.
    pub(super) commits: Gate,
}

impl Fake {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the state")
    }

    /// From now on every statement fails, or none.
    pub(super) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// Statements executed so far.
    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::SeqCst)
    }

    /// Does the work at once, and hands over its result when the gate is open.
    async fn statement<T>(&self, gate: &Gate, work: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        self.statements.fetch_add(1, Ordering::SeqCst);
        let down = || StoreError::new(StoreErrorKind::Connection, "down");
        let done =
            if self.failing.load(Ordering::SeqCst) { Err(down()) } else { Ok(work(&mut self.state())) };
        gate.pass().await;
        done
    }

    async fn row<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        self.statement(&self.rows, work).await
    }
}

impl State {
    fn apply(&mut self, effect: Effect) -> Vec<Change> {
        let mut revoke = |kind, id, epoch, client, expires_at| {
            let revocation = Revocation { kind, id, epoch, client, expires_at };
            self.revocations.insert((kind, id), revocation);
            vec![Change::revoked(revocation, NOW)]
        };
        match effect {
            Effect::SetClientEnabled(key, enabled) => {
                let client = self.clients.get_mut(&key).expect("a client of the test");
                client.enabled = enabled;
                vec![Change::Client { key, client_id: client.client_id.clone() }]
            }
            Effect::RaiseClientEpoch { client, until } => {
                let row = self.clients.get_mut(&client).expect("a client of the test");
                row.epoch += 1;
                revoke(RevocationKind::Client, client.0, row.epoch, client, until)
            }
            Effect::RevokeToken { token, client, until } => {
                revoke(RevocationKind::Token, token.0, 0, client, until)
            }
            Effect::RevokeFamily { family, client, until } => {
                if let Some(row) = self.families.get_mut(&family) {
                    row.revoked_at = Some(NOW);
                }
                revoke(RevocationKind::Family, family.0, 0, client, until)
            }
            Effect::InsertResource(resource) => {
                let uri = resource.uri.clone();
                self.resources.insert(uri.clone(), resource);
                vec![Change::Resource { uri }]
            }
            Effect::InsertKey(_) => vec![Change::Keys],
            other => panic!("no test uses {other:?}"),
        }
    }
}

#[async_trait]
impl Commits for Fake {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let work = |state: &mut State| {
            let changes: Vec<_> = commit.effects.into_iter().flat_map(|effect| state.apply(effect)).collect();
            for change in &changes {
                state.head.seq += 1;
                let seq = state.head.seq;
                state.changes.push((seq, change.clone()));
            }
            Committed { changes }
        };
        Ok(self.statement(&self.commits, work).await?)
    }
}

#[async_trait]
impl FeedReads for Fake {
    async fn feed(&self, seq: u64, limit: usize) -> Result<FeedPage, StoreError> {
        self.feed_asked.pass().await;
        let work = |state: &mut State| FeedPage {
            head: state.head,
            oldest: state.changes.first().map_or(state.head.seq + 1, |(seq, _)| *seq),
            changes: state.changes.iter().filter(|(at, _)| *at > seq).take(limit).cloned().collect(),
        };
        self.statement(&self.feed, work).await
    }

    async fn revocations(
        &self,
        after: Option<(RevocationKind, Id)>,
        limit: usize,
    ) -> Result<Vec<Revocation>, StoreError> {
        let later = |place: &(RevocationKind, Id)| after.is_none_or(|after| *place > after);
        self.row(|state| {
            let rows = state.revocations.iter().filter(|(place, _)| later(place));
            rows.map(|(_, row)| *row).take(limit).collect()
        })
        .await
    }

    async fn revocations_of(&self, ids: &[(RevocationKind, Id)]) -> Result<Vec<Revocation>, StoreError> {
        self.row(|state| ids.iter().filter_map(|id| state.revocations.get(id).copied()).collect()).await
    }
}

#[async_trait]
impl Clients for Fake {
    async fn client(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError> {
        self.row(|state| state.clients.values().find(|c| c.client_id == client_id).cloned().map(Arc::new))
            .await
    }
    async fn client_by_key(&self, key: ClientKey) -> Result<Option<Arc<Client>>, StoreError> {
        self.row(|state| state.clients.get(&key).cloned().map(Arc::new)).await
    }
    async fn clients(&self, _: Option<ClientKey>, _: usize) -> Result<Vec<Client>, StoreError> {
        self.row(|state| state.clients.values().cloned().collect()).await
    }
    async fn resource(&self, uri: &str) -> Result<Option<Arc<Resource>>, StoreError> {
        self.row(|state| state.resources.get(uri).cloned().map(Arc::new)).await
    }
    async fn resources(&self, _: Option<Id>, _: usize) -> Result<Vec<Resource>, StoreError> {
        self.row(|state| state.resources.values().cloned().collect()).await
    }
}

#[async_trait]
impl Users for Fake {
    async fn user(&self, _: UserId) -> Result<Option<Arc<User>>, StoreError> {
        self.row(|_| None).await
    }
    async fn user_by_name(&self, _: &str) -> Result<Option<User>, StoreError> {
        self.row(|_| None).await
    }
    async fn users(&self, _: Option<UserId>, _: usize) -> Result<Vec<User>, StoreError> {
        self.row(|_| vec![]).await
    }
    async fn session(&self, _: &Digest) -> Result<Option<Session>, StoreError> {
        self.row(|_| None).await
    }
    async fn session_by_id(&self, _: SessionId) -> Result<Option<Session>, StoreError> {
        self.row(|_| None).await
    }
    async fn sessions(&self, _: UserId) -> Result<Vec<Session>, StoreError> {
        self.row(|_| vec![]).await
    }
    async fn consent(&self, _: UserId, _: ClientKey) -> Result<Option<Consent>, StoreError> {
        self.row(|_| None).await
    }
    async fn consents(&self, _: UserId) -> Result<Vec<Consent>, StoreError> {
        self.row(|_| vec![]).await
    }
}

#[async_trait]
impl Grants for Fake {
    async fn code(&self, _: &Digest) -> Result<Option<Code>, StoreError> {
        self.row(|_| None).await
    }
    async fn rotation(&self, _: &RefreshToken, _: UnixTime) -> Result<Option<Rotation>, StoreError> {
        self.row(|_| None).await
    }
    async fn family(&self, id: FamilyId) -> Result<Option<Arc<Family>>, StoreError> {
        self.row(|state| state.families.get(&id).cloned().map(Arc::new)).await
    }
}

#[async_trait]
impl Keys for Fake {
    async fn signing_keys(&self, _: bool) -> Result<Vec<SigningKey>, StoreError> {
        self.row(|_| vec![]).await
    }
}

#[async_trait]
impl Upkeep for Fake {
    async fn probe(&self) -> Result<(), StoreError> {
        self.row(|_| ()).await
    }
    async fn sweep(&self, _: UnixTime, _: usize) -> Result<Swept, StoreError> {
        self.row(|_| vec![]).await
    }
    async fn backup(&self, _: &Path) -> Result<(), StoreError> {
        self.row(|_| ()).await
    }
    async fn restored(&self, _: UnixTime, _: UnixTime) -> Result<(), StoreError> {
        self.row(|state| state.head.epoch += 1).await
    }
    async fn schema_version(&self) -> Result<u32, StoreError> {
        self.row(|_| 1).await
    }
    async fn statistics(&self) -> Result<StorageStatistics, StoreError> {
        self.row(|_| StorageStatistics::default()).await
    }
    async fn close(&self) {}
}
