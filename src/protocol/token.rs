//! RFC 6749 §3.2 — the token endpoint: the steps all grants share, and its answer.

use serde::Serialize;

use super::{
    ErrorCode, OauthError, Params,
    grants::{self, Grant},
};
use crate::model::{Client, Scopes};

/// The longest `scope` parameter, in bytes (R69).
pub const MAX_SCOPE: usize = 1024;

/// The grant a request asks for.
pub fn grant(form: &Params) -> Result<&'static dyn Grant, OauthError> {
    grants::find(form.require("grant_type")?).ok_or_else(|| {
        OauthError::new(ErrorCode::UnsupportedGrantType, "This grant_type is not supported by the server.")
    })
}

/// R31: a client uses the grants it is registered for; some are not for public clients.
pub fn permitted(grant: &dyn Grant, client: &Client) -> Result<(), OauthError> {
    if client.may_use(grant.grant_type()) && (grant.public_clients() || !client.is_public()) {
        return Ok(());
    }
    Err(OauthError::new(ErrorCode::UnauthorizedClient, "This client is not registered for this grant_type."))
}

/// The `scope` parameter (RFC 6749 §3.3).
pub fn scope(form: &Params) -> Result<Option<Scopes>, OauthError> {
    let Some(text) = form.get("scope") else { return Ok(None) };
    if text.len() > MAX_SCOPE {
        return Err(OauthError::invalid_request("The parameter scope is longer than 1024 bytes."));
    }
    let refused = || OauthError::new(ErrorCode::InvalidScope, "The parameter scope is malformed.");
    Scopes::parse(text).filter(|scopes| !scopes.is_empty()).map(Some).ok_or_else(refused)
}

/// The successful answer (RFC 6749 §5.1).
#[derive(Debug, Serialize)]
pub struct TokenResponse<'a> {
    /// The access token.
    pub access_token: &'a str,
    /// RFC 6750.
    pub token_type: &'static str,
    /// Seconds from now.
    pub expires_in: u64,
    /// The next refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<&'a str>,
    /// OpenID Connect Core §3.1.3.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<&'a str>,
    /// The scope granted, always said (RFC 6749 §5.1 requires it when it differs from the request).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AuthMethod;

    fn code_of<T>(result: Result<T, OauthError>) -> Option<ErrorCode> {
        result.err().map(|error| error.code)
    }

    /// R6
    #[test]
    fn an_unknown_grant_is_unsupported_and_a_missing_one_invalid() {
        let ask = |body: &'static str| code_of(grant(&Params::parse(body.as_bytes()).unwrap()));
        assert_eq!(ask("grant_type=password"), Some(ErrorCode::UnsupportedGrantType));
        assert_eq!(ask("grant_type="), Some(ErrorCode::InvalidRequest));
        assert_eq!(ask("grant_type=client_credentials"), None);
    }

    /// R31
    #[test]
    fn every_grant_is_refused_to_a_client_that_is_not_registered_for_it() {
        for grant in grants::GRANTS {
            let without = Client { grants: vec![], ..Client::example() };
            assert_eq!(code_of(permitted(*grant, &without)), Some(ErrorCode::UnauthorizedClient));
            let with = Client { grants: vec![grant.grant_type().into()], ..Client::example() };
            assert_eq!(code_of(permitted(*grant, &with)), None);
            let public = Client { auth_method: AuthMethod::None, ..with };
            assert_eq!(code_of(permitted(*grant, &public)).is_none(), grant.public_clients());
        }
    }

    /// R69, T32
    #[test]
    fn an_oversized_or_malformed_scope_is_refused() {
        let ask = |text: &str| {
            let body = format!("scope={text}");
            code_of(scope(&Params::parse(body.as_bytes()).unwrap()))
        };
        assert_eq!(ask(&"a".repeat(1025)), Some(ErrorCode::InvalidRequest));
        assert_eq!(ask("a%22b"), Some(ErrorCode::InvalidScope));
        assert_eq!(ask("+"), Some(ErrorCode::InvalidScope));
        assert_eq!(ask("read+write"), None);
    }
}
