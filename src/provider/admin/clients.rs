//! OpenID Connect Registration §2 — registering clients, their secrets, and ending what they hold.

use std::sync::Arc;

use super::{AdminError, PAGE};
use crate::{
    crypto::{digest::sha256, opaque::Opaque},
    model::*,
    protocol::{grants::GRANTS, registration, standing},
    provider::Administration,
    store::Effect,
};

/// A generated client secret. It is shown once: the store keeps only its digest.
pub type NewSecret = Secret<String>;

/// How a client's secret is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotateSecret {
    /// Seconds for which the secrets so far stay valid; 0 ends them at once.
    pub keep_old: u64,
}

impl Administration {
    /// Registers a client, and gives the secret made for it unless it is public.
    ///
    /// Row key, secrets, epoch and times of `client` are set here. `algorithms` are those this server
    /// keeps keys for.
    pub async fn create_client(
        &self,
        client: Client,
        algorithms: &[SigningAlg],
    ) -> Result<(Client, Option<NewSecret>), AdminError> {
        let secret = (!client.is_public()).then(|| self.opaque.issue(Opaque::ClientSecret, &self.random));
        let (secret, digest) = secret.unzip();
        let client = self.insert_client(client, digest, algorithms).await?;
        Ok((client, secret))
    }

    /// Registers a client with a given, public secret: for demonstrations.
    pub async fn create_client_with_secret(
        &self,
        client: Client,
        secret: Option<&str>,
        algorithms: &[SigningAlg],
    ) -> Result<Client, AdminError> {
        self.insert_client(client, secret.map(|secret| sha256(secret.as_bytes())), algorithms).await
    }

    async fn insert_client(
        &self,
        client: Client,
        secret: Option<Digest>,
        algorithms: &[SigningAlg],
    ) -> Result<Client, AdminError> {
        let now = self.clock.now();
        let secret = secret.map(|digest| ClientSecret { digest, created_at: now, expires_at: None });
        let client = Client {
            key: ClientKey(self.id()),
            enabled: true,
            epoch: 0,
            secrets: secret.into_iter().collect(),
            created_at: now,
            updated_at: now,
            ..client
        };
        check(&client, algorithms)?;
        let insert = Effect::InsertClient(Box::new(client.clone()));
        self.change_client(&client.client_id, vec![insert]).await?;
        Ok(client)
    }

    /// Every client, oldest first.
    pub async fn all_clients(&self) -> Result<Vec<Client>, AdminError> {
        let mut all: Vec<Client> = Vec::new();
        loop {
            let page = self.store.clients(all.last().map(|client| client.key), PAGE).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One client by its public name.
    pub async fn find_client(&self, client_id: &str) -> Result<Arc<Client>, AdminError> {
        self.store.client(client_id).await?.ok_or_else(|| AdminError::unknown("client", client_id))
    }

    /// Enables a client, or disables it and ends every token it holds.
    pub async fn set_client_enabled(&self, client_id: &str, enabled: bool) -> Result<(), AdminError> {
        let key = self.find_client(client_id).await?.key;
        let mut effects = vec![Effect::SetClientEnabled(key, enabled)];
        if !enabled {
            effects.push(self.end_tokens_of_client(key));
        }
        self.change_client(client_id, effects).await
    }

    /// Ends every token a client holds.
    pub async fn revoke_client_tokens(&self, client_id: &str) -> Result<(), AdminError> {
        let key = self.find_client(client_id).await?.key;
        self.change_client(client_id, vec![self.end_tokens_of_client(key)]).await
    }

    /// Deletes a client with everything it was given.
    pub async fn delete_client(&self, client_id: &str) -> Result<(), AdminError> {
        let key = self.find_client(client_id).await?.key;
        self.change_client(client_id, vec![self.end_tokens_of_client(key), Effect::DeleteClient(key)]).await
    }

    /// Makes a new secret for a client; the old one may stay valid for a while.
    pub async fn rotate_client_secret(
        &self,
        client_id: &str,
        how: RotateSecret,
    ) -> Result<(Client, NewSecret), AdminError> {
        let from = self.find_client(client_id).await?;
        let mut client = Client::clone(&from);
        if client.is_public() {
            return Err(AdminError::refused(format!(
                "The client {client_id:?} is public: it has no secret to rotate."
            )));
        }
        let now = self.clock.now();
        client.secrets = kept(&client.secrets, now, how.keep_old);
        let (secret, digest) = self.opaque.issue(Opaque::ClientSecret, &self.random);
        // The newest first: it is the one that will be presented from now on.
        client.secrets.insert(0, ClientSecret { digest, created_at: now, expires_at: None });
        client.updated_at = now;
        if client.secrets.len() > 2 {
            return Err(AdminError::refused(format!(
                "The client {client_id:?} has two valid secrets already: wait until the older one has expired, \
                 or leave out --keep-old to end both."
            )));
        }
        let update = Effect::UpdateClient { from: Box::new((*from).clone()), to: Box::new(client.clone()) };
        self.change_client(client_id, vec![update]).await?;
        Ok((client, secret))
    }

    fn end_tokens_of_client(&self, client: ClientKey) -> Effect {
        let until = self.policy.forget_revocation_at(self.clock.now());
        Effect::RaiseClientEpoch { client, until }
    }

    async fn change_client(&self, client_id: &str, effects: Vec<Effect>) -> Result<(), AdminError> {
        let done = self.commit(self.clock.now(), None, effects).await;
        done.map(drop).map_err(|error| AdminError::of_commit(error, "client", client_id))
    }
}

/// The secrets that stay when a new one is made: none, or the valid ones, each with an end.
fn kept(secrets: &[ClientSecret], now: UnixTime, keep_old: u64) -> Vec<ClientSecret> {
    let end = now.plus(keep_old);
    let valid = |secret: &&ClientSecret| keep_old > 0 && standing::secret_is_valid(secret, now);
    let ending = |secret: &ClientSecret| ClientSecret {
        // A secret that ends sooner still ends sooner.
        expires_at: Some(secret.expires_at.map_or(end, |at| at.min(end))),
        ..secret.clone()
    };
    secrets.iter().filter(valid).map(ending).collect()
}

fn check(client: &Client, algorithms: &[SigningAlg]) -> Result<(), AdminError> {
    let grants: Vec<_> = GRANTS.iter().map(|grant| grant.grant_type()).collect();
    let mut faults = registration::faults(client, &grants);
    let access = match client.token_format {
        TokenFormat::Jwt(alg) => Some(("access tokens", alg)),
        TokenFormat::Sealed => None,
    };
    for (what, alg) in access.into_iter().chain([("ID tokens", client.id_token_alg)]) {
        if !algorithms.contains(&alg) {
            let known: Vec<_> = algorithms.iter().map(|alg| alg.as_str()).collect();
            faults.push(format!(
                "The {what} cannot be signed with {}: this server keeps keys for {} only.",
                alg.as_str(),
                known.join(", ")
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(AdminError::Refused(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8, expires_at: Option<u64>) -> ClientSecret {
        ClientSecret {
            digest: Digest([byte; 32]),
            created_at: UnixTime(1),
            expires_at: expires_at.map(UnixTime),
        }
    }

    #[test]
    fn without_a_time_to_keep_it_the_old_secret_ends_at_once() {
        assert_eq!(kept(&[secret(1, None)], UnixTime(100), 0), []);
    }

    #[test]
    fn a_kept_secret_gets_an_end_and_never_a_later_one() {
        let before = [secret(1, None), secret(2, Some(150)), secret(3, Some(100))];
        let after = kept(&before, UnixTime(100), 3_600);
        assert_eq!(after, [secret(1, Some(3_700)), secret(2, Some(150))]);
    }

    #[test]
    fn a_client_cannot_ask_for_an_algorithm_without_a_key() {
        let client = Client { token_format: TokenFormat::Jwt(SigningAlg::PS256), ..Client::example() };
        let Err(AdminError::Refused(faults)) = check(&client, &[SigningAlg::EdDSA]) else {
            panic!("it is refused");
        };
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(check(&client, &SigningAlg::ALL).is_ok());
    }
}
