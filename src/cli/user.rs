//! `user`: making and changing the people who sign in.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{
    CommandFailure, Output, export,
    output::{moment, properties},
    password,
};
use crate::{app::Node, model::*, provider::admin::view};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make a user. The password is asked for, or read from standard input.
    Create {
        /// The name to sign in with; its spelling does not matter.
        username: String,
        /// A standard claim (OpenID Connect Core §5.1) as NAME=VALUE, such as email=a@example.com or
        /// email_verified=true; may be repeated.
        #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
        claims: Vec<(String, Value)>,
        /// Set no password: the person cannot sign in until `user set-password`.
        #[arg(long)]
        no_password: bool,
    },
    /// List the users.
    List,
    /// Write every user as NDJSON, one object on each line: name, sub, claims, times, whether there is
    /// a password. Hashes of passwords are not in it.
    Export,
    /// Disable a user: no sign-in, and every session and token is dead.
    Disable {
        /// The user's name or sub.
        username: String,
    },
    /// Enable a user again. Sessions and tokens from before stay dead.
    Enable {
        /// The user's name or sub.
        username: String,
    },
    /// Delete a user with everything that belongs to the user.
    Delete {
        /// The user's name or sub.
        username: String,
    },
    /// Set a password and end every session and token. It is asked for, or read from standard input.
    SetPassword {
        /// The user's name or sub.
        username: String,
    },
    /// End every session and token of a user.
    SignOut {
        /// The user's name or sub.
        username: String,
    },
}

/// `name=value`; the value is JSON where the claim is not a text.
fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be of the form NAME=VALUE")?;
    let structured = matches!(name, "email_verified" | "phone_number_verified" | "updated_at" | "address");
    let value = match serde_json::from_str(value) {
        Ok(parsed) if structured => parsed,
        _ => Value::from(value),
    };
    Ok((name.to_owned(), value))
}

pub(super) async fn run(node: Node, command: UserCommand, out: Output) -> Result<(), CommandFailure> {
    let provider = &node.provider;
    match command {
        UserCommand::Create { username, claims, no_password } => {
            let password = if no_password { None } else { Some(password::ask()?) };
            let claims = collect(claims)?;
            let user = provider.administration.create_user(&username, claims, password.as_ref()).await?;
            out.result(&value(&user), || {
                let password = if user.password.is_some() { "set" } else { "none" };
                properties(&[
                    ("username", user.username.clone()),
                    ("sub", user.id.to_string()),
                    ("password", password.to_owned()),
                ])
            });
        }
        UserCommand::List => list(&provider.administration.all_users().await?, out),
        UserCommand::Export => export::users(&node).await?,
        UserCommand::Disable { username } => {
            provider.administration.set_user_enabled(&username, false).await?;
            done(&username, "disabled", "is disabled; every session and token is dead", out);
        }
        UserCommand::Enable { username } => {
            provider.administration.set_user_enabled(&username, true).await?;
            done(&username, "enabled", "is enabled", out);
        }
        UserCommand::Delete { username } => {
            provider.administration.delete_user(&username).await?;
            done(&username, "deleted", "is deleted; every session and token is dead", out);
        }
        UserCommand::SetPassword { username } => {
            // Nobody types a password twice to learn that the name was wrong.
            provider.administration.find_user(&username).await?;
            provider.administration.set_user_password(&username, &password::ask()?).await?;
            done(&username, "password_set", "has a new password; every session and token is dead", out);
        }
        UserCommand::SignOut { username } => {
            provider.administration.sign_out_user(&username).await?;
            done(&username, "signed_out", "is signed out; every session and token is dead", out);
        }
    }
    Ok(())
}

fn collect(claims: Vec<(String, Value)>) -> Result<Map<String, Value>, CommandFailure> {
    let mut all = Map::new();
    for (name, value) in claims {
        if all.insert(name.clone(), value).is_some() {
            return Err(CommandFailure::usage(format!("The claim {name:?} is given twice.")));
        }
    }
    Ok(all)
}

fn done(username: &str, what: &str, sentence: &str, out: Output) {
    out.done(&json!({ "username": username, "done": what }), &format!("The user {username} {sentence}."));
}

fn list(users: &[User], out: Output) {
    let values: Vec<_> = users.iter().map(value).collect();
    out.list(&values, &["username", "sub", "enabled", "password", "created"], || {
        let row = |user: &User| {
            vec![
                user.username.clone(),
                user.id.to_string(),
                if user.enabled { "yes" } else { "no" }.to_owned(),
                if user.password.is_some() { "set" } else { "none" }.to_owned(),
                moment(user.created_at),
            ]
        };
        users.iter().map(row).collect()
    });
}

/// What may be seen of a user.
pub(super) fn value(user: &User) -> Value {
    view::object(view::user(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_claims_that_are_not_text_are_read_as_json() {
        for (text, value) in [
            ("email_verified=true", json!(true)),
            ("updated_at=7", json!(7)),
            ("address={\"country\":\"UK\"}", json!({"country": "UK"})),
            ("name=7", json!("7")),
            ("name=a=b", json!("a=b")),
            ("phone_number_verified=yes", json!("yes")),
        ] {
            assert_eq!(claim(text).map(|(_, value)| value), Ok(value), "{text}");
        }
        assert!(claim("name").is_err());
    }
}
