//! Sample views: replaced templates are tried with them at start.

use minijinja::{Value, value::Serde};

use super::views::*;
use crate::model::{ClientKey, Id, Scopes, SessionId, UnixTime};

/// One page to try, and what its body must have for the flow to work.
pub(super) struct Trial {
    pub(super) template: &'static str,
    pub(super) view: Value,
    pub(super) must_have: &'static [&'static str],
}

/// Every page, with all that it can show and with the least.
pub(super) fn trials() -> Vec<Trial> {
    let trial = |template, view, must_have| Trial { template, view, must_have };
    const LOGIN: &[&str] = &["name=\"csrf\"", "name=\"username\"", "name=\"password\"", "action=\"/login\""];
    const CONSENT: &[&str] =
        &["name=\"csrf\"", "name=\"tx\"", "value=\"allow\"", "value=\"deny\"", "action=\"/consent\""];
    const LOGOUT: &[&str] = &["name=\"csrf\"", "value=\"confirm\"", "action=\"/oauth/logout\""];
    const ACCOUNT: &[&str] =
        &["name=\"csrf\"", "name=\"id\"", "/account/sessions/end", "/account/sign-out-everywhere"];
    let mut trials = Vec::new();
    for full in [true, false] {
        trials.push(trial("login.html", Value::from(Serde(login(full))), LOGIN));
        trials.push(trial("consent.html", Value::from(Serde(consent(full))), CONSENT));
        trials.push(trial("error.html", Value::from(Serde(error(full))), &[]));
        trials.push(trial("logout.html", Value::from(Serde(logout(full))), LOGOUT));
        trials.push(trial("logged_out.html", Value::from(Serde(logged_out(full))), &[]));
        trials.push(trial("account.html", Value::from(Serde(account(full))), ACCOUNT));
    }
    // A replaced page that drops the transaction would strand everybody who came from a client.
    trials.push(trial("login.html", Value::from(Serde(login(true))), &["name=\"tx\""]));
    trials.push(trial("logout.html", Value::from(Serde(logout(true))), &["name=\"tx\""]));
    trials.push(trial("form_post.html", Value::from(Serde(form_post())), &["name=\"code\"", "name=\"iss\""]));
    trials
}

fn host() -> String {
    "login.example.com".to_owned()
}

fn given(full: bool, text: &str) -> Option<String> {
    full.then(|| text.to_owned())
}

pub(super) fn login(full: bool) -> LoginPage {
    LoginPage {
        issuer_host: host(),
        client_name: given(full, "Riverside Library"),
        tx: given(full, "sample-tx"),
        csrf: "sample-csrf".to_owned(),
        username: given(full, "alice").unwrap_or_default(),
        error: full.then_some(LoginError::Credentials),
    }
}

pub(super) fn consent(full: bool) -> ConsentPage {
    let scopes = if full { "openid profile email offline_access loans:renew" } else { "openid" };
    ConsentPage {
        issuer_host: host(),
        client_name: "Riverside Library".to_owned(),
        user_name: "alice".to_owned(),
        scopes: ScopeLine::all(&scopes.split(' ').collect::<Scopes>()),
        resources: given(full, "https://api.library.example.com/").into_iter().collect(),
        access_lifetime: 3_600,
        refresh_lifetime: full.then_some(30 * 86_400),
        returns_to: given(full, "library.example.com"),
        tx: "sample-tx".to_owned(),
        csrf: "sample-csrf".to_owned(),
    }
}

pub(super) fn error(full: bool) -> ErrorPage {
    ErrorPage {
        issuer_host: host(),
        code: "invalid_request".to_owned(),
        description: "The redirect_uri is not one that this application registered.".to_owned(),
        status: 400,
        request_id: given(full, "01932b7e-5a0c-7d11-9f3e-2f6f0f3c1a77"),
    }
}

pub(super) fn logout(full: bool) -> LogoutPage {
    LogoutPage {
        issuer_host: host(),
        client_name: given(full, "Riverside Library"),
        user_name: given(full, "alice"),
        tx: given(full, "sample-tx"),
        csrf: "sample-csrf".to_owned(),
    }
}

pub(super) fn logged_out(full: bool) -> LoggedOutPage {
    LoggedOutPage {
        issuer_host: host(),
        signed_out: full,
        continue_to: given(full, "https://library.example.com/bye?state=1"),
        client_name: given(full, "Riverside Library"),
    }
}

pub(super) fn account(full: bool) -> AccountPage {
    let session = |n, user_agent: &str, current| SessionRow {
        id: SessionId(Id::new(1_795_000_000_000, [n; 10])),
        user_agent: user_agent.to_owned(),
        signed_in: UnixTime(1_795_000_000),
        last_seen: UnixTime(1_795_171_996),
        current,
    };
    let consent = |n, client_name: &str, scopes: &str| ConsentRow {
        id: ClientKey(Id::new(1_790_000_000_000, [n; 10])),
        client_name: client_name.to_owned(),
        scopes: ScopeLine::all(&scopes.split(' ').collect::<Scopes>()),
        since: UnixTime(1_790_000_000),
    };
    let mut sessions = vec![session(1, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0", true)];
    let mut consents = Vec::new();
    if full {
        sessions.push(session(
            2,
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5) Version/18.5 Safari/604.1",
            false,
        ));
        consents.push(consent(1, "Riverside Library", "openid profile email loans:renew"));
        consents.push(consent(2, "Town Calendar", "openid offline_access"));
    }
    AccountPage {
        issuer_host: host(),
        user_name: "alice".to_owned(),
        notice: given(full, "The session was ended."),
        sessions,
        consents,
        csrf: "sample-csrf".to_owned(),
    }
}

pub(super) fn form_post() -> FormPost {
    let param = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    FormPost {
        issuer_host: host(),
        redirect_uri: "https://library.example.com/callback".to_owned(),
        returns_to: "library.example.com".to_owned(),
        params: vec![
            param("code", "sample-code"),
            param("state", "sample-state"),
            param("iss", "https://login.example.com"),
        ],
    }
}
