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
pub use authorize::{BrowserStep, Shown};
pub use browser::{Browser, CSRF_LIFETIME, PageError};
pub use consent::ConsentForm;
pub use error::ProviderError;
pub use introspect::MAX_BATCH;
pub use keys::{KeyChangeError, Rewrapped};
pub use login::{Login, LoginFault, LoginForm};
pub use logout::{LogoutForm, LogoutStep};
pub use password::PasswordLane;
pub use signing::SigningLane;
pub use token::TokenAnswer;

use crate::{
    crypto::{keyring::KeyRing, opaque::Opaques, random::Random, seal::Sealer},
    model::*,
    observe::Metrics,
    protocol::{Policy, resource},
    resilience::Clock,
    store::{Commit, CommitError, Committed, Effect, RevocationIndex, Spend, Store},
};

/// One issuer, with its use cases in groups: a signature that takes one of them tells what it touches.
pub struct Provider {
    /// What all of them need.
    pub context: Arc<IssuerContext>,
    /// What clients and resource servers ask.
    pub tokens: TokenEndpoints,
    /// What people's browsers ask.
    pub sign_in: SignInPages,
    /// What operators ask.
    pub administration: Administration,
    /// The life of the signing keys.
    pub keys: SigningKeys,
}

/// What every use case of an issuer needs.
pub struct IssuerContext {
    /// The store, with its decorators.
    pub store: Arc<dyn Store>,
    /// Seals access tokens, transactions and retry answers.
    pub sealer: Arc<Sealer>,
    /// Makes and recognises codes, refresh tokens, secrets and session cookies.
    pub opaque: Opaques,
    /// The signing keys in force, replaced as a whole when they change.
    pub key_ring: arc_swap::ArcSwap<KeyRing>,
    /// Randomness: from the operating system, or seeded in tests.
    pub random: Random,
    /// Time.
    pub clock: Clock,
    /// The operator's rules.
    pub policy: Policy,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The token endpoint, introspection, revocation and userinfo.
pub struct TokenEndpoints {
    context: Arc<IssuerContext>,
    /// What this node knows of revocations.
    pub revocations: Arc<dyn RevocationIndex>,
    /// Slow signatures, on threads of their own.
    pub signing: SigningLane,
}

/// The authorization endpoint, sign-in, consent, logout and the account page.
pub struct SignInPages {
    context: Arc<IssuerContext>,
    /// Password hashing, on threads of its own.
    pub passwords: Arc<PasswordLane>,
}

/// Clients, resources and users.
pub struct Administration {
    context: Arc<IssuerContext>,
    passwords: Arc<PasswordLane>,
}

/// Making, publishing and retiring signing keys.
pub struct SigningKeys {
    context: Arc<IssuerContext>,
}

impl Provider {
    /// The use cases of an issuer. Slow work is done on the lanes' threads.
    pub fn new(
        context: IssuerContext,
        revocations: Arc<dyn RevocationIndex>,
        passwords: PasswordLane,
        signing: SigningLane,
    ) -> Self {
        let (context, passwords) = (Arc::new(context), Arc::new(passwords));
        Self {
            tokens: TokenEndpoints { context: context.clone(), revocations, signing },
            sign_in: SignInPages { context: context.clone(), passwords: passwords.clone() },
            administration: Administration { context: context.clone(), passwords },
            keys: SigningKeys { context: context.clone() },
            context,
        }
    }
}

/// A group of use cases has what its issuer's context has.
macro_rules! in_context {
    ($($group:ty),*) => {
        $(impl std::ops::Deref for $group {
            type Target = IssuerContext;

            fn deref(&self) -> &IssuerContext {
                &self.context
            }
        })*
    };
}

in_context!(Provider, TokenEndpoints, SignInPages, Administration, SigningKeys);

impl IssuerContext {
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

    /// RFC 8707 §2: each resource is one the client may ask for, and is registered.
    async fn check_resources(&self, client: &Client, asked: &[String]) -> Result<(), ProviderError> {
        resource::within(asked, &client.resources)?;
        for uri in asked {
            if self.store.resource(uri).await?.is_none() {
                return Err(resource::invalid("The resource is not registered any more.").into());
            }
        }
        Ok(())
    }
}
