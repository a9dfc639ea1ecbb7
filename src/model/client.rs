//! Clients and the resources they may ask for.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

impl ApplicationType {
    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
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

/// As `client create --token-format` reads it: `sealed` or `jwt:ALG`.
impl std::fmt::Display for TokenFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sealed => f.write_str("sealed"),
            Self::Jwt(alg) => write!(f, "jwt:{}", alg.as_str()),
        }
    }
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

impl RefreshPolicy {
    /// The policy's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OfflineAccess => "offline_access",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
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
///
/// The store keeps it as one JSON document. What an older document lacks is as in [`Client::default`], and
/// what a newer version added stays in [`unknown_fields`](Self::unknown_fields).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// Fields of a newer version's document, which an edit by this version must not drop.
    #[serde(flatten)]
    pub unknown_fields: Map<String, Value>,
}

/// A client without a name, a redirect URI or a permission: where every record begins, and what a stored
/// document means by a field that it does not have. A new field's value here must grant nothing.
impl Default for Client {
    fn default() -> Self {
        Self {
            key: ClientKey::default(),
            client_id: String::new(),
            name: String::new(),
            enabled: true,
            epoch: 0,
            auth_method: AuthMethod::ClientSecretBasic,
            secrets: Vec::new(),
            application_type: ApplicationType::Web,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            allowed_origins: Vec::new(),
            grants: Vec::new(),
            scopes: Scopes::default(),
            resources: Vec::new(),
            default_audience: None,
            skip_consent: false,
            require_pkce: true,
            // OpenID Connect Core §15.1: RS256 is what every relying party can verify.
            id_token_alg: SigningAlg::RS256,
            token_format: TokenFormat::Sealed,
            access_lifetime: 900,
            refresh_idle_lifetime: 30 * 86_400,
            refresh_lifetime: 90 * 86_400,
            refresh_policy: RefreshPolicy::OfflineAccess,
            retry_window: None,
            introspect_any: false,
            strict: false,
            created_at: UnixTime::default(),
            updated_at: UnixTime::default(),
            unknown_fields: Map::new(),
        }
    }
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
            redirect_uris: vec!["https://app.example/callback".into()],
            grants: vec!["authorization_code".into(), "refresh_token".into(), "client_credentials".into()],
            scopes: Scopes::parse("openid profile email offline_access read write").expect("valid scopes"),
            created_at: UnixTime(1),
            updated_at: UnixTime(1),
            ..Self::default()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The document of a client as the first version stored it. It is never changed: stores hold such rows.
    const FIRST: &str = r#"{"key":"00000000-0001-0101-0101-010101010101","client_id":"example","name":"Example",
        "enabled":true,"epoch":0,"auth_method":"client_secret_basic","secrets":[{"digest":[7,7,7,7,7,7,7,7,7,7,
        7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7],"created_at":1,"expires_at":null}],"application_type":"web",
        "redirect_uris":["https://app.example/callback"],"post_logout_redirect_uris":[],"allowed_origins":[],
        "grants":["authorization_code"],"scopes":["openid","read"],"resources":[],"default_audience":null,
        "skip_consent":false,"require_pkce":true,"id_token_alg":"RS256","token_format":{"jwt":"ES256"},
        "access_lifetime":900,"refresh_idle_lifetime":2592000,"refresh_lifetime":7776000,
        "refresh_policy":"offline_access","retry_window":null,"introspect_any":false,"strict":false,
        "created_at":1,"updated_at":1}"#;

    #[test]
    fn the_first_versions_document_is_still_read() {
        let client: Client = serde_json::from_str(FIRST).expect("a client");
        let secret = ClientSecret { digest: Digest([7; 32]), created_at: UnixTime(1), expires_at: None };
        let expected = Client {
            key: client.key,
            secrets: vec![secret],
            grants: vec!["authorization_code".into()],
            scopes: Scopes::parse("openid read").expect("scopes"),
            token_format: TokenFormat::Jwt(SigningAlg::ES256),
            ..Client::example()
        };
        assert_eq!(client, expected);
    }

    #[test]
    fn a_document_without_any_field_is_a_client_without_permissions() {
        let client: Client = serde_json::from_str("{}").expect("a client");
        assert_eq!(client, Client::default());
        assert!(client.grants.is_empty() && client.scopes.is_empty() && client.redirect_uris.is_empty());
        assert!(client.require_pkce && !client.skip_consent && !client.introspect_any);
    }

    #[test]
    fn a_newer_versions_field_is_stored_again_as_it_was() {
        let newer = r#"{"client_id":"app","logo_uri":"https://app.example/logo.png","contacts":["a","b"]}"#;
        let client: Client = serde_json::from_str(newer).expect("a client");
        let edited = Client { name: "Another".into(), ..client };
        let stored = serde_json::to_value(&edited).expect("a document");
        assert_eq!(stored["logo_uri"], "https://app.example/logo.png");
        assert_eq!(stored["contacts"], serde_json::json!(["a", "b"]));
        assert_eq!(stored["name"], "Another");
    }
}
