//! What became of a transaction whose COMMIT was not answered, because the connection broke while it
//! was under way.
//!
//! The answer is read back. A commit that spent something left its id in the row it spent, one that told
//! other nodes something left it in `changes`. Both looks first wait for the row that the lost
//! transaction holds for as long as it runs, so that "not done" cannot turn into "done" afterwards.
//! What a commit without either has inserted can be found, but its absence proves nothing.
//!
//! The row of a refresh token is written again by the next rotation, which a client may be quick to ask
//! for: two generations on, the digest that was given out is still in it, and beyond that it cannot tell.
//! Then the next witness of the batch is asked.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;
use tokio_postgres::{Row, types::Type};

use super::{
    Lane, Postgres,
    columns::Natural,
    sql::statements,
    statements::{Failure, Statements},
    transaction::Transaction,
};
use crate::{
    model::*,
    store::{Commit, CommitError, Effect, Spend, StoreError, StoreErrorKind},
};

statements! {
    SPENT_CODE = "SELECT spent_by FROM codes WHERE id = $1 FOR SHARE";
    ROTATED = "SELECT generation, rotated_by, previous FROM rotations WHERE family = $1 FOR SHARE";
    SPENT_ONCE = "SELECT spent_by FROM spent WHERE id = $1 FOR SHARE";
    /// Waits for whoever is about to write to the feed.
    WAIT_FOR_FEED = "SELECT 1 FROM feed WHERE one = 1 FOR SHARE";
    /// Looked for among the last ones: the question comes seconds after the commit.
    TOLD = "SELECT 1 FROM (SELECT commit_id FROM changes ORDER BY seq DESC LIMIT 20000) AS last
            WHERE commit_id = $1 LIMIT 1";
    SESSION = "SELECT 1 FROM sessions WHERE id = $1 FOR SHARE";
    FAMILY = "SELECT 1 FROM families WHERE id = $1 FOR SHARE";
    CODE = "SELECT 1 FROM codes WHERE id = $1 FOR SHARE";
    ROTATION = "SELECT 1 FROM rotations WHERE family = $1 FOR SHARE";
}

/// A transaction that lost to another is tried again so often, while it is not older than this. (It
/// takes the server a second to find that two wait for each other.)
const TRIES: usize = 5;
const TRIED_FOR: Duration = Duration::from_secs(3);

/// How long the database is asked what became of a commit. It may have to be reached anew.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// How many of the commits of a transaction are asked about.
const ASKED: usize = 16;

/// By what the outcome of a transaction can be told, when nobody was there to hear it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness {
    commit: CommitId,
    trace: Trace,
}

/// What a commit leaves behind.
#[derive(Clone, Copy, Debug)]
enum Trace {
    /// Its id in the row it spent, which was there before.
    Spent(&'static str, Id),
    /// Its id in the row of a family, and the digest of the token that it gave out.
    Rotated(RefreshToken, Digest),
    /// Its id in the feed.
    Told,
    /// Its id in a row that it made.
    Once(Id),
    /// A row that it made.
    Made(&'static str, Id),
}

impl Witness {
    /// The best witness of a commit that was applied; `told` says whether other nodes hear of it.
    pub(super) fn of(commit: &Commit, told: bool) -> Option<Self> {
        let trace = match &commit.spend {
            Some(Spend::Code(id)) => Some(Trace::Spent(SPENT_CODE, id.0)),
            _ if told => Some(Trace::Told),
            Some(Spend::Refresh { token, successor, .. }) => Some(Trace::Rotated(*token, *successor)),
            Some(Spend::Once { id, .. }) => Some(Trace::Once(*id)),
            None => commit.effects.iter().find_map(made),
        };
        trace.map(|trace| Self { commit: commit.id, trace })
    }

    /// How well it can tell. A code and the feed always can, and can say that nothing was done, too.
    fn rank(&self) -> u8 {
        match self.trace {
            Trace::Spent(..) | Trace::Told => 0,
            Trace::Rotated(..) => 1,
            Trace::Once(..) | Trace::Made(..) => 2,
        }
    }

    /// Asks it; `None` if it cannot tell.
    async fn ask(self, db: Statements<'_>) -> Result<Option<bool>, Failure> {
        match self.trace {
            // A code that is gone by now was deleted with its family: nobody can tell.
            Trace::Spent(look, id) => self.spent(db, look, id).await,
            Trace::Rotated(token, successor) => {
                let read = |row: &Row| {
                    let (Natural(generation), by, previous) =
                        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                    Ok(Generation { generation, by, previous })
                };
                let row = db.one(ROTATED, &[(&token.family, Type::UUID)], read).await?;
                Ok(row.and_then(|row| row.tells(&token, self.commit, &successor)))
            }
            Trace::Once(id) => self.spent(db, SPENT_ONCE, id).await,
            Trace::Told => {
                db.one(WAIT_FOR_FEED, &[], |_| Ok(())).await?;
                let found = db.one(TOLD, &[(&self.commit, Type::UUID)], |_| Ok(())).await?;
                Ok(Some(found.is_some()))
            }
            Trace::Made(look, id) => {
                let found = db.one(look, &[(&id, Type::UUID)], |_| Ok(())).await?;
                Ok(found.map(|()| true))
            }
        }
    }

    /// Whether it was this commit that spent a row.
    async fn spent(self, db: Statements<'_>, look: &'static str, id: Id) -> Result<Option<bool>, Failure> {
        let by = db.one(look, &[(&id, Type::UUID)], |row| row.try_get::<_, Option<CommitId>>(0)).await?;
        Ok(by.map(|by| by == Some(self.commit)))
    }
}

/// What the row of a family's refresh tokens says of its last rotation.
struct Generation {
    generation: u64,
    by: Option<CommitId>,
    previous: Option<Digest>,
}

impl Generation {
    /// Whether a commit rotated a token; `None` if others have rotated its successors too often since, or
    /// if the row is of another history.
    fn tells(&self, token: &RefreshToken, commit: CommitId, successor: &Digest) -> Option<bool> {
        match self.generation.checked_sub(token.generation)? {
            0 => Some(false),
            1 => Some(self.by == Some(commit)),
            2 => Some(self.previous.as_ref() == Some(successor)),
            _ => None,
        }
    }
}

/// Whom to ask, in this order, what became of a transaction. A few will do: each of them knows of all.
pub(super) fn witnesses(of: impl IntoIterator<Item = Witness>) -> Vec<Witness> {
    let mut witnesses: Vec<_> = of.into_iter().collect();
    witnesses.sort_by_key(Witness::rank);
    witnesses.truncate(ASKED);
    witnesses
}

/// Where an effect leaves a row of its own.
fn made(effect: &Effect) -> Option<Trace> {
    match effect {
        Effect::InsertSession(session) => Some(Trace::Made(SESSION, session.id.0)),
        Effect::InsertFamily(family) => Some(Trace::Made(FAMILY, family.id.0)),
        Effect::InsertCode(code) => Some(Trace::Made(CODE, code.id.0)),
        Effect::InsertRefreshToken { token, .. } => Some(Trace::Made(ROTATION, token.family.0)),
        _ => None,
    }
}

/// The tries of one transaction. One that lost to another, and of which nothing was done, is tried
/// again, a bounded number of times.
pub(super) struct Tries {
    begun: Instant,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), pauses: Box::new(pauses(TRIES)) }
    }

    /// Waits for the next try, or gives the error back if there is to be none.
    pub(super) async fn again(&mut self, error: CommitError) -> Result<(), CommitError> {
        match error {
            CommitError::Store(StoreError { kind: StoreErrorKind::Serialization, .. })
                if self.begun.elapsed() < TRIED_FOR =>
            {
                let pause = self.pauses.next().ok_or(error)?;
                tokio::time::sleep(pause).await;
                Ok(())
            }
            other => Err(other),
        }
    }
}

impl Postgres {
    /// Makes a transaction durable. When COMMIT is not answered, `witnesses` are asked what became of it.
    pub(super) async fn end(
        &self,
        transaction: Transaction<'_>,
        witnesses: impl FnOnce() -> Vec<Witness>,
    ) -> Result<(), StoreError> {
        let warnings = self.connector.warnings();
        let lost = match transaction.commit().await {
            Ok(()) if self.connector.warnings() == warnings => return Ok(()),
            // It may be that the wait for a synchronous standby was cut short: then it is done here, and
            // would be forgotten by a failover. Whose warning it was is not known, and does not matter.
            Ok(()) => StoreError::new(
                StoreErrorKind::Connection,
                "Postgres sent a warning during COMMIT, so replication to the standby is not certain",
            ),
            Err(failure) if failure.is_connection() => StoreError::from(failure),
            // The server said no, and has undone it.
            Err(failure) => return Err(failure.into()),
        };
        let witnesses = witnesses();
        tracing::warn!(witness = ?witnesses, error = %lost, "COMMIT not confirmed; checking the outcome");
        let done = self.look_up(&witnesses).await;
        match done {
            Some(true) => {
                tracing::warn!(witness = ?witnesses, "the unconfirmed COMMIT was applied");
                Ok(())
            }
            Some(false) => {
                tracing::warn!(witness = ?witnesses, "the unconfirmed COMMIT was not applied; returning an error");
                Err(lost)
            }
            None => {
                tracing::warn!(witness = ?witnesses, "the outcome of the COMMIT is unknown; returning an error");
                Err(unknown(&lost))
            }
        }
    }

    /// Whether a transaction was done; `None` if nobody can tell.
    async fn look_up(&self, witnesses: &[Witness]) -> Option<bool> {
        let asking = async {
            for pause in pauses(usize::MAX) {
                match self.ask(witnesses).await {
                    Ok(done) => return done,
                    Err(error) => {
                        tracing::debug!(%error, "checking the outcome of a COMMIT failed; will retry")
                    }
                }
                tokio::time::sleep(pause).await;
            }
            None
        };
        let asked = tokio::time::timeout(ASKED_FOR, asking).await;
        asked.unwrap_or_else(|_| {
            tracing::warn!("checking the outcome of a COMMIT timed out; reporting it as unknown");
            None
        })
    }

    /// The first of them that can tell.
    async fn ask(&self, witnesses: &[Witness]) -> Result<Option<bool>, StoreError> {
        let transaction = self.begin(Lane::Request).await?;
        let mut done = None;
        for witness in witnesses {
            done = witness.ask(transaction.statements()).await?;
            if done.is_some() {
                break;
            }
        }
        if done == Some(true) {
            // What was read need not have reached a synchronous standby. The lock on it is a write, and
            // when that has, so has everything before.
            let warnings = self.connector.warnings();
            transaction.commit().await?;
            if self.connector.warnings() != warnings {
                return Ok(None);
            }
        }
        Ok(done)
    }
}

/// Growing pauses of random length, so that those who met do not meet again.
fn pauses(times: usize) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(5))
        .with_max_delay(Duration::from_millis(250))
        .with_max_times(times)
        .with_jitter()
        .build()
}

/// What the caller of a commit is told that may have been done.
fn unknown(lost: &StoreError) -> StoreError {
    let message = format!("whether the commit was done is unknown: {}", lost.message);
    StoreError::new(StoreErrorKind::Connection, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row may have gone on while nobody heard.
    #[test]
    fn a_rotation_can_be_told_from_its_row_for_two_generations() {
        let (token, mine) = (
            RefreshToken { family: FamilyId::default(), generation: 5, digest: Digest([5; 32]) },
            Digest([6; 32]),
        );
        let (commit, other) = (CommitId(Id([1; 16])), CommitId(Id([2; 16])));
        let tells = |generation, by, previous| {
            let row = Generation { generation, by: Some(by), previous: Some(previous) };
            row.tells(&token, commit, &mine)
        };
        assert_eq!(tells(5, commit, Digest([4; 32])), Some(false), "the row is as it was");
        assert_eq!(tells(6, commit, token.digest), Some(true));
        assert_eq!(tells(6, other, token.digest), Some(false), "another was first");
        assert_eq!(tells(7, other, mine), Some(true), "its successor was rotated");
        assert_eq!(tells(7, other, Digest([9; 32])), Some(false), "another's successor was rotated");
        assert_eq!(tells(8, commit, mine), None, "that is too long ago");
        assert_eq!(tells(4, commit, mine), None, "the store was set back");
        assert_eq!(
            Generation { generation: 5, by: None, previous: None }.tells(&token, commit, &mine),
            Some(false)
        );
    }
}
