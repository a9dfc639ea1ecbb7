//! The use cases: load → [`crate::protocol`] decides → commit. No HTTP and no SQL.

mod access_token;
mod account;
pub mod admin;
mod authorize;
mod batch;
mod browser;
mod client_auth;
mod consent;
mod error;
mod introspect;
mod keys;
mod login;
mod logout;
mod mint;
mod origin;
pub mod password;
mod revoke;
mod session;
mod signing;
mod token;
mod transaction;
mod userinfo;

use std::sync::Arc;

pub use account::{Account, AccountAction, AccountStep};
pub use authorize::{Shown, Step};
pub use browser::{Browser, CSRF_LIFETIME, PageError};
pub use consent::ConsentForm;
pub use error::ProviderError;
pub use introspect::MAX_BATCH;
pub use keys::{KeyError, Rewrapped};
pub use login::{Login, LoginFault, LoginForm};
pub use logout::{LogoutForm, LogoutStep};
pub use password::PasswordLane;
pub use signing::SigningLane;
pub use token::TokenAnswer;

use crate::{
    crypto::{keyring::KeyRing, opaque::Opaques, random::Random, seal::Sealer},
    model::*,
    observe::Metrics,
    protocol::Policy,
    resilience::Clock,
    store::{Commit, CommitError, Committed, Effect, RevocationIndex, Spend, Store},
};

/// One issuer: everything its use cases need.
pub struct Provider {
    /// The store, with its decorators.
    pub store: Arc<dyn Store>,
    /// What this node knows of revocations.
    pub revocations: Arc<dyn RevocationIndex>,
    /// Seals access tokens, transactions and retry answers.
    pub sealer: Arc<Sealer>,
    /// Makes and recognises codes, refresh tokens, secrets and session cookies.
    pub opaque: Opaques,
    /// The signing keys, replaced as a whole when they change.
    pub keys: arc_swap::ArcSwap<KeyRing>,
    /// Randomness: from the operating system, or seeded in tests.
    pub random: Random,
    /// Time.
    pub clock: Clock,
    /// The operator's rules.
    pub policy: Policy,
    /// Password hashing, on threads of its own.
    pub passwords: PasswordLane,
    /// Slow signatures, on threads of their own.
    pub signing: SigningLane,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Provider {
    /// A new time-ordered id.
    fn id(&self) -> Id {
        self.random.id(self.clock.millis())
    }

    /// Does a commit with an id of its own.
    async fn commit(
        &self,
        at: UnixTime,
        spend: Option<Spend>,
        effects: Vec<Effect>,
    ) -> Result<Committed, CommitError> {
        let commit = Commit { id: CommitId(self.id()), at, spend, effects };
        self.store.commit(commit).await
    }
}
