//! Applying a commit: the spend, the effects in order, then the rows of the change feed.
//!
//! One commit is one transaction at READ COMMITTED. That is enough, because every statement decides
//! by itself: what must not change between a look and a write is locked by the look. A failure of
//! any kind undoes all of it.

use async_trait::async_trait;

use super::{
    Lane, Postgres, clients, feed, grants, keys,
    outcome::{Tries, Witness, witnesses},
    rotations, sessions,
    statements::Statements,
    users,
};
use crate::{
    model::*,
    store::{Change, Commit, CommitError, Commits, Committed, Effect},
};

#[async_trait]
impl Commits for Postgres {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let mut tries = Tries::new();
        loop {
            match self.commit_once(&commit).await {
                Err(error) => tries.again(error).await?,
                done => return done,
            }
        }
    }
}

impl Postgres {
    async fn commit_once(&self, commit: &Commit) -> Result<Committed, CommitError> {
        let transaction = self.begin(Lane::Request).await?;
        let committed = apply(transaction.statements(), commit).await?;
        let told = !committed.changes.is_empty();
        let _telling = told.then(|| self.replicas.telling());
        self.end(transaction, || witnesses(Witness::of(commit, told))).await?;
        Ok(committed)
    }
}

/// A commit that is being applied, inside its transaction.
pub(super) struct Applying<'a> {
    pub(super) db: Statements<'a>,
    pub(super) id: CommitId,
    pub(super) at: UnixTime,
    changes: Vec<Change>,
}

impl<'a> Applying<'a> {
    /// Begins with a commit. The spend and the effects are given one by one; `changes` is what they
    /// told.
    pub(super) fn new(db: Statements<'a>, commit: &Commit) -> Self {
        Self { db, id: commit.id, at: commit.at, changes: Vec::new() }
    }

    /// Other nodes must hear of this.
    pub(super) fn tell(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// What other nodes must hear of.
    pub(super) fn told(self) -> Vec<Change> {
        self.changes
    }
}

/// Applies a commit. The caller undoes it if this fails.
pub(super) async fn apply(db: Statements<'_>, commit: &Commit) -> Result<Committed, CommitError> {
    let mut to = Applying::new(db, commit);
    if let Some(spend) = &commit.spend {
        grants::spend(&mut to, spend).await?;
    }
    for effect in &commit.effects {
        carry_out(&mut to, effect).await?;
    }
    let changes = to.told();
    let telling: Vec<_> = changes.iter().map(|change| (commit.at, commit.id, change)).collect();
    feed::append(db, &telling).await?;
    Ok(Committed { changes })
}

/// Carries out one effect.
pub(super) async fn carry_out(to: &mut Applying<'_>, effect: &Effect) -> Result<(), CommitError> {
    match effect {
        Effect::InsertClient(client) => clients::insert(to, client).await,
        Effect::UpdateClient { from, to: edited } => clients::update(to, from, edited).await,
        Effect::SetClientEnabled(client, enabled) => clients::set_enabled(to, *client, *enabled).await,
        Effect::RaiseClientEpoch { client, until } => clients::raise_epoch(to, *client, *until).await,
        Effect::DeleteClient(client) => clients::delete(to, *client).await,
        Effect::InsertResource(resource) => clients::insert_resource(to, resource).await,
        Effect::DeleteResource(uri) => clients::delete_resource(to, uri).await,
        Effect::InsertUser(user) => users::insert(to, user).await,
        Effect::SetPassword { user, password } => users::set_password(to, *user, password).await,
        Effect::RehashPassword { user, from, to: hash } => {
            users::rehash_password(to, *user, from, hash).await
        }
        Effect::SetUserEnabled(user, enabled) => users::set_enabled(to, *user, *enabled).await,
        Effect::RaiseUserEpoch { user, until } => users::raise_epoch(to, *user, *until).await,
        Effect::DeleteUser(user) => users::delete(to, *user).await,
        Effect::InsertFamily(family) => grants::insert_family(to, family).await,
        Effect::RevokeFamily { family, client, until } => {
            grants::revoke_family(to, *family, *client, *until).await
        }
        Effect::RevokeFamilies { user, client, session, keep_offline, until } => {
            let which = grants::Which { user, client, session, keep_offline: *keep_offline };
            grants::revoke_families(to, &which, *until).await
        }
        Effect::RevokeToken { token, client, until } => {
            grants::revoke_token(to, *token, *client, *until).await
        }
        Effect::InsertCode(code) => grants::insert_code(to, code).await,
        Effect::InsertRefreshToken { token, expires_at } => rotations::insert(to, token, *expires_at).await,
        Effect::InsertSession(session) => sessions::insert(to, session).await,
        Effect::TouchSession(session, seen_at) => sessions::touch(to, *session, *seen_at).await,
        Effect::EndSession(session) => sessions::end(to, *session).await,
        Effect::EndSessions(user) => sessions::end_all(to, *user).await,
        Effect::PutConsent(consent) => sessions::put_consent(to, consent).await,
        Effect::DeleteConsent(user, client) => sessions::delete_consent(to, *user, *client).await,
        Effect::InsertKey(key) => keys::insert(to, key).await,
        Effect::SetKeyState { kid, from, to: state } => keys::set_state(to, kid, *from, *state).await,
        Effect::ResealKey { kid, from, to: sealed } => keys::reseal(to, kid, from, sealed).await,
    }
}

/// An insert says ON CONFLICT DO NOTHING, and a name or key that is taken shows in its having
/// inserted nothing: the transaction is not spoilt, and the server's log stays clean.
pub(super) fn inserted(rows: u64, what: &'static str) -> Result<(), CommitError> {
    match rows {
        0 => Err(CommitError::Conflict(what)),
        _ => Ok(()),
    }
}
