//! Clients and the resources they may ask for.

use serde::{Deserialize, Serialize};

use super::{ClientKey, Id, Scopes, UnixTime};

/// SHA-256 of something secret or long; what the store keeps in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(Self)
    }
}

/// How a client proves who it is at the token endpoint (OpenID Connect Core §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// HTTP Basic with the client secret (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// The client secret in the form body (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// A public client: only `client_id`.
    None,
}

impl AuthMethod {
    /// Every method there is, in the order of the metadata.
    pub const ALL: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    /// The method's registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
        }
    }
}

/// `application_type` of OpenID Connect Registration §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    /// A web server or a page in a browser.
    Web,
    /// An installed program; its loopback redirects may use any port (RFC 8252 §7.3).
    Native,
}

/// A JWS algorithm Chancery signs with (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SigningAlg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// Ed25519.
    EdDSA,
}

impl SigningAlg {
    /// Every algorithm there is, in the order of the metadata.
    pub const ALL: [Self; 4] = [Self::RS256, Self::ES256, Self::PS256, Self::EdDSA];

    /// The `alg` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::PS256 => "PS256",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Reads an `alg` value; anything but the four names is `None` (RFC 8725 §3.1).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }
}

/// What a client's access tokens look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// Sealed with AES-256-GCM, opaque to everybody but Chancery.
    Sealed,
    /// A signed JWT (RFC 9068).
    Jwt(SigningAlg),
}

/// When a client gets refresh tokens in the code flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshPolicy {
    /// When the person consented to `offline_access`.
    OfflineAccess,
    /// With every authorization.
    Always,
    /// Never.
    Never,
}

/// A client secret as the store keeps it. Two may be valid at once, so that they can be rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// SHA-256 of the secret: it has 256 random bits, so it needs no password hash.
    pub digest: Digest,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it stops working; `None` for the current one.
    pub expires_at: Option<UnixTime>,
}

/// A registered client. Lifetimes are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Row key.
    pub key: ClientKey,
    /// The public name, `client_id` (RFC 6749 §2.2).
    pub client_id: String,
    /// What people see on the consent page.
    pub name: String,
    /// Disabled clients can do nothing; disabling raises `epoch`.
    pub enabled: bool,
    /// Raised when everything issued so far must die.
    pub epoch: u32,
    /// The one way this client authenticates.
    pub auth_method: AuthMethod,
    /// At most two.
    pub secrets: Vec<ClientSecret>,
    /// Web or native.
    pub application_type: ApplicationType,
    /// Exact redirect URIs (RFC 9700 §4.1.3).
    pub redirect_uris: Vec<String>,
    /// Exact URIs for RP-Initiated Logout §3.1.
    pub post_logout_redirect_uris: Vec<String>,
    /// Origins that may call the token endpoint from a browser (CORS).
    pub allowed_origins: Vec<String>,
    /// The `grant_type` values it may use.
    pub grants: Vec<String>,
    /// The scopes it may ask for.
    pub scopes: Scopes,
    /// The resources (RFC 8707) it may ask for.
    pub resources: Vec<String>,
    /// `aud` when no `resource` is asked for; the issuer if `None`.
    pub default_audience: Option<String>,
    /// First-party clients need no consent page.
    pub skip_consent: bool,
    /// RFC 7636; always true for public clients.
    pub require_pkce: bool,
    /// How its ID tokens are signed.
    pub id_token_alg: SigningAlg,
    /// What its access tokens look like.
    pub token_format: TokenFormat,
    /// Lifetime of access tokens.
    pub access_lifetime: u64,
    /// A refresh token dies when it was not used for so long.
    pub refresh_idle_lifetime: u64,
    /// No rotation extends a family past this age.
    pub refresh_lifetime: u64,
    /// When refresh tokens are issued.
    pub refresh_policy: RefreshPolicy,
    /// Its own `refresh.retry_window`; the configured one if `None`.
    pub retry_window: Option<u64>,
    /// May introspect every token.
    pub introspect_any: bool,
    /// Introspection for this client always confirms with the store.
    pub strict: bool,
    /// When it was registered.
    pub created_at: UnixTime,
    /// When it was last changed.
    pub updated_at: UnixTime,
}

impl Client {
    /// Whether it has no secret (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        self.auth_method == AuthMethod::None
    }

    /// Whether it may use a grant type.
    pub fn may_use(&self, grant_type: &str) -> bool {
        self.grants.iter().any(|grant| grant == grant_type)
    }
}

#[cfg(test)]
impl Client {
    /// A confidential web client for tests.
    pub fn example() -> Self {
        Self {
            key: ClientKey(Id::new(1, [1; 10])),
            client_id: "example".into(),
            name: "Example".into(),
            enabled: true,
            epoch: 0,
            auth_method: AuthMethod::ClientSecretBasic,
            secrets: Vec::new(),
            application_type: ApplicationType::Web,
            redirect_uris: vec!["https://app.example/callback".into()],
            post_logout_redirect_uris: Vec::new(),
            allowed_origins: Vec::new(),
            grants: vec!["authorization_code".into(), "refresh_token".into(), "client_credentials".into()],
            scopes: Scopes::parse("openid profile email offline_access read write").expect("valid scopes"),
            resources: Vec::new(),
            default_audience: None,
            skip_consent: false,
            require_pkce: true,
            id_token_alg: SigningAlg::RS256,
            token_format: TokenFormat::Sealed,
            access_lifetime: 900,
            refresh_idle_lifetime: 30 * 86_400,
            refresh_lifetime: 90 * 86_400,
            refresh_policy: RefreshPolicy::OfflineAccess,
            retry_window: None,
            introspect_any: false,
            strict: false,
            created_at: UnixTime(1),
            updated_at: UnixTime(1),
        }
    }
}

/// A protected resource (RFC 8707 §2): an audience, and the client that may introspect its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Row key.
    pub id: Id,
    /// The absolute URI that is asked for and becomes `aud`.
    pub uri: String,
    /// The client that may introspect tokens for it.
    pub owner: Option<ClientKey>,
    /// When it was registered.
    pub created_at: UnixTime,
}
