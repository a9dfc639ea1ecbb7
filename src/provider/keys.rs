//! The signing keys' life: loading the ring, rotation on schedule and on command.

use std::sync::Arc;

use super::{ProviderError, SigningKeys};
use crate::{
    crypto::{keyring, sign::PrivateKey},
    model::*,
    protocol::key_rotation::{self, KeyRotation, RotationStep},
    store::{CommitError, Effect},
};

/// Why a commanded key change was not done.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// The next key is not published for long enough.
    #[error("clients may still have a key set without the next key; try again in {0} seconds")]
    TooEarly(u64),
    /// No published key has this id.
    #[error("there is no key {0} that is next, active or retiring; see `chancery keys list`")]
    Unknown(String),
    /// Another process seals the keys under another master key.
    #[error("another `keys rewrap`, with another first master key, is running; stop that one first")]
    Contended,
    /// The work could not be done.
    #[error(transparent)]
    Failed(#[from] ProviderError),
}

/// How often [`SigningKeys::rewrap`] looks again, when keys are changed meanwhile.
const ROUNDS: usize = 10;

/// What [`SigningKeys::rewrap`] found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Keys that were sealed anew.
    pub resealed: usize,
    /// Keys that were under the first master key already.
    pub already: usize,
}

impl From<CommitError> for KeyChangeError {
    fn from(error: CommitError) -> Self {
        Self::Failed(error.into())
    }
}

impl SigningKeys {
    /// Loads the key ring from the store and puts it in force.
    pub async fn reload(&self) -> Result<(), ProviderError> {
        loop {
            let before = self.key_ring.load_full();
            let rows = self.store.signing_keys(false).await?;
            let ring = before
                .renewed(&rows, &self.sealer)
                .map_err(|error| ProviderError::Internal(error.to_string()))?;
            // The schedule and the feed may do this at once: whose rows are older must not win.
            if Arc::ptr_eq(&self.key_ring.compare_and_swap(&before, Arc::new(ring)), &before) {
                self.metrics.set_signing_keys(&rows);
                return Ok(());
            }
        }
    }

    /// Does what the schedule asks for, for the algorithms that pass the filter.
    pub async fn rotate_due(
        &self,
        rules: &KeyRotation,
        only: impl Fn(SigningAlg) -> bool,
    ) -> Result<(), ProviderError> {
        // A node that cannot open the keys there are must not add one that the others cannot open.
        self.reload().await?;
        let rows = self.store.signing_keys(false).await?;
        let rules = KeyRotation {
            algorithms: rules.algorithms.iter().copied().filter(|alg| only(*alg)).collect(),
            ..rules.clone()
        };
        for step in key_rotation::due(&rows, &rules, self.clock.now()) {
            match self.take(&step).await {
                // Another node was faster: its key is as good as ours.
                Ok(()) | Err(CommitError::Conflict(_)) => {}
                Err(error) => {
                    self.metrics.key_rotated(false);
                    return Err(error.into());
                }
            }
        }
        self.reload().await
    }

    /// `keys rotate`: publishes a next key, or lets the published one sign.
    pub async fn rotate(&self, alg: SigningAlg, rules: &KeyRotation) -> Result<RotationStep, KeyChangeError> {
        self.reload().await?;
        let rows = self.store.signing_keys(false).await.map_err(ProviderError::from)?;
        let step =
            key_rotation::commanded(&rows, alg, rules, self.clock.now()).map_err(KeyChangeError::TooEarly)?;
        self.take(&step).await?;
        self.reload().await?;
        Ok(step)
    }

    /// `keys revoke`: withdraws a leaked key now. What it signed is no longer accepted.
    pub async fn revoke(&self, kid: &str, rules: &KeyRotation) -> Result<(), KeyChangeError> {
        let rows = self.store.signing_keys(false).await.map_err(ProviderError::from)?;
        let key =
            rows.iter().find(|key| key.kid == kid).ok_or_else(|| KeyChangeError::Unknown(kid.to_owned()))?;
        let gone = Effect::SetKeyState { kid: kid.to_owned(), from: key.state, to: KeyState::Gone };
        self.commit(self.clock.now(), None, vec![gone]).await?;
        self.rotate_due(rules, |alg| alg == key.alg).await?;
        Ok(())
    }

    /// `keys rewrap`: seals every living key under the first master key. May run beside servers and
    /// itself: a key that was changed meanwhile is looked at again.
    pub async fn rewrap(&self) -> Result<Rewrapped, KeyChangeError> {
        // Nothing is begun that the given master keys cannot end.
        self.reload().await?;
        let mut done = Rewrapped::default();
        for _ in 0..ROUNDS {
            let rows = self.store.signing_keys(false).await.map_err(ProviderError::from)?;
            let (mut resealed, mut overtaken) = (0, false);
            for row in &rows {
                let sealed = keyring::reseal_private(&self.sealer, row)
                    .map_err(|error| ProviderError::Internal(error.to_string()))?;
                let Some(to) = sealed else { continue };
                let reseal = Effect::ResealKey { kid: row.kid.clone(), from: row.sealed.clone(), to };
                match self.commit(self.clock.now(), None, vec![reseal]).await {
                    Ok(_) => resealed += 1,
                    Err(CommitError::Changed(_)) => overtaken = true,
                    Err(error) => return Err(error.into()),
                }
            }
            done.resealed += resealed;
            // Once more, until there is nothing to do: a server may have made a key just now.
            if resealed == 0 && !overtaken {
                return Ok(Rewrapped { already: rows.len().saturating_sub(done.resealed), ..done });
            }
        }
        Err(KeyChangeError::Contended)
    }

    async fn take(&self, step: &RotationStep) -> Result<(), CommitError> {
        let effects = match step {
            RotationStep::Create(alg, state) => vec![Effect::InsertKey(self.new_key(*alg, *state).await)],
            RotationStep::Activate { kid, retire } => {
                let move_on = |kid: &str, from, to| Effect::SetKeyState { kid: kid.to_owned(), from, to };
                let retire = retire.as_deref().map(|kid| move_on(kid, KeyState::Active, KeyState::Retiring));
                retire.into_iter().chain([move_on(kid, KeyState::Next, KeyState::Active)]).collect()
            }
            RotationStep::Remove(kid) => {
                vec![Effect::SetKeyState { kid: kid.clone(), from: KeyState::Retiring, to: KeyState::Gone }]
            }
        };
        self.commit(self.clock.now(), None, effects).await?;
        self.metrics.key_rotated(true);
        tracing::info!(?step, "signing keys changed");
        Ok(())
    }

    /// Makes a key off the request path: an RSA key takes up to a second.
    async fn new_key(&self, alg: SigningAlg, state: KeyState) -> SigningKey {
        let made = tokio::task::spawn_blocking(move || PrivateKey::generate(alg)).await;
        let (key, pkcs8) = made.expect("key generation does not panic").expect("the system gives randomness");
        let now = self.clock.now();
        let kid = key.kid().to_owned();
        SigningKey {
            sealed: keyring::seal_private(&self.sealer, &kid, &pkcs8),
            kid,
            alg,
            state,
            created_at: now,
            activated_at: (state == KeyState::Active).then_some(now),
            retired_at: None,
            gone_at: None,
        }
    }
}
