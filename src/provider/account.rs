//! A person's own page: where they are signed in, and which applications may do what (R20).

use std::sync::Arc;

use super::{
    SignInPages,
    browser::{Browser, PageError},
    session::Person,
};
use crate::{
    model::*,
    observe::{LogoutKind as Ended, RevocationCause, Revoked},
    protocol::{OauthError, Params, standing},
    store::Effect,
};

/// What the account page shows.
#[derive(Clone, Debug)]
pub struct Account {
    /// Whose.
    pub user: Arc<User>,
    /// The session this is shown in.
    pub current: SessionId,
    /// The valid ones, the current one first.
    pub sessions: Vec<Session>,
    /// What was agreed to, with the client's name.
    pub consents: Vec<(Consent, String)>,
    /// For the forms.
    pub csrf: String,
}

/// What a form of the account page asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountAction {
    /// End the session named by `id`.
    EndSession,
    /// Forget the consent for the client named by `id`, and revoke what it was given.
    WithdrawConsent,
    /// End every session and revoke everything.
    SignOutEverywhere,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStep {
    /// Done; show the page again.
    Done,
    /// Done, and the browser's own session with it.
    SignedOut,
    /// The person must sign in first.
    Login,
}

impl SignInPages {
    /// The account page; `None` without a sign-in.
    pub async fn account(&self, browser: &Browser) -> Result<Option<Account>, PageError> {
        let now = self.clock.now();
        let Some(person) = self.person(browser, now).await? else { return Ok(None) };
        let Person { session: current, user } = person;
        let mut sessions = self.store.sessions(user.id).await?;
        sessions.retain(|session| standing::session_is_valid(session, &user, &self.policy, now));
        // Stable: the others stay newest first.
        sessions.sort_by_key(|session| session.id != current.id);
        let mut consents = Vec::new();
        for consent in self.store.consents(user.id).await? {
            let client = self.store.client_by_key(consent.client).await?;
            let name = client.map_or_else(|| consent.client.to_string(), |client| client.name.clone());
            consents.push((consent, name));
        }
        Ok(Some(Account {
            user,
            current: current.id,
            sessions,
            consents,
            csrf: self.csrf_token(browser, now),
        }))
    }

    /// A posted form of the account page.
    pub async fn account_action(
        &self,
        action: AccountAction,
        form: &Params<'_>,
        browser: &Browser,
    ) -> Result<AccountStep, PageError> {
        let now = self.clock.now();
        self.check_csrf(browser, form, now)?;
        let Some(person) = self.person(browser, now).await? else { return Ok(AccountStep::Login) };
        let user = person.user.id;
        let until = self.policy.forget_revocation_at(now);
        let (effects, ended) = match action {
            AccountAction::EndSession => {
                let id = SessionId(named(form)?);
                // Only one's own: another person's session counts as unknown.
                let session = self.store.session_by_id(id).await?.filter(|session| session.user == user);
                let Some(session) = session else { return Ok(AccountStep::Done) };
                (self.end_session(&session, now), id == person.session.id)
            }
            AccountAction::WithdrawConsent => {
                let client = ClientKey(named(form)?);
                let revoke = Effect::RevokeFamilies {
                    user,
                    client: Some(client),
                    session: None,
                    keep_offline: false,
                    until,
                };
                (vec![Effect::DeleteConsent(user, client), revoke], false)
            }
            AccountAction::SignOutEverywhere => {
                (vec![Effect::RaiseUserEpoch { user, until }, Effect::EndSessions(user)], true)
            }
        };
        self.commit(now, None, effects).await?;
        match action {
            AccountAction::WithdrawConsent => self.metrics.revocation(RevocationCause::User, Revoked::Family),
            AccountAction::EndSession => self.metrics.logout(Ended::Account),
            AccountAction::SignOutEverywhere => {
                self.metrics.logout(Ended::Account);
                self.metrics.revocation(RevocationCause::User, Revoked::All);
            }
        }
        Ok(if ended { AccountStep::SignedOut } else { AccountStep::Done })
    }
}

fn named(form: &Params<'_>) -> Result<Id, OauthError> {
    Id::parse(form.require("id")?)
        .ok_or_else(|| OauthError::invalid_request("The id is not one of this page."))
}
