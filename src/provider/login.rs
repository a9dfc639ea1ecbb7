//! NIST SP 800-63B-4 §3.1.1 — signing in with a password.

use super::{
    ProviderError, SignInPages,
    authorize::{BrowserStep, Shown},
    browser::{Browser, PageError},
    session::Person,
    transaction::OpenTransaction,
};
use crate::{
    model::*,
    observe::LoginResult as Attempt,
    protocol::{
        Params,
        interaction::{Action, InteractionDecision},
        password_policy,
        transaction::Continuation,
        username::{self, MAX_USERNAME},
    },
    store::Effect,
};

/// What the sign-in page needs to know.
#[derive(Clone, Debug)]
pub struct LoginForm {
    /// The client that waits for the sign-in; `None` when the person came for their own account.
    pub client_name: Option<String>,
    /// Where the form's POST may lead in the end.
    pub redirect_uri: Option<String>,
    /// The sealed transaction.
    pub transaction: Option<String>,
    /// For the form.
    pub csrf: String,
    /// To fill in.
    pub username: String,
}

/// Why a sign-in did not succeed. One sentence for every cause a person could probe (R56).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFault {
    /// There is no such pair of name and password.
    Credentials,
    /// Too many passwords are being checked right now.
    Busy,
}

/// What a posted sign-in form comes to.
#[derive(Debug)]
pub enum Login {
    /// Signed in: set the cookie, then go on. Without a step, to the person's account.
    SignedIn {
        /// The new session's cookie.
        cookie: Secret<String>,
        /// Where to. A transaction that is over does not undo the sign-in.
        step: Result<Option<BrowserStep>, PageError>,
    },
    /// Show the form again.
    Again(LoginForm, LoginFault),
    /// The person does not want to; without an answer, stay here.
    Cancelled(BrowserStep),
}

impl SignInPages {
    /// The sign-in page of a transaction, or of one's own account. `None`: signed in already.
    pub async fn login_page(
        &self,
        text: Option<&str>,
        browser: &Browser,
    ) -> Result<Option<Shown<LoginForm>>, PageError> {
        let now = self.clock.now();
        let person = self.person(browser, now).await?;
        let Some(text) = text else {
            let form = self.login_form(None, browser, "", now);
            return Ok(person.is_none().then_some(Shown::Page(form)));
        };
        let open = OpenTransaction { person, ..self.reopen(text, browser, now).await? };
        Ok(Some(match self.decide(Action::ShowLogin, &open).await? {
            InteractionDecision::Show(_) => {
                let Continuation::Authorize(request) = &open.transaction.then;
                let hint = request.login_hint.as_deref().unwrap_or("");
                Shown::Page(self.login_form(Some(&open), browser, hint, now))
            }
            decision => Shown::Step(self.carry_out(decision, &open).await?),
        }))
    }

    fn login_form(
        &self,
        open: Option<&OpenTransaction>,
        browser: &Browser,
        username: &str,
        now: UnixTime,
    ) -> LoginForm {
        let redirect_uri = |open: &OpenTransaction| {
            let Continuation::Authorize(request) = &open.transaction.then;
            request.to.redirect_uri.clone()
        };
        LoginForm {
            client_name: open.map(|open| open.client.name.clone()),
            redirect_uri: open.map(redirect_uri),
            transaction: open.map(|open| self.carry(&open.transaction)),
            csrf: self.csrf_token(browser, now),
            username: username.chars().take(MAX_USERNAME).collect(),
        }
    }

    /// The posted sign-in form.
    pub async fn login(&self, form: &Params<'_>, browser: &Browser) -> Result<Login, PageError> {
        let now = self.clock.now();
        self.check_csrf(browser, form, now)?;
        let open = match form.get("tx") {
            Some(text) => Some(self.reopen(text, browser, now).await?),
            None => None,
        };
        if let (Some("cancel"), Some(open)) = (form.get("action"), &open) {
            return self.proceed(Action::CancelLogin, open).await.map(Login::Cancelled);
        }
        let (name, password) = (form.get("username").unwrap_or(""), form.get("password").unwrap_or(""));
        let user = match self.check_password(name, password).await {
            Ok(Ok(user)) => user,
            Ok(Err(fault)) => {
                return Ok(Login::Again(self.login_form(open.as_ref(), browser, name, now), fault));
            }
            Err(error) => return Err(error.into()),
        };
        let (person, cookie) = self.sign_in(user, browser, now).await?;
        let step = match open {
            Some(mut open) => {
                open.transaction.begun_session = Some(person.session.id);
                open.person = Some(person);
                self.proceed(Action::SignedIn, &open).await.map(Some)
            }
            None => Ok(None),
        };
        Ok(Login::SignedIn { cookie, step })
    }

    /// Whose name and password these are. The same work whether or not there is such a user (R56).
    async fn check_password(
        &self,
        name: &str,
        password: &str,
    ) -> Result<Result<Checked, LoginFault>, ProviderError> {
        // R51: refused before any look-up or hashing, for every name alike.
        let Ok(password) = password_policy::normalise(password) else {
            self.metrics.login(Attempt::WrongPassword);
            return Ok(Err(LoginFault::Credentials));
        };
        let user = match username::normalise(name) {
            Some(name) => self.store.user_by_name(&name).await?,
            None => None,
        };
        let stored = user.as_ref().filter(|user| user.enabled).and_then(|user| user.password.clone());
        let verified = match self.passwords.verify(password, stored.clone()).await {
            Err(ProviderError::Unavailable(_)) => {
                self.metrics.login(Attempt::Overload);
                return Ok(Err(LoginFault::Busy));
            }
            verified => verified?,
        };
        self.metrics.login(match &user {
            _ if verified.matches => Attempt::Success,
            None => Attempt::UnknownUser,
            Some(user) if !user.enabled => Attempt::Disabled,
            Some(user) if user.password.is_none() => Attempt::NoPassword,
            Some(_) => Attempt::WrongPassword,
        });
        let checked = user
            .filter(|_| verified.matches)
            .map(|user| Checked { user, rehash: stored.zip(verified.rehashed) });
        Ok(checked.ok_or(LoginFault::Credentials))
    }

    /// Begins a session; the one the browser had ends in the same commit (R58).
    async fn sign_in(
        &self,
        checked: Checked,
        browser: &Browser,
        now: UnixTime,
    ) -> Result<(Person, Secret<String>), PageError> {
        let Checked { user, rehash } = checked;
        let (session, cookie) = self.new_session(&user, browser, now);
        let mut effects = Vec::new();
        if let Some(digest) = &browser.session
            && let Some(old) = self.store.session(digest).await?
        {
            effects.push(Effect::EndSession(old.id));
        }
        effects.push(Effect::InsertSession(Box::new(session.clone())));
        if let Some((from, to)) = rehash {
            effects.push(Effect::RehashPassword { user: user.id, from, to });
        }
        self.commit(now, None, effects).await?;
        Ok((Person { session, user: user.into() }, cookie))
    }
}

/// A user whose password was right, and the old and the new hash if its parameters were raised.
struct Checked {
    user: User,
    rehash: Option<(String, String)>,
}
