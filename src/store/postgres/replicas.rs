//! Read replicas, and which of them may be read from.
//!
//! What is read from one is cached, and the cache is brought up to date by the feed. So a replica
//! must be as far as the feed was when this node last read it: a row from before a change that the
//! node has already heard of would stay in the cache. The same holds for a change this node made
//! itself and has applied before the feed told it; until the feed was read again, the primary alone
//! is read from. Each URL must lead to one server: what is asked of one says nothing of another.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{columns::Natural, readers::Readers, statements::Failure};
use crate::store::FeedPosition;

/// How often a replica is asked how far it is, at least.
const PAUSE: Duration = Duration::from_millis(200);

const POSITION: &str = "SELECT epoch, seq FROM feed";

/// The replicas of a store.
pub(super) struct Replicas {
    all: Vec<Arc<Replica>>,
    max_staleness: Duration,
    next: AtomicUsize,
    known: Mutex<Known>,
}

struct Replica {
    readers: Arc<Readers>,
    /// How far it said it was, and when it was asked.
    said: Mutex<Option<(Instant, FeedPosition)>>,
}

/// What this node knows of the feed.
#[derive(Default)]
struct Known {
    /// Readings of the feed begun so far.
    begun: u64,
    /// The last begun of those that were finished.
    finished: u64,
    /// Changes of this node's own so far.
    own: u64,
    /// Where a replica must be at least; `None`: nobody knows.
    needed: Option<FeedPosition>,
}

/// A reading of the feed that is under way.
#[derive(Clone, Copy)]
pub(super) struct FeedReading {
    number: u64,
    own: u64,
}

/// A commit of this node that tells something. When it ends, in whatever way, no replica is known to
/// be as far as this node.
pub(super) struct Telling<'a>(&'a Replicas);

impl Replicas {
    pub(super) fn new(all: Vec<Arc<Readers>>, max_staleness: Duration) -> Self {
        let replica = |readers| Arc::new(Replica { readers, said: Mutex::default() });
        let all = all.into_iter().map(replica).collect();
        Self { all, max_staleness, next: AtomicUsize::new(0), known: Mutex::default() }
    }

    /// Keeps asking the replicas how far they are.
    pub(super) fn watch(&self, tasks: &mut JoinSet<()>, runtime: &tokio::runtime::Handle) {
        let pause = PAUSE.min(self.max_staleness / 4);
        for replica in &self.all {
            let (replica, patience) = (Arc::clone(replica), self.max_staleness);
            tasks.spawn_on(
                async move {
                    loop {
                        replica.ask(patience).await;
                        tokio::time::sleep(pause).await;
                    }
                },
                runtime,
            );
        }
    }

    /// One that has all this node has heard of; a different one each time.
    pub(super) fn caught_up(&self) -> Option<&Readers> {
        if self.all.is_empty() {
            return None;
        }
        let needed = self.known().needed?;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut all = (0..self.all.len()).map(|at| &self.all[(first + at) % self.all.len()]);
        all.find(|replica| is_at(replica.said(), needed, self.max_staleness)).map(|replica| &*replica.readers)
    }

    /// Before the feed is read.
    pub(super) fn reading_feed(&self) -> FeedReading {
        let mut known = self.known();
        known.begun += 1;
        FeedReading { number: known.begun, own: known.own }
    }

    /// After it was read, and before anybody applies what it told.
    pub(super) fn heard(&self, reading: FeedReading, head: FeedPosition) {
        let mut known = self.known();
        if reading.number < known.finished {
            return;
        }
        known.finished = reading.number;
        if reading.own == known.own {
            known.needed = Some(head);
        }
    }

    /// Before a commit that tells something.
    pub(super) fn telling(&self) -> Telling<'_> {
        Telling(self)
    }

    pub(super) fn readers(&self) -> impl Iterator<Item = &Arc<Readers>> {
        self.all.iter().map(|replica| &replica.readers)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.own += 1;
        known.needed = None;
    }
}

type Said = Option<(Instant, FeedPosition)>;

/// Whether what a replica said puts it where it must be.
fn is_at(said: Said, needed: FeedPosition, max_staleness: Duration) -> bool {
    said.is_some_and(|(asked, position)| {
        position.epoch == needed.epoch && position.seq >= needed.seq && asked.elapsed() < max_staleness
    })
}

impl Replica {
    fn said(&self) -> Said {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, patience: Duration) {
        let asked = Instant::now();
        match tokio::time::timeout(patience, self.position()).await {
            Ok(Ok(Some(position))) => {
                *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, position));
            }
            // What it said last counts until it is too old.
            Ok(Ok(None)) | Err(_) => {
                tracing::debug!("a replica did not report its replay position in time; will retry")
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "asking a replica for its replay position failed; will retry")
            }
        }
    }

    async fn position(&self) -> Result<Option<FeedPosition>, Failure> {
        let rows = self.readers.query(POSITION, &[]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let Natural(epoch) = row.try_get(0)?;
        let Natural(seq) = row.try_get(1)?;
        Ok(Some(FeedPosition { epoch, seq }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> FeedPosition {
        FeedPosition { epoch: 1, seq }
    }

    fn needed(replicas: &Replicas) -> Option<u64> {
        replicas.known().needed.map(|position| position.seq)
    }

    #[test]
    fn nothing_is_known_before_the_feed_was_read() {
        let replicas = Replicas::new(Vec::new(), PAUSE);
        assert_eq!(needed(&replicas), None);
        let reading = replicas.reading_feed();
        replicas.heard(reading, at(7));
        assert_eq!(needed(&replicas), Some(7));
    }

    #[test]
    fn a_change_of_ones_own_counts_until_a_reading_that_was_begun_after_it() {
        let replicas = Replicas::new(Vec::new(), PAUSE);
        let during = replicas.reading_feed();
        drop(replicas.telling());
        replicas.heard(during, at(7));
        assert_eq!(needed(&replicas), None);
        let after = replicas.reading_feed();
        replicas.heard(after, at(8));
        assert_eq!(needed(&replicas), Some(8));
    }

    #[test]
    fn a_reading_that_was_overtaken_says_nothing() {
        let replicas = Replicas::new(Vec::new(), PAUSE);
        let (first, second) = (replicas.reading_feed(), replicas.reading_feed());
        replicas.heard(second, at(9));
        replicas.heard(first, at(7));
        assert_eq!(needed(&replicas), Some(9));
        // History was rewritten, and is shorter now.
        let third = replicas.reading_feed();
        replicas.heard(third, FeedPosition { epoch: 2, seq: 3 });
        assert_eq!(needed(&replicas), Some(3));
    }

    #[test]
    fn a_replica_that_is_late_or_silent_is_not_read_from() {
        let said = Some((Instant::now(), at(7)));
        assert!(is_at(said, at(7), PAUSE));
        assert!(!is_at(said, at(8), PAUSE));
        assert!(!is_at(said, FeedPosition { epoch: 2, seq: 7 }, PAUSE));
        assert!(!is_at(said, at(7), Duration::ZERO));
        assert!(!is_at(None, at(0), PAUSE));
    }
}
