//! The revocation index: everything revoked that would otherwise still be alive.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use crate::{model::*, store::Revocable};

/// Entries expire in batches of so many seconds.
const BATCH: u64 = 60;

/// Tokens and families that were revoked, and the epochs of users and clients. Reading takes no lock.
#[derive(Debug)]
pub struct Index {
    current: ArcSwap<IndexContents>,
    /// Held by whoever writes; inside, the successor of `current` while that is loaded.
    writer: Mutex<Option<Arc<IndexContents>>>,
    /// The most tokens and families kept for one client.
    cap: usize,
}

/// What memory says about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something it hangs on is revoked.
    Revoked,
    /// Nothing is.
    Alive,
    /// Its client has more revocations than are kept; only the store knows.
    AskStore,
}

#[derive(Debug, Default)]
struct IndexContents {
    tokens: papaya::HashMap<Id, RevokedEntry>,
    families: papaya::HashMap<Id, RevokedEntry>,
    users: papaya::HashMap<Id, Raised>,
    clients: papaya::HashMap<Id, Raised>,
    /// Clients above the cap, until the last entry that was not kept has expired.
    overflowed: papaya::HashMap<ClientKey, UnixTime>,
    ledger: Mutex<Ledger>,
}

#[derive(Clone, Copy, Debug)]
struct RevokedEntry {
    client: ClientKey,
    until: UnixTime,
}

#[derive(Clone, Copy, Debug)]
struct Raised {
    epoch: u32,
    until: UnixTime,
}

/// What only the writer looks at.
#[derive(Debug, Default)]
struct Ledger {
    /// Tokens and families kept, by client.
    live: HashMap<ClientKey, usize>,
    /// What may expire, by batch.
    due: BTreeMap<u64, Vec<(RevocationKind, Id)>>,
}

/// To be called while the process has one thread. The maps ask the kernel for barriers between threads when
/// the first of them is made, which a process of one thread is granted at once; later it has to wait until
/// every processor has been through the kernel, for 8 to 17 ms.
pub fn prepare() {
    drop(papaya::HashMap::<u8, u8>::new());
}

impl Index {
    /// An empty index that keeps up to `cap` tokens and families of each client.
    pub fn new(cap: usize) -> Self {
        Self { current: ArcSwap::default(), writer: Mutex::default(), cap }
    }

    /// What is known about a token, without asking anybody.
    pub fn verdict(&self, what: &Revocable) -> Verdict {
        self.current.load().verdict(what)
    }

    /// Adds a revocation; `false` if it was known.
    pub fn add(&self, revocation: &Revocation) -> bool {
        let writer = lock(&self.writer);
        let new = self.current.load().add(revocation, self.cap);
        if let Some(successor) = &*writer {
            successor.add(revocation, self.cap);
        }
        new
    }

    /// Begins to load a new index beside the current one. Until it takes over, [`Index::add`] writes
    /// to both, so that nothing committed meanwhile is lost with the old one.
    pub fn begin(&self) {
        *lock(&self.writer) = Some(Arc::default());
    }

    /// Adds rows to the index being loaded.
    pub fn load(&self, rows: &[Revocation]) {
        if let Some(successor) = &*lock(&self.writer) {
            rows.iter().for_each(|row| {
                successor.add(row, self.cap);
            });
        }
    }

    /// The index being loaded is complete and takes over; `false` if none is being loaded.
    pub fn finish(&self) -> bool {
        let mut writer = lock(&self.writer);
        let Some(successor) = writer.take() else { return false };
        self.current.store(successor);
        true
    }

    /// Forgets what has expired. Costs as much as there is to forget.
    pub fn prune(&self, now: UnixTime) {
        let _writer = lock(&self.writer);
        self.current.load().prune(now);
    }

    /// Clients whose tokens are answered by asking the store; more than none is worth an alert.
    pub fn overflowed_clients(&self) -> Vec<ClientKey> {
        self.current.load().overflowed.pin().keys().copied().collect()
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        let known = self.current.load();
        known.tokens.len() + known.families.len() + known.users.len() + known.clients.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl IndexContents {
    fn verdict(&self, what: &Revocable) -> Verdict {
        let below = |raised: &papaya::HashMap<Id, Raised>, id: &Id, issued: u32| {
            raised.pin().get(id).is_some_and(|raised| !is_current_epoch(issued, raised.epoch))
        };
        let (client, client_epoch) = what.client;
        let revoked = what.token.is_some_and(|token| self.tokens.pin().contains_key(&token.0))
            || what.family.is_some_and(|family| self.families.pin().contains_key(&family.0))
            || what.user.is_some_and(|(user, issued)| below(&self.users, &user.0, issued))
            || below(&self.clients, &client.0, client_epoch);
        if revoked {
            Verdict::Revoked
        } else if !self.overflowed.is_empty() && self.overflowed.pin().contains_key(&client) {
            Verdict::AskStore
        } else {
            Verdict::Alive
        }
    }

    fn add(&self, revocation: &Revocation, cap: usize) -> bool {
        let mut ledger = lock(&self.ledger);
        let Revocation { kind, id, epoch, expires_at: until, .. } = *revocation;
        match kind {
            RevocationKind::Token => self.revoke(&mut ledger, &self.tokens, revocation, cap),
            RevocationKind::Family => self.revoke(&mut ledger, &self.families, revocation, cap),
            RevocationKind::User => raise(&mut ledger, &self.users, (kind, id), Raised { epoch, until }),
            RevocationKind::Client => raise(&mut ledger, &self.clients, (kind, id), Raised { epoch, until }),
        }
    }

    fn revoke(
        &self,
        ledger: &mut Ledger,
        entries: &papaya::HashMap<Id, RevokedEntry>,
        revocation: &Revocation,
        cap: usize,
    ) -> bool {
        let Revocation { kind, id, client, expires_at: until, .. } = *revocation;
        let entries = entries.pin();
        let known = entries.get(&id).map(|entry| entry.until);
        if known.is_some_and(|known| known >= until) {
            return false;
        }
        if known.is_none() {
            let live = ledger.live.entry(client).or_default();
            if *live >= cap {
                self.overflowed.pin().update_or_insert(client, |latest| until.max(*latest), until);
                return true;
            }
            *live += 1;
        }
        ledger.due.entry(until.0 / BATCH).or_default().push((kind, id));
        entries.insert(id, RevokedEntry { client, until });
        known.is_none()
    }

    fn prune(&self, now: UnixTime) {
        let mut ledger = lock(&self.ledger);
        let later = ledger.due.split_off(&(now.0 / BATCH));
        let due = std::mem::replace(&mut ledger.due, later);
        for (kind, id) in due.into_values().flatten() {
            match kind {
                RevocationKind::Token => forget(&mut ledger, &self.tokens, id, now),
                RevocationKind::Family => forget(&mut ledger, &self.families, id, now),
                RevocationKind::User => drop(self.users.pin().remove_if(&id, |_, r| r.until < now)),
                RevocationKind::Client => drop(self.clients.pin().remove_if(&id, |_, r| r.until < now)),
            }
        }
        self.overflowed.pin().retain(|_, until| *until >= now);
    }
}

fn raise(
    ledger: &mut Ledger,
    raised: &papaya::HashMap<Id, Raised>,
    (kind, id): (RevocationKind, Id),
    to: Raised,
) -> bool {
    let raised = raised.pin();
    let known = raised.get(&id).copied().unwrap_or(Raised { epoch: 0, until: UnixTime(0) });
    let new = to.epoch > known.epoch;
    // The entry must outlive the tokens below every epoch it has had.
    let until = to.until.max(known.until);
    if new || until > known.until {
        ledger.due.entry(until.0 / BATCH).or_default().push((kind, id));
        raised.insert(id, Raised { epoch: to.epoch.max(known.epoch), until });
    }
    new
}

fn forget(ledger: &mut Ledger, entries: &papaya::HashMap<Id, RevokedEntry>, id: Id, now: UnixTime) {
    // An entry that was prolonged is listed in a later batch too.
    let entries = entries.pin();
    if let Ok(Some((_, entry))) = entries.remove_if(&id, |_, entry| entry.until < now)
        && let Some(live) = ledger.live.get_mut(&entry.client)
    {
        *live -= 1;
        if *live == 0 {
            ledger.live.remove(&entry.client);
        }
    }
}

/// After a panic in a writer the process ends (see `Tail::run`); until then readers hold no lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: ClientKey = ClientKey(Id([1; 16]));
    const USER: UserId = UserId(Id([2; 16]));

    fn row(kind: RevocationKind, n: u8, epoch: u32, until: u64) -> Revocation {
        let id = match kind {
            RevocationKind::Client => CLIENT.0,
            RevocationKind::User => USER.0,
            _ => Id([n; 16]),
        };
        Revocation { kind, id, epoch, client: CLIENT, expires_at: UnixTime(until) }
    }

    fn token(n: u8, family: u8, client_epoch: u32, user_epoch: u32) -> Revocable {
        Revocable {
            token: Some(TokenId(Id([n; 16]))),
            family: Some(FamilyId(Id([family; 16]))),
            client: (CLIENT, client_epoch),
            user: Some((USER, user_epoch)),
        }
    }

    #[test]
    fn a_token_dies_with_anything_it_hangs_on() {
        let table = [
            (row(RevocationKind::Token, 7, 0, 100), token(7, 8, 1, 1), token(6, 8, 1, 1)),
            (row(RevocationKind::Family, 8, 0, 100), token(7, 8, 1, 1), token(7, 9, 1, 1)),
            (row(RevocationKind::Client, 0, 2, 100), token(7, 8, 1, 1), token(7, 8, 2, 1)),
            (row(RevocationKind::User, 0, 2, 100), token(7, 8, 1, 1), token(7, 8, 1, 2)),
        ];
        for (revocation, dead, alive) in table {
            let index = Index::new(10);
            assert_eq!(index.verdict(&dead), Verdict::Alive);
            assert!(index.add(&revocation));
            assert!(!index.add(&revocation), "it is known now");
            assert_eq!(index.verdict(&dead), Verdict::Revoked, "{revocation:?}");
            assert_eq!(index.verdict(&alive), Verdict::Alive, "{revocation:?}");
        }
    }

    #[test]
    fn an_epoch_never_falls() {
        let index = Index::new(10);
        index.add(&row(RevocationKind::User, 0, 5, 100));
        assert!(!index.add(&row(RevocationKind::User, 0, 3, 900)));
        assert_eq!(index.verdict(&token(7, 8, 0, 4)), Verdict::Revoked);
        index.prune(UnixTime(500));
        assert_eq!(index.verdict(&token(7, 8, 0, 4)), Verdict::Revoked, "prolonged by the older epoch");
    }

    #[test]
    fn entries_are_forgotten_only_after_they_expired() {
        let index = Index::new(10);
        for kind in [RevocationKind::Token, RevocationKind::Family, RevocationKind::Client] {
            index.add(&row(kind, 7, 1, 1_000));
        }
        index.add(&row(RevocationKind::Token, 9, 0, 1_000));
        index.add(&row(RevocationKind::Token, 9, 0, 5_000));
        index.prune(UnixTime(1_000));
        assert_eq!(index.len(), 4);
        index.prune(UnixTime(1_100));
        assert_eq!(index.len(), 1, "the prolonged one stays");
        assert_eq!(index.verdict(&token(9, 0, 9, 9)), Verdict::Revoked);
        index.prune(UnixTime(5_100));
        assert!(index.is_empty());
        assert!(lock(&index.current.load().ledger).live.is_empty());
    }

    #[test]
    fn above_the_cap_the_store_is_asked_until_what_was_not_kept_has_expired() {
        let index = Index::new(2);
        for (n, until) in [(1, 100), (2, 100), (3, 300)] {
            index.add(&row(RevocationKind::Token, n, 0, until));
        }
        assert_eq!(index.len(), 2);
        assert_eq!(index.overflowed_clients(), [CLIENT]);
        assert_eq!(index.verdict(&token(1, 0, 0, 0)), Verdict::Revoked, "what is kept needs no asking");
        assert_eq!(index.verdict(&token(3, 0, 0, 0)), Verdict::AskStore);
        let other = Revocable { client: (ClientKey(Id([9; 16])), 0), ..token(3, 0, 0, 0) };
        assert_eq!(index.verdict(&other), Verdict::Alive, "other clients are not concerned");
        index.prune(UnixTime(240));
        assert_eq!(index.overflowed_clients(), [CLIENT]);
        index.add(&row(RevocationKind::Token, 4, 0, 900));
        assert_eq!(index.verdict(&token(4, 0, 0, 0)), Verdict::Revoked, "there is room again");
        index.prune(UnixTime(420));
        assert!(index.overflowed_clients().is_empty());
        assert_eq!(index.verdict(&token(3, 0, 0, 0)), Verdict::Alive);
    }

    #[test]
    fn what_is_added_while_a_new_index_is_loaded_is_in_both() {
        let index = Index::new(10);
        index.add(&row(RevocationKind::Token, 1, 0, 100));
        index.begin();
        index.add(&row(RevocationKind::Token, 2, 0, 100));
        assert_eq!(index.verdict(&token(1, 0, 0, 0)), Verdict::Revoked, "the old one serves meanwhile");
        assert_eq!(index.verdict(&token(2, 0, 0, 0)), Verdict::Revoked);
        index.load(&[row(RevocationKind::Token, 3, 0, 100)]);
        assert_eq!(index.verdict(&token(3, 0, 0, 0)), Verdict::Alive);
        assert!(index.finish());
        assert!(!index.finish(), "there is nothing to finish twice");
        let verdicts = [1, 2, 3].map(|n| index.verdict(&token(n, 0, 0, 0)));
        assert_eq!(verdicts, [Verdict::Alive, Verdict::Revoked, Verdict::Revoked]);
    }
}
