//! `demo`: says what there is to try, in lines that work when pasted.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{CommandFailure, Output, begin_log};
use crate::{
    app::demo::{self, DemoFacts},
    config::{Env, ProcessEnv},
    observe::log::{LineFormat, LogSettings},
    protocol::discovery::path,
};

pub(super) fn run(listen: SocketAddr, ops_listen: SocketAddr, out: Output) -> Result<(), CommandFailure> {
    let filter = ProcessEnv.get("RUST_LOG").and_then(|filter| filter.into_string().ok());
    let filter = filter.unwrap_or_else(|| "warn,chancery::app::compose=error".into());
    begin_log(&LogSettings { filter, format: Some(LineFormat::Text) })?;
    let announce = |facts: DemoFacts| out.result(&value(&facts), || text(&facts));
    Ok(demo::run(listen, ops_listen, announce)?)
}

/// Shell lines, each to be pasted as a whole. Only a POSIX shell, curl and sed are needed.
struct ShellCommands {
    token: String,
    introspect: String,
    revoke: String,
    redeem: String,
    metrics: String,
}

impl ShellCommands {
    fn of(facts: &DemoFacts) -> Self {
        let service = format!("curl -s -u {}:{}", demo::SERVICE, demo::SERVICE_SECRET);
        let pick = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;
        let with_token =
            |path| format!(r#"{service} --data-urlencode "token=$TOKEN" {}; echo"#, facts.url(path));
        let scope = demo::SERVICE_SCOPES.replace(' ', "%20");
        Self {
            token: format!(
                "TOKEN=$({service} -d grant_type=client_credentials -d scope={scope} {} | {pick}); echo \"$TOKEN\"",
                facts.url(path::TOKEN)
            ),
            introspect: with_token(path::INTROSPECT),
            revoke: format!(
                r#"{service} -o /dev/null -w '%{{http_code}}\n' --data-urlencode "token=$TOKEN" {}"#,
                facts.url(path::REVOKE)
            ),
            // One line, so that what is pasted after it is not taken for the address.
            redeem: format!(
                "printf 'Address the browser ended at: '; read -r AT; CODE=${{AT#*code=}}; CODE=${{CODE%%&*}}; \
                 curl -s -u {}:{} -d grant_type=authorization_code -d \"code=$CODE\" -d redirect_uri={} \
                 -d code_verifier={} {}; echo",
                demo::WEB,
                demo::WEB_SECRET,
                demo::WEB_REDIRECT,
                facts.code_verifier,
                facts.url(path::TOKEN)
            ),
            metrics: format!("curl -s {} | grep chancery_tokens_issued_total", facts.metrics_url()),
        }
    }
}

fn text(facts: &DemoFacts) -> String {
    let lines = ShellCommands::of(facts);
    format!(
        "\
Chancery demo on {issuer} (Ctrl-C ends it, and nothing is kept)

1. Get a token, look at it, revoke it, see that it is dead. Paste line by line:

{token}
{introspect}
{revoke}
{introspect}

2. Sign in as {user} with the password: {password}

{sign_in}

   The browser ends at {redirect}?code=…, where nothing listens: that is meant so.
   Copy the address from its address bar, and within a minute paste this line and the address:

{redeem}

   The PKCE code verifier of that link is {verifier}

3. Metrics are at {metrics_url}

{metrics}

Clients: {service} / {service_secret} (client_credentials, may introspect any token)
         {web} / {web_secret} (authorization_code, refresh_token; redirect {redirect})
         {native} (public, PKCE; redirect {native_redirect} on any port)
Metadata: {metadata}",
        issuer = facts.issuer,
        token = lines.token,
        introspect = lines.introspect,
        revoke = lines.revoke,
        user = demo::USER,
        password = demo::PASSWORD,
        sign_in = facts.sign_in_url(),
        redirect = demo::WEB_REDIRECT,
        redeem = lines.redeem,
        verifier = facts.code_verifier,
        metrics_url = facts.metrics_url(),
        metrics = lines.metrics,
        service = demo::SERVICE,
        service_secret = demo::SERVICE_SECRET,
        web = demo::WEB,
        web_secret = demo::WEB_SECRET,
        native = demo::NATIVE,
        native_redirect = demo::NATIVE_REDIRECT,
        metadata = facts.url(path::OPENID_METADATA),
    )
}

fn value(facts: &DemoFacts) -> Value {
    let lines = ShellCommands::of(facts);
    json!({
        "issuer": facts.issuer,
        "listen": facts.addresses.public.to_string(),
        "ops_listen": facts.addresses.operations.to_string(),
        "endpoints": {
            "token": facts.url(path::TOKEN),
            "introspect": facts.url(path::INTROSPECT),
            "revoke": facts.url(path::REVOKE),
            "authorize": facts.url(path::AUTHORIZE),
            "userinfo": facts.url(path::USERINFO),
            "logout": facts.url(path::LOGOUT),
            "jwks": facts.url(path::JWKS),
            "metadata": facts.url(path::OPENID_METADATA),
            "metrics": facts.metrics_url(),
        },
        "clients": {
            "service": { "client_id": demo::SERVICE, "client_secret": demo::SERVICE_SECRET, "scope": demo::SERVICE_SCOPES },
            "web": { "client_id": demo::WEB, "client_secret": demo::WEB_SECRET, "redirect_uri": demo::WEB_REDIRECT, "scope": demo::PERSON_SCOPES },
            "native": { "client_id": demo::NATIVE, "redirect_uri": demo::NATIVE_REDIRECT, "scope": demo::PERSON_SCOPES },
        },
        "user": { "username": demo::USER, "password": demo::PASSWORD },
        "sign_in_url": facts.sign_in_url(),
        "code_verifier": facts.code_verifier,
        "commands": {
            "token": lines.token,
            "introspect": lines.introspect,
            "revoke": lines.revoke,
            "redeem": lines.redeem,
            "metrics": lines.metrics,
        },
    })
}
