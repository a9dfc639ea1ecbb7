//! Applying a commit: the spend, the effects in order, then the rows of the change feed.

use super::{clients, feed, grants, keys, rotations, sessions, statements::Statements, users};
use crate::{
    model::*,
    store::{Change, Commit, CommitError, Committed, Effect},
};

/// A commit that is being applied, inside its savepoint.
pub(super) struct Applying<'a> {
    pub(super) db: Statements<'a>,
    pub(super) id: CommitId,
    pub(super) at: UnixTime,
    changes: Vec<Change>,
}

impl Applying<'_> {
    /// Other nodes must hear of this.
    pub(super) fn tell(&mut self, change: Change) {
        self.changes.push(change);
    }
}

/// Applies a commit. The caller undoes it if this fails.
pub(super) fn apply(db: Statements<'_>, commit: &Commit) -> Result<Committed, CommitError> {
    let mut to = Applying { db, id: commit.id, at: commit.at, changes: Vec::new() };
    if let Some(spend) = &commit.spend {
        grants::spend(&mut to, spend)?;
    }
    for effect in &commit.effects {
        carry_out(&mut to, effect)?;
    }
    feed::append(db, commit.at, &to.changes)?;
    Ok(Committed { changes: to.changes })
}

fn carry_out(to: &mut Applying<'_>, effect: &Effect) -> Result<(), CommitError> {
    match effect {
        Effect::InsertClient(client) => clients::insert(to, client),
        Effect::UpdateClient { from, to: edited } => clients::update(to, from, edited),
        Effect::SetClientEnabled(client, enabled) => clients::set_enabled(to, *client, *enabled),
        Effect::RaiseClientEpoch { client, until } => clients::raise_epoch(to, *client, *until),
        Effect::DeleteClient(client) => clients::delete(to, *client),
        Effect::InsertResource(resource) => clients::insert_resource(to, resource),
        Effect::DeleteResource(uri) => clients::delete_resource(to, uri),
        Effect::InsertUser(user) => users::insert(to, user),
        Effect::SetPassword { user, password } => users::set_password(to, *user, password),
        Effect::RehashPassword { user, from, to: hash } => users::rehash_password(to, *user, from, hash),
        Effect::SetUserEnabled(user, enabled) => users::set_enabled(to, *user, *enabled),
        Effect::RaiseUserEpoch { user, until } => users::raise_epoch(to, *user, *until),
        Effect::DeleteUser(user) => users::delete(to, *user),
        Effect::InsertFamily(family) => grants::insert_family(to, family),
        Effect::RevokeFamily { family, client, until } => grants::revoke_family(to, *family, *client, *until),
        Effect::RevokeFamilies { user, client, session, keep_offline, until } => {
            let which = grants::Which { user, client, session, keep_offline: *keep_offline };
            grants::revoke_families(to, &which, *until)
        }
        Effect::RevokeToken { token, client, until } => grants::revoke_token(to, *token, *client, *until),
        Effect::InsertCode(code) => grants::insert_code(to, code),
        Effect::InsertRefreshToken { token, expires_at } => rotations::insert(to, token, *expires_at),
        Effect::InsertSession(session) => sessions::insert(to, session),
        Effect::TouchSession(session, seen_at) => sessions::touch(to, *session, *seen_at),
        Effect::EndSession(session) => sessions::end(to, *session),
        Effect::EndSessions(user) => sessions::end_all(to, *user),
        Effect::PutConsent(consent) => sessions::put_consent(to, consent),
        Effect::DeleteConsent(user, client) => sessions::delete_consent(to, *user, *client),
        Effect::InsertKey(key) => keys::insert(to, key),
        Effect::SetKeyState { kid, from, to: state } => keys::set_state(to, kid, *from, *state),
        Effect::ResealKey { kid, from, to: sealed } => keys::reseal(to, kid, from, sealed),
    }
}
