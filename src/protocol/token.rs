//! RFC 6749 §3.2 — the token endpoint: the steps all grants share, and its answer.

use super::{
    ErrorCode, OauthError, Params,
    grants::{self, Grant},
    json::{Object, name},
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
#[derive(Debug)]
pub struct TokenResponse<'a> {
    /// The access token; its `token_type` is always Bearer (RFC 6750).
    pub access_token: &'a str,
    /// Seconds from now.
    pub expires_in: u64,
    /// The next refresh token.
    pub refresh_token: Option<&'a str>,
    /// OpenID Connect Core §3.1.3.3.
    pub id_token: Option<&'a str>,
    /// The scope granted, said unless it is empty (RFC 6749 §5.1 requires it when it differs from the
    /// request).
    pub scope: &'a str,
}

impl TokenResponse<'_> {
    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        const NAMES: usize = 128;
        let tokens = [Some(self.access_token), self.refresh_token, self.id_token].into_iter().flatten();
        let size = NAMES + self.scope.len() + tokens.map(str::len).sum::<usize>();
        let mut out = Vec::with_capacity(size);
        let mut said = Object::begin(&mut out);
        said.plain(name!("access_token"), self.access_token);
        said.plain(name!("token_type"), "Bearer");
        said.number(name!("expires_in"), self.expires_in);
        self.refresh_token.inspect(|token| said.plain(name!("refresh_token"), token));
        self.id_token.inspect(|token| said.plain(name!("id_token"), token));
        if !self.scope.is_empty() {
            said.plain(name!("scope"), self.scope);
        }
        said.end();
        out
    }
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

    #[test]
    fn an_answer_says_what_was_issued_and_nothing_else() {
        let least = TokenResponse {
            access_token: "a",
            expires_in: 900,
            refresh_token: None,
            id_token: None,
            scope: "",
        };
        assert_eq!(least.to_json(), br#"{"access_token":"a","token_type":"Bearer","expires_in":900}"#);
        let all = TokenResponse { refresh_token: Some("r"), id_token: Some("i.d.t"), scope: "x y", ..least };
        let expected = serde_json::json!({
            "access_token": "a", "token_type": "Bearer", "expires_in": 900, "refresh_token": "r",
            "id_token": "i.d.t", "scope": "x y",
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&all.to_json()).unwrap(), expected);
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
