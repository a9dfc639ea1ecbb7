//! OpenID Connect RP-Initiated Logout 1.0 — ending a browser's session.

use serde::{Deserialize, Serialize};

use super::{
    SignInPages,
    browser::{Browser, PageError},
    session::Person,
};
use crate::{
    crypto::{base64url, digest::equal, keys::Purpose},
    model::*,
    observe::LogoutKind as Ended,
    protocol::{
        OauthError, Params,
        logout::{self, AfterLogout, Logout},
    },
};

const PLACE: &[u8] = b"logout";

/// What the confirmation page needs to know.
#[derive(Clone, Debug)]
pub struct LogoutForm {
    /// The client that asks, if it is known.
    pub client_name: Option<String>,
    /// The person who is signed in.
    pub username: String,
    /// Where the form's POST leads, if not to a page of ours.
    pub redirect_uri: Option<String>,
    /// The sealed way back.
    pub transaction: Option<String>,
    /// For the form.
    pub csrf: String,
}

/// What a logout request comes to.
#[derive(Clone, Debug)]
pub enum LogoutStep {
    /// Ask first.
    Ask(LogoutForm),
    /// The session has ended: forget its cookie, and go there or say so.
    Ended(Option<AfterLogout>),
    /// There was no session.
    NotSignedIn(Option<AfterLogout>),
    /// The person stays signed in.
    Stayed(Option<AfterLogout>),
}

/// The way back, carried through the confirmation page.
#[derive(Serialize, Deserialize)]
struct Carried {
    #[serde(rename = "e")]
    expires_at: UnixTime,
    #[serde(rename = "b")]
    browser: String,
    #[serde(rename = "a")]
    after: AfterLogout,
}

impl SignInPages {
    /// A logout request, by GET or POST.
    pub async fn logout(&self, params: &Params<'_>, browser: &Browser) -> Result<LogoutStep, PageError> {
        let now = self.clock.now();
        // R62: a hint we cannot verify is no hint, so the person is asked.
        let hint = params.get("id_token_hint").and_then(|hint| self.verified_hint(hint));
        let client = match logout::client_id(params, hint.as_ref())? {
            Some(client_id) => self.store.client(client_id).await?,
            None => None,
        };
        let person = self.person(browser, now).await?;
        let session = person.as_ref().map(|person| &person.session);
        let decision = logout::decide(params, hint.as_ref(), client.as_deref(), session)?;
        Ok(match (decision, person) {
            (Logout::Ask(after), Some(person)) => {
                let client_name = client.map(|client| client.name.clone());
                LogoutStep::Ask(self.logout_form(&person, client_name, after, browser, now))
            }
            (Logout::Done(after), Some(person)) => {
                self.end(&person, now).await?;
                LogoutStep::Ended(after)
            }
            (Logout::Done(after), None) => LogoutStep::Ended(after),
            (Logout::NotSignedIn(after) | Logout::Ask(after), _) => LogoutStep::NotSignedIn(after),
        })
    }

    fn logout_form(
        &self,
        person: &Person,
        client_name: Option<String>,
        after: Option<AfterLogout>,
        browser: &Browser,
        now: UnixTime,
    ) -> LogoutForm {
        LogoutForm {
            client_name,
            username: person.user.username.clone(),
            redirect_uri: after.as_ref().map(|after| after.uri.clone()),
            transaction: after.map(|after| {
                let carried = Carried {
                    expires_at: now.plus(self.policy.login_lifetime),
                    browser: base64url::encode(&browser.digest.0),
                    after,
                };
                let json = serde_json::to_vec(&carried).expect("the way back is plain data");
                self.sealer.seal_text(Purpose::Cookie, PLACE, &json)
            }),
            csrf: self.csrf_token(browser, now),
        }
    }

    /// The posted confirmation.
    pub async fn confirm_logout(
        &self,
        form: &Params<'_>,
        browser: &Browser,
    ) -> Result<LogoutStep, PageError> {
        let now = self.clock.now();
        self.check_csrf(browser, form, now)?;
        let after = form.get("tx").map(|text| self.way_back(text, browser, now)).transpose()?;
        match form.require("action")? {
            "confirm" => {
                if let Some(person) = self.person(browser, now).await? {
                    self.end(&person, now).await?;
                }
                Ok(LogoutStep::Ended(after))
            }
            "cancel" => Ok(LogoutStep::Stayed(after)),
            _ => Err(OauthError::invalid_request("The action must be confirm or cancel.").into()),
        }
    }

    fn way_back(&self, text: &str, browser: &Browser, now: UnixTime) -> Result<AfterLogout, PageError> {
        let carried = self.sealer.open_text(Purpose::Cookie, PLACE, text);
        let carried = carried.and_then(|json| serde_json::from_slice::<Carried>(&json).ok());
        let carried = carried.filter(|carried| {
            now < carried.expires_at
                && equal(carried.browser.as_bytes(), base64url::encode(&browser.digest.0).as_bytes())
        });
        carried.map(|carried| carried.after).ok_or_else(|| {
            OauthError::invalid_request(
                "This page was open for too long. Go back to the application and try again.",
            )
            .into()
        })
    }

    async fn end(&self, person: &Person, now: UnixTime) -> Result<(), PageError> {
        let effects = self.end_session(&person.session, now);
        // R61: durable before the answer.
        self.commit(now, None, effects).await?;
        self.metrics.logout(Ended::Rp);
        Ok(())
    }
}
