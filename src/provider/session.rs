//! NIST SP 800-63B-4 §5 — sessions: the person who is signed in in this browser.

use std::sync::Arc;

use super::{ProviderError, SignInPages, browser::Browser};
use crate::{
    crypto::opaque::Opaque,
    model::*,
    protocol::{interaction::SignedIn, standing},
    store::Effect,
};

/// `seen_at` moves at most once in so many seconds.
const TOUCH_EVERY: u64 = 60;

/// A person who is signed in, and the session that says so.
#[derive(Clone, Debug)]
pub struct Person {
    /// The session, valid.
    pub session: Session,
    /// The user, enabled.
    pub user: Arc<User>,
}

impl Person {
    pub(super) fn signed_in(&self) -> SignedIn<'_> {
        SignedIn { session: &self.session, user: &self.user }
    }
}

impl SignInPages {
    /// The person who is signed in in this browser, if there is a valid session.
    pub(super) async fn person(
        &self,
        browser: &Browser,
        now: UnixTime,
    ) -> Result<Option<Person>, ProviderError> {
        let Some(digest) = &browser.session else { return Ok(None) };
        let Some(session) = self.store.session(digest).await? else { return Ok(None) };
        let Some(user) = self.store.user(session.user).await? else { return Ok(None) };
        let person = Person { session, user };
        if !standing::session_is_valid(&person.session, &person.user, &self.policy, now) {
            return Ok(None);
        }
        if now.since(person.session.seen_at) >= TOUCH_EVERY {
            let touch = Effect::TouchSession(person.session.id, now);
            self.commit(now, None, vec![touch]).await?;
        }
        Ok(Some(person))
    }

    /// A new session for a person who just authenticated, and its cookie's value.
    pub(super) fn new_session(
        &self,
        user: &User,
        browser: &Browser,
        now: UnixTime,
    ) -> (Session, Secret<String>) {
        let (cookie, digest) = self.opaque.issue(Opaque::Session, &self.random);
        let session = Session {
            id: SessionId(self.id()),
            digest,
            user: user.id,
            user_epoch: user.epoch,
            auth_time: now,
            // RFC 8176 §2
            amr: vec!["pwd".into()],
            user_agent: browser.user_agent.clone(),
            seen_at: now,
            expires_at: now.plus(self.policy.session_lifetime),
        };
        (session, cookie)
    }

    /// The effects of ending a session: and, if the policy says so, of what was authorized in it.
    pub(super) fn end_session(&self, session: &Session, now: UnixTime) -> Vec<Effect> {
        let mut effects = vec![Effect::EndSession(session.id)];
        if self.policy.logout_revokes {
            effects.push(Effect::RevokeFamilies {
                user: session.user,
                client: None,
                session: Some(session.id),
                // OpenID Connect Core §11: offline access is for when the person is not there.
                keep_offline: true,
                until: self.policy.forget_revocation_at(now),
            });
        }
        effects
    }
}
