//! A person signs in, and an application gets her tokens: the code flow (RFC 6749 §4.1) over HTTP.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    failure::Failure,
    target::Target,
    wire::{
        browser::{Browser, Page, field, param},
        request::form,
    },
    workload::lives,
};

/// Somebody who is signed in and has agreed.
pub struct SignedIn {
    browser: Browser,
    /// The application's own connection: its requests carry no cookies.
    application: Browser,
    /// RFC 7636 §4.1.
    pub verifier: String,
    /// The authorization request.
    pub authorize: String,
}

/// What a code brings.
pub struct Tokens {
    /// For the resource servers.
    pub access: String,
    /// Not every client gets one.
    pub refresh: Option<String>,
    /// How long the access token lives.
    pub lifetime: Option<Duration>,
}

impl SignedIn {
    /// Goes through the login page, and the consent page if it is asked.
    pub fn new(target: &Target) -> Result<Self, Failure> {
        let verifier = verifier()?;
        let authorize = authorize(target, &verifier);
        let mut browser = Browser::open(target.address, &target.host)?;
        let (user, password) = (&*target.person.0, &*target.person.1);
        let begun = browser.get(&authorize, &[])?;
        let login = local(
            &begun,
            "/login",
            "the authorization request was refused; check --web-client, \
                          --redirect-uri and --user-scope",
        )?;
        let filled = [("username", user), ("password", password), ("action", "login")];
        let mut answer = submit(&mut browser, target, login, &filled)?;
        if answer.status == 400 {
            return Err(Failure::Run(format!(
                "the server does not let {user} sign in; check --user and the password"
            )));
        }
        if answer.location.starts_with("/consent") {
            answer = submit(&mut browser, target, &answer.location, &[("action", "allow")])?;
        }
        let application = Browser::open(target.address, &target.host)?;
        let mut signed_in = Self { browser, application, verifier, authorize };
        let code = code(&answer)?;
        signed_in.redeem(target, &code)?;
        Ok(signed_in)
    }

    /// The cookies of the sign-in.
    pub fn cookies(&self) -> String {
        self.browser.cookies()
    }

    /// Tokens by a code of their own.
    pub fn tokens(&mut self, target: &Target) -> Result<Tokens, Failure> {
        let authorize = self.authorize.clone();
        let answer = self.browser.get(&authorize, &[])?;
        let code = code(&answer)?;
        self.redeem(target, &code)
    }

    fn redeem(&mut self, target: &Target, code: &str) -> Result<Tokens, Failure> {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &*target.web.redirect_uri),
            ("code_verifier", &*self.verifier),
        ];
        let page =
            self.application.post("/oauth/token", &[("Authorization", &target.web.authorization)], &pairs)?;
        let json = page.json();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let access = text("access_token").filter(|_| page.status == 200).ok_or_else(|| {
            Failure::Run(format!("the server does not redeem a code: {}; check --web-client", page.words()))
        })?;
        Ok(Tokens { access, refresh: text("refresh_token"), lifetime: lives(&json) })
    }
}

fn submit(
    browser: &mut Browser,
    target: &Target,
    path: &str,
    filled: &[(&str, &str)],
) -> Result<Page, Failure> {
    let page = browser.get(path, &[])?;
    let body = String::from_utf8_lossy(&page.body);
    let (csrf, tx) = (field(&body, "csrf"), field(&body, "tx"));
    let hidden = [("csrf", csrf.as_deref()), ("tx", tx.as_deref())];
    let hidden = hidden.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let pairs: Vec<_> = hidden.chain(filled.iter().copied()).collect();
    let origin = format!("http://{}", target.host);
    browser.post(path.split('?').next().unwrap_or_default(), &[("Origin", &origin)], &pairs)
}

/// Where an answer sends to within the server.
fn local<'p>(page: &'p Page, path: &str, otherwise: &str) -> Result<&'p str, Failure> {
    let there = page.location.starts_with(path);
    there
        .then_some(&*page.location)
        .ok_or_else(|| Failure::Run(format!("{otherwise} (it says {})", page.words())))
}

fn code(answer: &Page) -> Result<String, Failure> {
    param(&answer.location, "code").ok_or_else(|| {
        let error = param(&answer.location, "error").unwrap_or_else(|| answer.words());
        Failure::Run(format!("the authorization brought no code but {error}"))
    })
}

fn verifier() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Run(format!("no randomness: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// RFC 6749 §4.1.1 with RFC 7636 §4.3.
fn authorize(target: &Target, verifier: &str) -> String {
    let challenge = challenge(verifier);
    let query = form(&[
        ("response_type", "code"),
        ("client_id", &target.web.id),
        ("redirect_uri", &target.web.redirect_uri),
        ("scope", &target.web.scope),
        ("state", "load"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    format!("/oauth/authorize?{query}")
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_specification() {
        // RFC 7636 Appendix B.
        let challenge = challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let verifier = verifier().expect("randomness");
        assert!(verifier.len() == 43 && verifier != super::verifier().expect("randomness"));
    }
}
