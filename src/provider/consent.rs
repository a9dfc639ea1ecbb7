//! RFC 6749 §4.1.1, RFC 9700 §4.15 — the person's consent.

use super::{
    Provider,
    authorize::{Approval, Shown, Stage, Step},
    browser::{Browser, PageError},
    transaction::Transaction,
};
use crate::{
    model::*,
    protocol::{ErrorCode, OauthError, Params, interaction},
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

impl Provider {
    /// The consent page of a transaction.
    pub async fn consent_page(&self, text: &str, browser: &Browser) -> Result<Shown<ConsentForm>, PageError> {
        let now = self.clock.now();
        let transaction = self.resume(text, browser, now)?;
        let client = self.client_of(&transaction).await?;
        let person = self.person(browser, now).await?;
        Ok(match self.stage(&transaction, &client, person, now).await? {
            Stage::Login => Shown::Step(Step::Login(text.to_owned())),
            Stage::Answer(answer) => Shown::Step(Step::Answer(answer)),
            Stage::Consent { scopes, person } => {
                let refreshable = interaction::is_refreshable(&scopes, &client);
                let consent_shown_in = Some(person.session.id);
                let shown = Transaction { consent_shown_in, ..transaction.clone() };
                Shown::Page(ConsentForm {
                    client_name: client.name.clone(),
                    username: person.user.username.clone(),
                    scopes,
                    resources: transaction.request.resources.clone(),
                    access_lifetime: client.access_lifetime,
                    refresh_lifetime: refreshable.then_some(client.refresh_lifetime),
                    redirect_uri: transaction.request.to.redirect_uri.clone(),
                    transaction: self.carry(&shown),
                    csrf: self.csrf_token(browser, now),
                })
            }
        })
    }

    /// The posted consent form. Everything is decided anew: a form proves a choice, nothing else.
    pub async fn consent(&self, form: &Params<'_>, browser: &Browser) -> Result<Step, PageError> {
        let now = self.clock.now();
        self.check_csrf(browser, form, now)?;
        let text = form.require("tx")?;
        let transaction = self.resume(text, browser, now)?;
        let client = self.client_of(&transaction).await?;
        let request = &transaction.request;
        match form.require("action")? {
            "allow" => {}
            "deny" => {
                self.close(&transaction, now).await?;
                let error = OauthError::new(ErrorCode::AccessDenied, "The person did not allow it.");
                return Ok(Step::Answer(self.refusal(&request.to, &error)));
            }
            _ => return Err(OauthError::invalid_request("The action must be allow or deny.").into()),
        }
        let person = self.person(browser, now).await?;
        Ok(match self.stage(&transaction, &client, person, now).await? {
            Stage::Login => Step::Login(text.to_owned()),
            Stage::Answer(answer) => Step::Answer(answer),
            // The page named its person: only the person it was shown to can answer it.
            Stage::Consent { person, .. } if transaction.consent_shown_in != Some(person.session.id) => {
                Step::Consent(text.to_owned())
            }
            Stage::Consent { scopes, person } => {
                let approval = Approval {
                    request,
                    client: &client,
                    person: &person,
                    scopes,
                    transaction: Some(&transaction),
                    consented: true,
                };
                Step::Answer(self.issue_code(approval, now).await?)
            }
        })
    }
}
