//! RFC 9068 §2.2, RFC 8707 §2.2 — the audience of an access token.

use crate::model::{Client, Scopes};

/// The resources asked for, else the client's default audience, else the issuer. The issuer is
/// added when `openid` is granted, because userinfo asks for it.
pub fn audience(resources: &[String], client: &Client, scopes: &Scopes, issuer: &str) -> Vec<String> {
    let mut audience = resources.to_vec();
    if audience.is_empty() {
        audience.push(client.default_audience.clone().unwrap_or_else(|| issuer.to_owned()));
    }
    if scopes.contains("openid") && !audience.iter().any(|held| held == issuer) {
        audience.push(issuer.to_owned());
    }
    audience
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R28
    #[test]
    fn the_audience_is_what_was_asked_for_and_nothing_wider() {
        let client = Client { default_audience: Some("urn:default".into()), ..Client::example() };
        let none = Scopes::default();
        let openid = Scopes::parse("openid").unwrap();
        let issuer = "https://id.example";
        assert_eq!(audience(&["urn:a".into()], &client, &none, issuer), ["urn:a"]);
        assert_eq!(audience(&[], &client, &none, issuer), ["urn:default"]);
        assert_eq!(audience(&[], &Client::example(), &none, issuer), [issuer]);
        assert_eq!(audience(&["urn:a".into()], &client, &openid, issuer), ["urn:a", issuer]);
        assert_eq!(audience(&[], &Client::example(), &openid, issuer), [issuer]);
    }
}
