//! RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2.1 and OpenID Connect Core §3.1.2 — the
//! authorization request.
//!
//! It is judged in two stages. Until the client and its redirect URI are certain, a fault is shown
//! on a page of ours and never redirected (RFC 9700 §4.11.2); after that it is told to the client.

use serde::{Deserialize, Serialize};

use super::{ErrorCode, OauthError, Params, claims, redirect_uri, resource};
use crate::model::{Client, ClientKey, RequestedClaims, Scopes, SecurityEvent};

/// The most bytes of a request, as JSON, that are carried through sign-in and consent. Sealed and
/// in base64url it stays below 6 KiB, which every browser and proxy takes in a URL.
pub const MAX_CARRIED: usize = 4096;
/// R69: the most bytes of `scope`.
pub const MAX_SCOPE: usize = 1024;
/// The most bytes of `state`, which must be given back whole.
const MAX_STATE: usize = 2048;

/// `response_mode` (OAuth 2.0 Multiple Response Types §2.1, Form Post Response Mode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of the redirect URI; the default for `code`.
    #[default]
    Query,
    /// As a form that the browser posts to the redirect URI.
    FormPost,
}

impl ResponseMode {
    /// Every mode there is, in the order of the metadata.
    pub const ALL: [Self; 2] = [Self::Query, Self::FormPost];

    /// The mode's registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::FormPost => "form_post",
        }
    }
}

/// The `prompt` values there are, in the order of the metadata (OpenID Connect Core §3.1.2.1).
pub const PROMPTS: [&str; 4] = ["none", "login", "consent", "select_account"];

/// What the client wants the person to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// No page may be shown.
    #[serde(rename = "n", default, skip_serializing_if = "is_false")]
    pub none: bool,
    /// Sign in again.
    #[serde(rename = "l", default, skip_serializing_if = "is_false")]
    pub login: bool,
    /// Consent again.
    #[serde(rename = "c", default, skip_serializing_if = "is_false")]
    pub consent: bool,
    /// Choose an account.
    #[serde(rename = "s", default, skip_serializing_if = "is_false")]
    pub select_account: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Where an answer goes, known to be safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnTo {
    /// Registered, or a native client's loopback URI with its port.
    #[serde(rename = "u")]
    pub redirect_uri: String,
    /// How.
    #[serde(rename = "m")]
    pub response_mode: ResponseMode,
    /// Given back as it came.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// A valid authorization request; what is carried through sign-in and consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizeRequest {
    /// Whose it is.
    #[serde(rename = "c")]
    pub client: ClientKey,
    /// Where the answer goes.
    #[serde(rename = "r")]
    pub to: ReturnTo,
    /// The scopes asked for, all of them allowed for the client.
    #[serde(rename = "o")]
    pub scopes: Scopes,
    /// The resources asked for (RFC 8707), all of them allowed for the client.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// For the ID token.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// What to ask the person.
    #[serde(rename = "p", default)]
    pub prompt: Prompt,
    /// The sign-in may not be older, in seconds.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// A name to fill in on the sign-in page.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// The only subject the client wants: of a verified `id_token_hint`, or a `sub` value asked
    /// for in `claims` (OpenID Connect Core §5.5.1).
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The claims asked for by name.
    #[serde(rename = "q", default)]
    pub claims: RequestedClaims,
    /// The S256 code challenge.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
}

/// A request as it came in: the hint is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorize {
    /// The request.
    pub request: AuthorizeRequest,
    /// `id_token_hint`, which the caller has yet to verify.
    pub id_token_hint: Option<String>,
}

/// Why a request is refused, and whether the person or the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizeError {
    /// Shown to the person, status 400; nothing is sent to any redirect URI.
    Page {
        /// What is wrong.
        error: OauthError,
        /// What to count.
        event: Option<SecurityEvent>,
    },
    /// Told to the client.
    Redirect {
        /// Where.
        to: ReturnTo,
        /// What is wrong.
        error: OauthError,
        /// What to count.
        event: Option<SecurityEvent>,
    },
}

impl From<OauthError> for AuthorizeError {
    fn from(error: OauthError) -> Self {
        Self::Page { error, event: None }
    }
}

/// First stage: the client and its redirect URI. What is wrong here is never redirected.
pub fn return_to(params: &Params, client: Option<&Client>) -> Result<ReturnTo, AuthorizeError> {
    params.require("client_id")?;
    let client =
        client.ok_or_else(|| OauthError::new(ErrorCode::InvalidClient, "The client_id is unknown."))?;
    if !client.enabled {
        return Err(OauthError::new(ErrorCode::UnauthorizedClient, "The client is disabled.").into());
    }
    let asked = params.require("redirect_uri")?;
    if !redirect_uri::matches(&client.redirect_uris, client.application_type, asked) {
        let error = OauthError::invalid_request("The redirect_uri is not registered for this client.");
        return Err(AuthorizeError::Page { error, event: Some(SecurityEvent::RedirectUriRejected) });
    }
    let state = params.get("state");
    if state.is_some_and(|state| state.len() > MAX_STATE || state.contains(char::is_control)) {
        // It could not be given back as it came, so there is nothing to redirect with.
        return Err(OauthError::invalid_request(
            "The state is longer than 2048 bytes or has control characters.",
        )
        .into());
    }
    Ok(ReturnTo {
        redirect_uri: asked.to_owned(),
        // An unknown mode is refused in the second stage, by the default one.
        response_mode: response_mode(params).unwrap_or_default(),
        state: state.map(str::to_owned),
    })
}

fn response_mode(params: &Params) -> Option<ResponseMode> {
    match params.get("response_mode") {
        None => Some(ResponseMode::Query),
        Some(name) => ResponseMode::ALL.into_iter().find(|mode| mode.as_str() == name),
    }
}

/// Both stages. `client` is the one `client_id` names, if there is one.
pub fn parse(params: &Params, client: Option<&Client>) -> Result<Authorize, AuthorizeError> {
    let to = return_to(params, client)?;
    let client = client.expect("return_to refuses a request without a client");
    details(params, client, &to).map_err(|error| {
        let escalation = error.code == ErrorCode::InvalidScope;
        AuthorizeError::Redirect { to, error, event: escalation.then_some(SecurityEvent::ScopeEscalation) }
    })
}

/// Second stage: everything that may be told to the client.
fn details(params: &Params, client: &Client, to: &ReturnTo) -> Result<Authorize, OauthError> {
    refuse_what_is_not_supported(params)?;
    response_type(params)?;
    if !client.may_use("authorization_code") {
        return Err(OauthError::new(
            ErrorCode::UnauthorizedClient,
            "The client may not use authorization codes.",
        ));
    }
    let challenge = challenge(params, client)?;
    let mut claims = RequestedClaims::default();
    let mut subject = None;
    if let Some(text) = params.get("claims") {
        (claims, subject) = claims::parse(text)?;
    }
    let max_age = max_age(params)?;
    if max_age.is_some() && !claims.id_token.iter().any(|name| name == "auth_time") {
        // OpenID Connect Core §2: auth_time is required when max_age was asked for.
        claims.id_token.push("auth_time".into());
    }
    let resources = resource::requested(params)?;
    resource::within(&resources, &client.resources)?;
    let request = AuthorizeRequest {
        client: client.key,
        to: to.clone(),
        scopes: scopes(params, client)?,
        resources,
        nonce: params.get("nonce").map(str::to_owned),
        prompt: prompt(params)?,
        max_age,
        login_hint: params.get("login_hint").map(str::to_owned),
        subject,
        claims,
        challenge,
    };
    let size = serde_json::to_vec(&request).map_or(usize::MAX, |json| json.len());
    if size > MAX_CARRIED {
        return Err(OauthError::invalid_request("The request is too large to be carried through sign-in."));
    }
    Ok(Authorize { request, id_token_hint: params.get("id_token_hint").map(str::to_owned) })
}

/// Whether the client may still have what a carried request asks for: its record may have changed
/// while the person was signing in.
pub fn still_allowed(request: &AuthorizeRequest, client: &Client) -> bool {
    client.enabled
        && client.may_use("authorization_code")
        && redirect_uri::matches(&client.redirect_uris, client.application_type, &request.to.redirect_uri)
        && request.scopes.is_subset_of(&client.scopes)
        && resource::within(&request.resources, &client.resources).is_ok()
        && (request.challenge.is_some() || !(client.require_pkce || client.is_public()))
}

/// OpenID Connect Core §6, §7.2.1: what we do not take, each with the error of its own.
fn refuse_what_is_not_supported(params: &Params) -> Result<(), OauthError> {
    for (name, code) in [
        ("request", ErrorCode::RequestNotSupported),
        ("request_uri", ErrorCode::RequestUriNotSupported),
        ("registration", ErrorCode::RegistrationNotSupported),
    ] {
        if params.get(name).is_some() {
            return Err(OauthError::new(code, format!("The parameter {name} is not supported.")));
        }
    }
    if response_mode(params).is_none() {
        return Err(OauthError::invalid_request("The response_mode must be query or form_post."));
    }
    Ok(())
}

/// R5: `code`, and no type that would send a token through the browser.
fn response_type(params: &Params) -> Result<(), OauthError> {
    match params.require("response_type")? {
        "code" => Ok(()),
        _ => Err(OauthError::new(ErrorCode::UnsupportedResponseType, "The only response_type is code.")),
    }
}

/// RFC 7636 §4.3, §4.4.1; R7 and R8.
fn challenge(params: &Params, client: &Client) -> Result<Option<String>, OauthError> {
    let method = params.get("code_challenge_method");
    let Some(challenge) = params.get("code_challenge") else {
        if method.is_some() {
            return Err(OauthError::invalid_request(
                "There is a code_challenge_method without a code_challenge.",
            ));
        }
        // Whatever its record says, a public client has nothing but PKCE.
        if client.require_pkce || client.is_public() {
            return Err(OauthError::invalid_request("The code_challenge is missing: PKCE is required."));
        }
        return Ok(None);
    };
    // A missing method means plain (RFC 7636 §4.3), and plain does not protect.
    if method != Some("S256") {
        return Err(OauthError::invalid_request("The code_challenge_method must be S256."));
    }
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if challenge.len() != 43 || !challenge.bytes().all(base64url) {
        return Err(OauthError::invalid_request(
            "The code_challenge is not the base64url of a SHA-256 digest.",
        ));
    }
    Ok(Some(challenge.to_owned()))
}

/// RFC 6749 §3.3.
fn scopes(params: &Params, client: &Client) -> Result<Scopes, OauthError> {
    let refuse = |description: &'static str| OauthError::new(ErrorCode::InvalidScope, description);
    let Some(text) = params.get("scope") else {
        // RFC 6749 §3.3: a pre-defined default. OpenID Connect must be asked for by name.
        return Ok(client.scopes.without("openid").without("offline_access"));
    };
    if text.len() > MAX_SCOPE {
        return Err(refuse("The scope is longer than 1024 bytes."));
    }
    let scopes = Scopes::parse(text)
        .ok_or_else(|| refuse("The scope has characters that RFC 6749 does not allow."))?;
    if !scopes.is_subset_of(&client.scopes) {
        return Err(refuse("The client may not ask for one of these scopes."));
    }
    Ok(scopes)
}

/// OpenID Connect Core §3.1.2.1. Values we do not know are ignored, as it allows.
fn prompt(params: &Params) -> Result<Prompt, OauthError> {
    let values: Vec<&str> =
        params.get("prompt").unwrap_or("").split(' ').filter(|value| !value.is_empty()).collect();
    let has = |name| values.contains(&name);
    if has("none") && values.len() > 1 {
        return Err(OauthError::invalid_request("The prompt none cannot be combined with another value."));
    }
    Ok(Prompt {
        none: has("none"),
        login: has("login"),
        consent: has("consent"),
        select_account: has("select_account"),
    })
}

fn max_age(params: &Params) -> Result<Option<u64>, OauthError> {
    let Some(text) = params.get("max_age") else { return Ok(None) };
    let digits = text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if digits => Ok(Some(seconds)),
        _ => Err(OauthError::invalid_request("The max_age is not a number of seconds.")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
