//! RFC 6749 §4.1.1, RFC 9700 §4.15 — the person's consent.

use super::{
    SignInPages,
    authorize::{BrowserStep, Shown},
    browser::{Browser, PageError},
    session::Person,
    transaction::OpenTransaction,
};
use crate::{
    model::*,
    protocol::{
        OauthError, Params,
        interaction::{self, Action, InteractionDecision, Page},
        transaction::{Continuation, SignInTransaction},
    },
};

/// What the consent page says (R19).
#[derive(Clone, Debug)]
pub struct ConsentForm {
    /// The client that asks.
    pub client_name: String,
    /// The person who is asked.
    pub username: String,
    /// What for.
    pub scopes: Scopes,
    /// For which resources.
    pub resources: Vec<String>,
    /// How long an access token lives, in seconds.
    pub access_lifetime: u64,
    /// How long it can be renewed, in seconds.
    pub refresh_lifetime: Option<u64>,
    /// Where the form's POST leads.
    pub redirect_uri: String,
    /// The sealed transaction.
    pub transaction: String,
    /// For the form.
    pub csrf: String,
}

impl SignInPages {
    /// The consent page of a transaction.
    pub async fn consent_page(&self, text: &str, browser: &Browser) -> Result<Shown<ConsentForm>, PageError> {
        let now = self.clock.now();
        let mut open = self.reopen(text, browser, now).await?;
        open.person = self.person(browser, now).await?;
        let scopes = match self.decide(Action::ShowConsent, &open).await? {
            InteractionDecision::Show(Page::Consent(scopes)) => scopes,
            decision => return self.carry_out(decision, &open).await.map(Shown::Step),
        };
        Ok(match &open.person {
            Some(person) => Shown::Page(self.consent_form(&open, person, scopes, browser)),
            // Without a person, the decision is to sign in.
            None => Shown::Step(BrowserStep::Login(text.to_owned())),
        })
    }

    fn consent_form(
        &self,
        open: &OpenTransaction,
        person: &Person,
        scopes: Scopes,
        browser: &Browser,
    ) -> ConsentForm {
        let OpenTransaction { transaction, client, now, .. } = open;
        let Continuation::Authorize(request) = &transaction.then;
        let refreshable = interaction::is_refreshable(&scopes, client);
        let shown = SignInTransaction { consent_shown_in: Some(person.session.id), ..transaction.clone() };
        ConsentForm {
            client_name: client.name.clone(),
            username: person.user.username.clone(),
            scopes,
            resources: request.resources.clone(),
            access_lifetime: client.access_lifetime,
            refresh_lifetime: refreshable.then_some(client.refresh_lifetime),
            redirect_uri: request.to.redirect_uri.clone(),
            transaction: self.carry(&shown),
            csrf: self.csrf_token(browser, *now),
        }
    }

    /// The posted consent form. Everything is decided anew: a form proves a choice, nothing else.
    pub async fn consent(&self, form: &Params<'_>, browser: &Browser) -> Result<BrowserStep, PageError> {
        let now = self.clock.now();
        self.check_csrf(browser, form, now)?;
        let mut open = self.reopen(form.require("tx")?, browser, now).await?;
        let action = match form.require("action")? {
            "allow" => Action::Allow,
            "deny" => Action::Deny,
            _ => return Err(OauthError::invalid_request("The action must be allow or deny.").into()),
        };
        if action == Action::Allow {
            open.person = self.person(browser, now).await?;
        }
        self.proceed(action, &open).await
    }
}
