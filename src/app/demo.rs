//! The demo: a node on loopback over a store that is thrown away, with identities that everybody
//! knows. None of them exists anywhere else.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{Addresses, AppError, Listeners, Node, ServeOptions, block_on, default_client};
use crate::{
    config::{Config, Issuer},
    crypto::{base64url, digest::s256, random::Random},
    model::*,
    protocol::discovery::path,
    resilience::Clock,
};

/// The service client: `client_credentials`, may introspect any token.
pub const SERVICE: &str = "demo-service";
/// Its secret.
pub const SERVICE_SECRET: &str = "demo-service-secret";
/// What it may ask for.
pub const SERVICE_SCOPES: &str = "read write";
/// The web client: code flow with a secret.
pub const WEB: &str = "demo-web";
/// Its secret.
pub const WEB_SECRET: &str = "demo-web-secret";
/// Where its codes go. Nothing listens there: the code is in the browser's address bar.
pub const WEB_REDIRECT: &str = "http://127.0.0.1:8081/callback";
/// The native client: public, code flow with PKCE.
pub const NATIVE: &str = "demo-native";
/// Where its codes go, on any port (RFC 8252 §7.3).
pub const NATIVE_REDIRECT: &str = "http://127.0.0.1/callback";
/// What the clients of people may ask for.
pub const PERSON_SCOPES: &str = "openid profile email address phone offline_access";
/// The person.
pub const USER: &str = "alice";
/// Her password.
pub const PASSWORD: &str = "correct horse battery staple";

/// Her claims (OpenID Connect Core §5.1).
pub fn claims() -> Map<String, Value> {
    let claims = json!({
        "name": "Alice Liddell",
        "given_name": "Alice",
        "family_name": "Liddell",
        "middle_name": "Pleasance",
        "nickname": "Al",
        "preferred_username": USER,
        "profile": "https://wonderland.example/alice",
        "picture": "https://wonderland.example/alice.jpg",
        "website": "https://wonderland.example",
        "email": "alice@wonderland.example",
        "email_verified": true,
        "gender": "female",
        "birthdate": "1852-05-04",
        "zoneinfo": "Europe/London",
        "locale": "en-GB",
        "phone_number": "+44 20 7946 0018",
        "phone_number_verified": true,
        "address": {
            "formatted": "Christ Church\nOxford OX1 1DP\nUnited Kingdom",
            "street_address": "Christ Church",
            "locality": "Oxford",
            "region": "Oxfordshire",
            "postal_code": "OX1 1DP",
            "country": "United Kingdom"
        }
    });
    match claims {
        Value::Object(claims) => claims,
        _ => Map::new(),
    }
}

/// What the demo's reader needs to try everything. A new code verifier for each demo.
#[derive(Clone, Debug)]
pub struct DemoFacts {
    /// The issuer, which is also where it is reached.
    pub issuer: String,
    /// Where it listens.
    pub addresses: Addresses,
    /// RFC 7636 §4.1.
    pub code_verifier: String,
}

impl DemoFacts {
    /// The absolute address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// The authorization request that opens the sign-in page, for the web client.
    pub fn sign_in_url(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", WEB)
            .append_pair("redirect_uri", WEB_REDIRECT)
            .append_pair("scope", PERSON_SCOPES)
            .append_pair("state", "demo-state")
            .append_pair("nonce", "demo-nonce")
            .append_pair("code_challenge", &s256(&self.code_verifier))
            .append_pair("code_challenge_method", "S256")
            .finish();
        format!("{}?{query}", self.url(path::AUTHORIZE))
    }

    /// Where the metrics are.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.addresses.operations)
    }
}

/// Runs the demo until it is told to stop. `announce` is called once it answers.
pub fn run(
    listen: SocketAddr,
    ops_listen: SocketAddr,
    announce: impl FnOnce(DemoFacts),
) -> Result<(), AppError> {
    for (option, address) in [("--listen", listen), ("--ops-listen", ops_listen)] {
        if !address.ip().is_loopback() {
            return Err(AppError::Usage(format!(
                "`{option} {address}` is refused: everybody knows the demo's passwords, so it listens on loopback \
                 addresses only, such as 127.0.0.1:8080; use `chancery serve` for the real thing"
            )));
        }
    }
    let listeners = Listeners::bind(listen, ops_listen)?;
    let addresses = listeners.addresses;
    let random = Random::os();
    // Removed when this function is left, whichever way.
    let folder = Folder::new(&random)?;
    let config = config(&folder.0, addresses)?;
    let issuer = config.server.issuer.as_str().to_owned();
    let code_verifier = base64url::encode(&random.bytes::<32>());
    let facts = DemoFacts { issuer, addresses, code_verifier };
    let ready = Box::new(move |_| announce(facts));
    block_on(async {
        let node = Node::open(config, Clock::system(), random).await?;
        populate(&node).await?;
        let options = ServeOptions { wait_for_keys: true, ready, ..ServeOptions::until_signal() };
        node.serve(listeners, options).await
    })
}

/// The defaults, but for the places. The environment's settings are those of a real server and do
/// not apply.
fn config(folder: &Path, addresses: Addresses) -> Result<Config, AppError> {
    let issuer = Issuer::loopback(addresses.public, false);
    let issuer = issuer.expect("a bound loopback address has a port and makes an issuer");
    let set = BTreeMap::from(
        [
            ("CHANCERY_SERVER_LISTEN", addresses.public.to_string()),
            ("CHANCERY_SERVER_OPS_LISTEN", addresses.operations.to_string()),
            ("CHANCERY_SERVER_ISSUER", issuer.to_string()),
            ("CHANCERY_STORE_DATA_DIR", folder.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Config::load(None, &set).map_err(AppError::Configuration)
}

async fn populate(node: &Node) -> Result<(), AppError> {
    let provider = &node.provider;
    let algorithms = &node.config.keys.algorithms;
    for (client, secret) in clients(&node.config) {
        provider.administration.create_client_with_secret(client, secret, algorithms).await?;
    }
    let password = Secret::new(PASSWORD.to_owned());
    provider.administration.create_user(USER, claims(), Some(&password)).await?;
    Ok(())
}

fn clients(config: &Config) -> [(Client, Option<&'static str>); 3] {
    let grants = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let service = Client {
        name: "Demo service".into(),
        grants: grants(&["client_credentials"]),
        scopes: SERVICE_SCOPES.split(' ').collect(),
        refresh_policy: RefreshPolicy::Never,
        introspect_any: true,
        ..default_client(config, SERVICE)
    };
    let web = Client {
        name: "Demo web application".into(),
        grants: grants(&["authorization_code", "refresh_token"]),
        scopes: PERSON_SCOPES.split(' ').collect(),
        redirect_uris: vec![WEB_REDIRECT.into()],
        ..default_client(config, WEB)
    };
    let native = Client {
        name: "Demo native application".into(),
        auth_method: AuthMethod::None,
        application_type: ApplicationType::Native,
        redirect_uris: vec![NATIVE_REDIRECT.into()],
        client_id: NATIVE.into(),
        ..web.clone()
    };
    [(service, Some(SERVICE_SECRET)), (web, Some(WEB_SECRET)), (native, None)]
}

/// A folder of this process's own, removed with everything in it when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(random: &Random) -> Result<Self, AppError> {
        let name =
            format!("chancery-demo-{}-{}", std::process::id(), base64url::encode(&random.bytes::<6>()));
        let path = std::env::temp_dir().join(name);
        // Not recursive: a folder that somebody else put there is refused.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| AppError::io("make the demo's folder", &path, error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "deleting the demo's data folder failed; delete it by hand");
        }
    }
}
