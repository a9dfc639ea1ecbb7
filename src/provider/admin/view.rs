//! What may be seen of a record: the one list behind `client show`, `client list --json` and the exports.
//!
//! Digests and hashes are not in it: they are of no use to anybody who may see the rest.

use serde_json::{Map, Value, json};

use crate::model::*;

/// A property of a record, for programs and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name, as in the record.
    pub name: &'static str,
    /// What programs get.
    pub value: Value,
    /// What people read.
    pub text: Wording,
}

/// How people read a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wording {
    /// As its value is: a text, yes or no, a list.
    Plain,
    /// Seconds.
    Seconds,
    /// A moment.
    Moment,
    /// In these words.
    Words(String),
}

/// Everything of a client but the digests of its secrets.
pub fn client(client: &Client) -> Vec<Property> {
    vec![
        plain("client_id", &client.client_id),
        plain("name", &client.name),
        plain("enabled", client.enabled),
        plain("application_type", client.application_type.as_str()),
        plain("auth_method", client.auth_method.as_str()),
        secrets(client),
        plain("grants", &client.grants),
        plain("scopes", client.scopes.iter().collect::<Vec<_>>()),
        plain("redirect_uris", &client.redirect_uris),
        plain("post_logout_redirect_uris", &client.post_logout_redirect_uris),
        plain("allowed_origins", &client.allowed_origins),
        plain("resources", &client.resources),
        plain("default_audience", &client.default_audience).or_words("the issuer"),
        plain("skip_consent", client.skip_consent),
        plain("require_pkce", client.require_pkce),
        plain("id_token_alg", client.id_token_alg.as_str()),
        plain("token_format", client.token_format.to_string()),
        seconds("access_lifetime", client.access_lifetime),
        seconds("refresh_idle_lifetime", client.refresh_idle_lifetime),
        seconds("refresh_lifetime", client.refresh_lifetime),
        plain("refresh_policy", client.refresh_policy.as_str()),
        seconds("retry_window", client.retry_window).or_words("as configured"),
        plain("introspect_any", client.introspect_any),
        plain("strict", client.strict),
        moment("created_at", client.created_at),
        moment("updated_at", client.updated_at),
    ]
}

/// Everything of a user but the hash of the password.
pub fn user(user: &User) -> Vec<Property> {
    let has_password = user.password.is_some();
    vec![
        plain("username", &user.username),
        plain("sub", user.id.to_string()),
        plain("enabled", user.enabled),
        plain("has_password", has_password),
        plain("claims", &user.claims),
        moment("created_at", user.created_at),
        moment("updated_at", user.updated_at),
    ]
}

/// A view as one JSON object.
pub fn object(view: Vec<Property>) -> Value {
    Value::Object(view.into_iter().map(|one| (one.name.to_owned(), one.value)).collect::<Map<_, _>>())
}

impl Property {
    /// What people read if there is no value.
    fn or_words(self, words: &str) -> Self {
        match self.value {
            Value::Null => Self { text: Wording::Words(words.to_owned()), ..self },
            _ => self,
        }
    }
}

fn plain(name: &'static str, value: impl serde::Serialize) -> Property {
    Property { name, value: json!(value), text: Wording::Plain }
}

fn seconds(name: &'static str, value: impl serde::Serialize) -> Property {
    Property { text: Wording::Seconds, ..plain(name, value) }
}

fn moment(name: &'static str, at: UnixTime) -> Property {
    Property { text: Wording::Moment, ..plain(name, at) }
}

fn secrets(client: &Client) -> Property {
    let one =
        |secret: &ClientSecret| json!({ "created_at": secret.created_at, "expires_at": secret.expires_at });
    let words = match (client.is_public(), client.secrets.len()) {
        (true, _) => "none: a public client".to_owned(),
        (false, count) => format!("{count} valid or ending"),
    };
    let value = client.secrets.iter().map(one).collect();
    Property { name: "secrets", value, text: Wording::Words(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that is added to a record is added to its view, or withheld here with a reason.
    #[track_caller]
    fn shows_all_but(record: &impl serde::Serialize, view: Vec<Property>, withheld: &[&str]) {
        let record = json!(record);
        let shown = object(view);
        let missing: Vec<_> = record
            .as_object()
            .expect("a record is an object")
            .keys()
            .filter(|name| shown.get(name.as_str()).is_none() && !withheld.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "not in the view: {missing:?}");
    }

    #[test]
    fn every_field_of_a_record_is_in_its_view() {
        // `key` is the row's, and means nothing outside the store; `epoch` counts revocations.
        shows_all_but(&Client::example(), client(&Client::example()), &["key", "epoch"]);
        // `id` is shown as `sub`.
        shows_all_but(&User::default(), user(&User::default()), &["id", "epoch"]);
    }

    #[test]
    fn no_digest_and_no_hash_is_in_a_view() {
        let secret = ClientSecret { digest: Digest([0xd7; 32]), created_at: UnixTime(7), expires_at: None };
        let shown = object(client(&Client { secrets: vec![secret], ..Client::example() }));
        assert_eq!(shown["secrets"], json!([{ "created_at": 7, "expires_at": null }]));
        let shown = object(user(&User { password: Some("$argon2id$x".into()), ..User::default() }));
        assert_eq!(shown["has_password"], json!(true));
        assert!(!shown.to_string().contains("argon2id"), "{shown}");
    }

    #[test]
    fn what_is_not_set_is_said_in_words() {
        let text = |client: &Client, name: &str| {
            super::client(client).into_iter().find(|one| one.name == name).map(|one| one.text)
        };
        let words = |words: &str| Some(Wording::Words(words.to_owned()));
        let without = Client::example();
        assert_eq!(text(&without, "default_audience"), words("the issuer"));
        assert_eq!(text(&without, "retry_window"), words("as configured"));
        let with = Client { retry_window: Some(0), default_audience: Some("urn:api".into()), ..without };
        assert_eq!(text(&with, "default_audience"), Some(Wording::Plain));
        assert_eq!(text(&with, "retry_window"), Some(Wording::Seconds));
    }
}
