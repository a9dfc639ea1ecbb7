//! Many commits in one transaction, with one statement for all rows of a kind.
//!
//! Two or three flights of statements, however many commits there are: what is spent; everything those
//! write who were first, the feed last; COMMIT. A commit's own id in `spent_by` says whether it was
//! first, never the key it wanted.

mod rows;
mod spends;

use async_trait::async_trait;

use self::{
    rows::{Rows, is_set_based, revocation},
    spends::Spends,
};
use super::{
    Lane, Postgres, feed,
    outcome::{Tries, Witness, witnesses},
    sql::statements,
    statements::Statements,
};
use crate::store::{Batches, Change, Commit, CommitError, Commits, Committed, StoreErrorKind};

/// The statements of every file of a batch, for the test that has each of them explained.
pub(super) const FILES: [(&str, &[(&str, &str)]); 3] =
    [("batch", STATEMENTS), ("batch/rows", rows::STATEMENTS), ("batch/spends", spends::STATEMENTS)];

statements! {
    /// Row by row through the primary key, however few rows the planner believes there are: a plan made
    /// when a table was new is kept, and would read all of it for each batch when it has grown.
    BY_KEY = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
                     set_config('enable_mergejoin', 'off', true)";
}

type Outcome = Result<Committed, CommitError>;

#[async_trait]
impl Batches for Postgres {
    async fn write(&self, batch: Vec<Commit>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        // What is still to be written, the next last.
        let mut parts = vec![&batch[..]];
        while let Some(part) = parts.pop() {
            match self.write_together(part).await {
                Ok(done) => outcomes.extend(done),
                // One of them is to blame, and is found by halving; alone, it is told what it did.
                Err(error) if is_of_data(&error) => match part {
                    [commit] => outcomes.push(self.commit(commit.clone()).await),
                    many => {
                        let (first, second) = many.split_at(many.len() / 2);
                        parts.extend([second, first]);
                    }
                },
                Err(error) => outcomes.extend(part.iter().map(|_| Err(error.clone()))),
            }
        }
        outcomes
    }

    fn gathers(&self, commit: &Commit) -> bool {
        commit.effects.iter().all(is_set_based)
    }
}

/// Whether a batch failed for what one of its commits holds, not for the state of the database.
fn is_of_data(error: &CommitError) -> bool {
    match error {
        CommitError::Store(error) => {
            matches!(error.kind, StoreErrorKind::Constraint | StoreErrorKind::Other)
        }
        _ => true,
    }
}

impl Postgres {
    async fn write_together(&self, batch: &[Commit]) -> Result<Vec<Outcome>, CommitError> {
        let mut tries = Tries::new();
        loop {
            match self.write_once(batch).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn write_once(&self, batch: &[Commit]) -> Result<Vec<Outcome>, CommitError> {
        let transaction = self.begin(Lane::Request).await?;
        let outcomes = Box::pin(write(transaction.statements(), batch)).await?;
        let told = outcomes.iter().flatten().any(|committed| !committed.changes.is_empty());
        let _telling = told.then(|| self.replicas.telling());
        self.end(transaction, || witnesses(of_batch(batch, &outcomes))).await?;
        Ok(outcomes)
    }
}

/// Writes a batch inside a transaction; what each is told when that is durable.
async fn write(db: Statements<'_>, batch: &[Commit]) -> Result<Vec<Outcome>, CommitError> {
    let spends = Spends::of(batch);
    let (_, won) = tokio::try_join!(biased; db.one(BY_KEY, &[], |_| Ok(())), spends.spend(db))?;
    let mut rows = Rows::default();
    let mut told = Vec::new();
    for commit in batch.iter().filter(|commit| commit.spend.is_none() || won.contains(&commit.id)) {
        rows.add(commit);
        told.extend(changes(commit).map(|change| (commit.at, commit.id, change)));
    }
    spends.answers(&won, &mut rows);
    let telling: Vec<_> = told.iter().map(|(at, id, change)| (*at, *id, change)).collect();
    let (mut lost, ()) = tokio::try_join!(
        biased;
        async { spends.lost(&won, db).await.map_err(CommitError::from) },
        async { Box::pin(rows.write(db)).await },
    )?;
    // After everything else: whoever tells the feed something holds it until COMMIT. It is no part of the
    // flight, in which a statement that is not prepared yet on this connection comes later than it should.
    feed::append(db, &telling).await?;
    let outcome = |commit: &Commit| match lost.remove(&commit.id) {
        Some(error) => Err(error),
        None => Ok(Committed { changes: changes(commit).collect() }),
    };
    Ok(batch.iter().map(outcome).collect())
}

/// What a commit tells other nodes. Effects of which this is only known afterwards are not gathered.
fn changes(commit: &Commit) -> impl Iterator<Item = Change> {
    commit.effects.iter().filter_map(revocation).map(|revocation| Change::revoked(revocation, commit.at))
}

/// By whom to find out whether the transaction was done: those that were first.
fn of_batch(batch: &[Commit], outcomes: &[Outcome]) -> impl Iterator<Item = Witness> {
    batch
        .iter()
        .zip(outcomes)
        .filter_map(|(commit, outcome)| Witness::of(commit, !outcome.as_ref().ok()?.changes.is_empty()))
}
