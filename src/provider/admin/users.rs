//! People: making their accounts, setting their passwords, ending what they hold.

use serde_json::{Map, Value};

use super::{AdminError, PAGE};
use crate::{
    model::*,
    protocol::{password_policy, standard_claims, username},
    provider::Administration,
    store::Effect,
};

impl Administration {
    /// Makes a user. Without a password the person cannot sign in until one is set.
    pub async fn create_user(
        &self,
        name: &str,
        claims: Map<String, Value>,
        password: Option<&Secret<String>>,
    ) -> Result<User, AdminError> {
        let mut faults = standard_claims::faults(&claims);
        let username = username::normalise(name);
        if username.is_none() {
            faults.push(format!(
                "The user name {name:?} must be 1 to {} visible characters without spaces.",
                username::MAX_USERNAME
            ));
        }
        let known = username.as_deref().unwrap_or(name);
        let checked = password.map(|password| self.checked_password(password, known));
        if let Some(Err(fault)) = &checked {
            faults.push(fault.to_string());
        }
        if !faults.is_empty() {
            return Err(AdminError::Refused(faults));
        }
        let hash = match checked {
            Some(Ok(password)) => Some(self.hash_password(password).await?),
            _ => None,
        };
        let now = self.clock.now();
        let user = User {
            id: UserId(self.id()),
            username: known.to_owned(),
            password: hash,
            claims,
            created_at: now,
            updated_at: now,
            ..User::default()
        };
        self.change_user(name, vec![Effect::InsertUser(Box::new(user.clone()))]).await?;
        Ok(user)
    }

    /// Every user, oldest first.
    pub async fn all_users(&self) -> Result<Vec<User>, AdminError> {
        let mut all: Vec<User> = Vec::new();
        loop {
            let page = self.store.users(all.last().map(|user| user.id), PAGE).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One user by name, in any spelling of it, or by `sub`.
    pub async fn find_user(&self, name: &str) -> Result<User, AdminError> {
        let named = match username::normalise(name) {
            Some(username) => self.store.user_by_name(&username).await?,
            None => None,
        };
        if let Some(user) = named {
            return Ok(user);
        }
        let by_id = match Id::parse(name) {
            Some(id) => self.store.user(UserId(id)).await?,
            None => None,
        };
        by_id.map(|user| User::clone(&user)).ok_or_else(|| AdminError::unknown("user", name))
    }

    /// Enables a user, or disables the user and ends every session and token.
    pub async fn set_user_enabled(&self, name: &str, enabled: bool) -> Result<(), AdminError> {
        let id = self.find_user(name).await?.id;
        let mut effects = vec![Effect::SetUserEnabled(id, enabled)];
        if !enabled {
            effects.extend(self.end_everything_of(id));
        }
        self.change_user(name, effects).await
    }

    /// Ends every session and token of a user.
    pub async fn sign_out_user(&self, name: &str) -> Result<(), AdminError> {
        let id = self.find_user(name).await?.id;
        self.change_user(name, self.end_everything_of(id).into()).await
    }

    /// Deletes a user with everything that belongs to the user.
    pub async fn delete_user(&self, name: &str) -> Result<(), AdminError> {
        let id = self.find_user(name).await?.id;
        let mut effects = Vec::from(self.end_everything_of(id));
        effects.push(Effect::DeleteUser(id));
        self.change_user(name, effects).await
    }

    /// Sets a password, and ends every session and token, also those of a thief of the old one.
    pub async fn set_user_password(&self, name: &str, password: &Secret<String>) -> Result<(), AdminError> {
        let user = self.find_user(name).await?;
        let checked = self.checked_password(password, &user.username).map_err(AdminError::refused)?;
        let password = self.hash_password(checked).await?;
        let mut effects = vec![Effect::SetPassword { user: user.id, password }];
        effects.extend(self.end_everything_of(user.id));
        self.change_user(name, effects).await
    }

    fn checked_password(
        &self,
        password: &Secret<String>,
        username: &str,
    ) -> Result<Secret<String>, password_policy::PasswordFault> {
        let context = [username, self.policy.issuer.as_str()];
        password_policy::check(password.expose(), self.policy.min_password_length, &context)
    }

    async fn hash_password(&self, password: Secret<String>) -> Result<String, AdminError> {
        Ok(self.passwords.hash(password).await?)
    }

    fn end_everything_of(&self, user: UserId) -> [Effect; 2] {
        let until = self.policy.forget_revocation_at(self.clock.now());
        [Effect::RaiseUserEpoch { user, until }, Effect::EndSessions(user)]
    }

    async fn change_user(&self, name: &str, effects: Vec<Effect>) -> Result<(), AdminError> {
        let done = self.commit(self.clock.now(), None, effects).await;
        done.map(drop).map_err(|error| AdminError::of_commit(error, "user", name))
    }
}
