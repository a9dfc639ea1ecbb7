//! RFC 8414 and OpenID Connect Discovery 1.0 — server metadata, derived from the code's own tables.

use serde_json::{Value, json};

use super::{grants::GRANTS, id_token::ACR, pkce, userinfo::SCOPE_CLAIMS};
use crate::model::{AuthMethod, SigningAlg};

/// Paths below the issuer. The routes are mounted at these.
pub mod path {
    /// RFC 6749 §3.1.
    pub const AUTHORIZE: &str = "/oauth/authorize";
    /// RFC 6749 §3.2.
    pub const TOKEN: &str = "/oauth/token";
    /// RFC 7662.
    pub const INTROSPECT: &str = "/oauth/introspect";
    /// Many tokens under one client authentication.
    pub const INTROSPECT_BATCH: &str = "/oauth/introspect/batch";
    /// RFC 7009.
    pub const REVOKE: &str = "/oauth/revoke";
    /// OpenID Connect Core §5.3.
    pub const USERINFO: &str = "/oauth/userinfo";
    /// OpenID Connect RP-Initiated Logout 1.0.
    pub const LOGOUT: &str = "/oauth/logout";
    /// RFC 7517.
    pub const JWKS: &str = "/.well-known/jwks.json";
    /// RFC 8414 §3.
    pub const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";
    /// OpenID Connect Discovery §4.
    pub const OPENID_METADATA: &str = "/.well-known/openid-configuration";
}

/// The response modes of the authorization endpoint.
pub const RESPONSE_MODES: &[&str] = &["query", "form_post"];

/// The metadata document; both well-known addresses serve the same.
pub fn metadata(issuer: &str, algorithms: &[SigningAlg]) -> Value {
    let url = |path: &str| format!("{issuer}{path}");
    let methods = |public: bool| -> Vec<_> {
        AuthMethod::ALL
            .into_iter()
            .filter(|method| public || *method != AuthMethod::None)
            .map(AuthMethod::as_str)
            .collect()
    };
    let mut claims =
        vec!["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"];
    claims.extend(SCOPE_CLAIMS.iter().flat_map(|(_, claims)| claims.iter().copied()));
    json!({
        "issuer": issuer,
        "authorization_endpoint": url(path::AUTHORIZE),
        "token_endpoint": url(path::TOKEN),
        "introspection_endpoint": url(path::INTROSPECT),
        "revocation_endpoint": url(path::REVOKE),
        "userinfo_endpoint": url(path::USERINFO),
        "end_session_endpoint": url(path::LOGOUT),
        "jwks_uri": url(path::JWKS),
        "scopes_supported": SCOPE_CLAIMS.iter().map(|(scope, _)| *scope).collect::<Vec<_>>(),
        "response_types_supported": ["code"],
        "response_modes_supported": RESPONSE_MODES,
        "grant_types_supported": GRANTS.iter().map(|grant| grant.grant_type()).collect::<Vec<_>>(),
        "token_endpoint_auth_methods_supported": methods(true),
        "introspection_endpoint_auth_methods_supported": methods(false),
        "revocation_endpoint_auth_methods_supported": methods(true),
        "code_challenge_methods_supported": pkce::METHODS,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms.iter().map(|alg| alg.as_str()).collect::<Vec<_>>(),
        "acr_values_supported": [ACR],
        "claim_types_supported": ["normal"],
        "claims_supported": claims,
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "display_values_supported": ["page"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R10, R11
    #[test]
    fn the_metadata_promises_what_the_code_does() {
        let said = metadata("https://id.example", &[SigningAlg::EdDSA]);
        assert_eq!(said["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(said["authorization_response_iss_parameter_supported"], true);
        assert_eq!(said["request_parameter_supported"], false);
        assert_eq!(said["token_endpoint"], "https://id.example/oauth/token");
        assert_eq!(said["grant_types_supported"].as_array().unwrap().len(), GRANTS.len());
        assert_eq!(said["id_token_signing_alg_values_supported"], json!(["EdDSA"]));
    }
}
