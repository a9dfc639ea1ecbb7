//! What became of a transaction whose COMMIT was not answered, because the connection broke while it
//! was under way.
//!
//! The answer is read back. A commit that spent something left its id in `spent_by`, one that told
//! other nodes something left it in `changes`. Both looks first wait for the row that the lost
//! transaction holds for as long as it runs, so that "not done" cannot turn into "done" afterwards.
//! What a commit without either has inserted can be found, but its absence proves nothing.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::{
    Lane, Postgres,
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
    SPENT_REFRESH_TOKEN = "SELECT spent_by FROM refresh_tokens WHERE id = $1 FOR SHARE";
    SPENT_ONCE = "SELECT spent_by FROM spent WHERE id = $1 FOR SHARE";
    /// Waits for whoever is about to write to the feed.
    WAIT_FOR_FEED = "SELECT 1 FROM feed WHERE one = 1 FOR SHARE";
    /// Looked for among the last ones: the question comes seconds after the commit.
    TOLD = "SELECT 1 FROM (SELECT commit_id FROM changes ORDER BY seq DESC LIMIT 20000) AS last
            WHERE commit_id = $1 LIMIT 1";
    SESSION = "SELECT 1 FROM sessions WHERE id = $1 FOR SHARE";
    FAMILY = "SELECT 1 FROM families WHERE id = $1 FOR SHARE";
    CODE = "SELECT 1 FROM codes WHERE id = $1 FOR SHARE";
    REFRESH_TOKEN = "SELECT 1 FROM refresh_tokens WHERE id = $1 FOR SHARE";
}

/// A transaction that lost to another is tried again so often, while it is not older than this. (It
/// takes the server a second to find that two wait for each other.)
const TRIES: usize = 5;
const TRIED_FOR: Duration = Duration::from_secs(3);

/// How long the database is asked what became of a commit. It may have to be reached anew.
const ASKED_FOR: Duration = Duration::from_secs(3);

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
            Some(Spend::Refresh { id, .. }) => Some(Trace::Spent(SPENT_REFRESH_TOKEN, id.0)),
            _ if told => Some(Trace::Told),
            Some(Spend::Once { id, .. }) => Some(Trace::Once(*id)),
            None => commit.effects.iter().find_map(made),
        };
        trace.map(|trace| Self { commit: commit.id, trace })
    }

    /// Whether it can say for certain that nothing was done, too. Of the commits of a batch, one that
    /// can is the one to ask.
    pub(super) fn is_certain(&self) -> bool {
        matches!(self.trace, Trace::Spent(..) | Trace::Told)
    }

    /// Asks it; `None` if it cannot tell.
    async fn ask(self, db: Statements<'_>) -> Result<Option<bool>, Failure> {
        match self.trace {
            // A code or token that is gone by now was deleted with its family: nobody can tell.
            Trace::Spent(look, id) => self.spent(db, look, id).await,
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

/// Where an effect leaves a row of its own.
fn made(effect: &Effect) -> Option<Trace> {
    match effect {
        Effect::InsertSession(session) => Some(Trace::Made(SESSION, session.id.0)),
        Effect::InsertFamily(family) => Some(Trace::Made(FAMILY, family.id.0)),
        Effect::InsertCode(code) => Some(Trace::Made(CODE, code.id.0)),
        Effect::InsertRefreshToken(token) => Some(Trace::Made(REFRESH_TOKEN, token.id.0)),
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
    /// Makes a transaction durable. When COMMIT is not answered, `witness` is asked what became of it.
    pub(super) async fn end(
        &self,
        transaction: Transaction<'_>,
        witness: Option<Witness>,
    ) -> Result<(), StoreError> {
        let warnings = self.connector.warnings();
        let lost = match transaction.commit().await {
            Ok(()) if self.connector.warnings() == warnings => return Ok(()),
            // It may be that the wait for a synchronous standby was cut short: then it is done here, and
            // would be forgotten by a failover. Whose warning it was is not known, and does not matter.
            Ok(()) => StoreError::new(StoreErrorKind::Connection, "Postgres warned of something at COMMIT"),
            Err(failure) if failure.is_connection() => StoreError::from(failure),
            // The server said no, and has undone it.
            Err(failure) => return Err(failure.into()),
        };
        tracing::warn!(?witness, error = %lost, "connection lost during COMMIT; checking the outcome");
        let done = match witness {
            Some(witness) => self.look_up(witness).await,
            None => None,
        };
        tracing::warn!(?witness, ?done, "outcome of the interrupted COMMIT checked");
        match done {
            Some(true) => Ok(()),
            Some(false) => Err(lost),
            None => Err(unknown(&lost)),
        }
    }

    /// Whether a transaction was done; `None` if nobody can tell.
    async fn look_up(&self, witness: Witness) -> Option<bool> {
        let asking = async {
            for pause in pauses(usize::MAX) {
                match self.ask(witness).await {
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

    async fn ask(&self, witness: Witness) -> Result<Option<bool>, StoreError> {
        let transaction = self.begin(Lane::Request).await?;
        let done = witness.ask(transaction.statements()).await?;
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
