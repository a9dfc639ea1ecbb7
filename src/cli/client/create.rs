//! `client create`: from flags to a client's record (OpenID Connect Registration §2).

use clap::{Args, ValueEnum};

use crate::{
    app::{Node, default_client},
    cli::CommandFailure,
    config::whole_seconds,
    model::*,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Its client_id: A-Z a-z 0-9 . _ ~ -
    client_id: String,
    /// What people see when they are asked to consent; its client_id by default.
    #[arg(long)]
    name: Option<String>,
    /// How it authenticates; `none` makes a public client.
    #[arg(long, value_enum, default_value = "client_secret_basic", value_name = "METHOD")]
    auth_method: AuthMethodName,
    /// `native` for installed programs, whose loopback redirects may use any port.
    #[arg(long, value_enum, default_value = "web", value_name = "TYPE")]
    application_type: ApplicationTypeName,
    /// An exact redirect URI; may be repeated.
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// Where the browser may go after signing out; may be repeated.
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// An origin whose pages may call the token endpoint (CORS); may be repeated.
    #[arg(long = "allowed-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    /// A grant type; may be repeated. By default the code flow with refresh tokens if there is a redirect
    /// URI, else client_credentials.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
    /// Scopes it may ask for, separated by blanks; may be repeated. By default those of people
    /// (openid profile email offline_access) if it has the code flow, else none.
    #[arg(long = "scope", value_name = "SCOPES")]
    scopes: Vec<String>,
    /// A resource (RFC 8707) it may ask for; may be repeated.
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// The audience of its tokens when it asks for no resource; the issuer by default.
    #[arg(long, value_name = "URI")]
    default_audience: Option<String>,
    /// Do not ask people for consent: only for your own applications.
    #[arg(long)]
    skip_consent: bool,
    /// Whether PKCE is required; only confidential clients may do without.
    #[arg(long, default_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    require_pkce: bool,
    /// How its ID tokens are signed.
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    id_token_alg: Option<SigningAlg>,
    /// `sealed`, or a signed JWT (RFC 9068): `jwt` or `jwt:ALG`.
    #[arg(long, value_name = "FORMAT", value_parser = token_format)]
    token_format: Option<TokenFormat>,
    /// Lifetime of its access tokens, such as 15m.
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    access_lifetime: Option<u64>,
    /// A refresh token dies when it was not used for so long.
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    refresh_idle_lifetime: Option<u64>,
    /// An authorization ends at this age in any case.
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    refresh_lifetime: Option<u64>,
    /// When it gets refresh tokens in the code flow.
    #[arg(long, value_enum, default_value = "offline_access", value_name = "WHEN")]
    refresh_policy: RefreshPolicyName,
    /// A refresh token presented again within this time gets the same answer; the configured one by default.
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    retry_window: Option<u64>,
    /// Let it introspect every token.
    #[arg(long)]
    introspect_any: bool,
    /// Confirm each of its introspections with the store.
    #[arg(long)]
    strict: bool,
}

/// The names as the specifications write them, with underscores.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum AuthMethodName {
    ClientSecretBasic,
    ClientSecretPost,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ApplicationTypeName {
    Web,
    Native,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum RefreshPolicyName {
    OfflineAccess,
    Always,
    Never,
}

impl From<AuthMethodName> for AuthMethod {
    fn from(name: AuthMethodName) -> Self {
        match name {
            AuthMethodName::ClientSecretBasic => Self::ClientSecretBasic,
            AuthMethodName::ClientSecretPost => Self::ClientSecretPost,
            AuthMethodName::None => Self::None,
        }
    }
}

impl From<ApplicationTypeName> for ApplicationType {
    fn from(name: ApplicationTypeName) -> Self {
        match name {
            ApplicationTypeName::Web => Self::Web,
            ApplicationTypeName::Native => Self::Native,
        }
    }
}

impl From<RefreshPolicyName> for RefreshPolicy {
    fn from(name: RefreshPolicyName) -> Self {
        match name {
            RefreshPolicyName::OfflineAccess => Self::OfflineAccess,
            RefreshPolicyName::Always => Self::Always,
            RefreshPolicyName::Never => Self::Never,
        }
    }
}

pub(in crate::cli) fn algorithm(name: &str) -> Result<SigningAlg, String> {
    SigningAlg::parse(name).ok_or_else(|| {
        let names = SigningAlg::ALL.map(SigningAlg::as_str);
        format!("must be one of {}", names.join(", "))
    })
}

fn token_format(text: &str) -> Result<TokenFormat, String> {
    match text.split_once(':') {
        None if text == "sealed" => Ok(TokenFormat::Sealed),
        // RFC 9068 §2.1: RS256 is what every resource server can verify.
        None if text == "jwt" => Ok(TokenFormat::Jwt(SigningAlg::RS256)),
        Some(("jwt", alg)) => algorithm(alg).map(TokenFormat::Jwt),
        _ => Err("must be sealed, jwt or jwt:ALG, such as jwt:ES256".to_owned()),
    }
}

impl Create {
    /// The record asked for; whether it is acceptable is for the provider to say.
    pub(super) fn client(self, node: &Node) -> Result<Client, CommandFailure> {
        let default = default_client(&node.config, &self.client_id);
        let grants = match self.grants {
            given if !given.is_empty() => given,
            _ if self.redirect_uris.is_empty() => vec!["client_credentials".into()],
            _ => vec!["authorization_code".into(), "refresh_token".into()],
        };
        let asked = self.scopes.join(" ");
        let scopes = match asked.as_str() {
            "" if grants.iter().any(|grant| grant == "authorization_code") => {
                "openid profile email offline_access"
            }
            other => other,
        };
        let scopes = Scopes::parse(scopes).ok_or_else(|| {
            CommandFailure::usage("The scopes have a character that RFC 6749 §3.3 forbids, such as a quote or a letter with an accent.")
        })?;
        Ok(Client {
            name: self.name.unwrap_or(default.name),
            auth_method: self.auth_method.into(),
            application_type: self.application_type.into(),
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            allowed_origins: self.allowed_origins,
            grants,
            scopes,
            resources: self.resources,
            default_audience: self.default_audience,
            skip_consent: self.skip_consent,
            require_pkce: self.require_pkce,
            id_token_alg: self.id_token_alg.unwrap_or(default.id_token_alg),
            token_format: self.token_format.unwrap_or(default.token_format),
            access_lifetime: self.access_lifetime.unwrap_or(default.access_lifetime),
            refresh_idle_lifetime: self.refresh_idle_lifetime.unwrap_or(default.refresh_idle_lifetime),
            refresh_lifetime: self.refresh_lifetime.unwrap_or(default.refresh_lifetime),
            refresh_policy: self.refresh_policy.into(),
            retry_window: self.retry_window,
            introspect_any: self.introspect_any,
            strict: self.strict,
            ..default
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_formats_are_read_as_they_are_shown() {
        let formats = SigningAlg::ALL.map(TokenFormat::Jwt).into_iter().chain([TokenFormat::Sealed]);
        for format in formats {
            assert_eq!(token_format(&format.to_string()), Ok(format));
        }
        for text in ["", "JWT", "jwt:", "jwt:none", "jwt:HS256", "sealed:ES256"] {
            assert!(token_format(text).is_err(), "{text}");
        }
    }
}
