//! Opening what is presented as an access token: sealed or JWT.

use std::cell::Cell;

use zeroize::Zeroizing;

use super::{Provider, ProviderError};
use crate::{
    crypto::sign::{self, JwsError},
    model::{SecurityEvent, UnixTime},
    observe::{JwtFailure, JwtUse},
    protocol::access_token::{AccessClaims, JWT_TYPES},
    store::Revocable,
};

/// The longest token that is looked at, and that is issued, in bytes.
pub(super) const MAX_TOKEN: usize = 4096;

/// The memory that opening a token takes.
#[derive(Default)]
pub(super) struct Opening {
    bytes: Zeroizing<Vec<u8>>,
    claims: AccessClaims,
}

thread_local! {
    /// What the last one who opened a token on this thread left for the next one.
    static SPARE: Cell<Option<Box<Opening>>> = const { Cell::new(None) };
}

impl Opening {
    /// Memory that was used before, if there is any. It is given back when it is dropped.
    pub(super) fn lent() -> Lent {
        Lent(Some(SPARE.take().unwrap_or_default()))
    }
}

/// Memory that the thread gets back.
pub(super) struct Lent(Option<Box<Opening>>);

impl Drop for Lent {
    fn drop(&mut self) {
        // A thread that ends has no use for it.
        let _ = SPARE.try_with(|spare| spare.set(self.0.take()));
    }
}

impl std::ops::Deref for Lent {
    type Target = Opening;

    fn deref(&self) -> &Opening {
        self.0.as_deref().expect("it is there until it is dropped")
    }
}

impl std::ops::DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Opening {
        self.0.as_deref_mut().expect("it is there until it is dropped")
    }
}

impl Provider {
    /// The claims of a genuine access token inside its times; `None` for everything else. Whether
    /// it was revoked is not asked here.
    pub(crate) fn open_access(&self, token: &str, now: UnixTime) -> Option<AccessClaims> {
        let mut opening = Opening::default();
        self.open_access_into(token, now, &mut opening)?;
        Some(opening.claims)
    }

    /// The same in memory that is there already.
    pub(super) fn open_access_into<'o>(
        &self,
        token: &str,
        now: UnixTime,
        opening: &'o mut Opening,
    ) -> Option<&'o AccessClaims> {
        let Opening { bytes, claims } = opening;
        if token.len() > MAX_TOKEN {
            return None;
        }
        if self.sealer.open_token_into(token, bytes).is_some() {
            claims.read(bytes)?;
        } else if token.contains('.') {
            *claims = self.open_jwt(token)?;
        } else {
            return None;
        }
        claims.is_current(now).then_some(claims)
    }

    fn open_jwt(&self, token: &str) -> Option<AccessClaims> {
        let keys = self.keys.load();
        match sign::jws_verify(token, JWT_TYPES, |kid| keys.verifying(kid)) {
            Ok(payload) => AccessClaims::from_jwt(&payload, &self.policy.issuer),
            Err(error) => {
                let (reason, event) = rejection(error);
                self.metrics.jwt_rejected(JwtUse::Access, reason);
                event.into_iter().for_each(|event| self.metrics.security_event(event));
                None
            }
        }
    }
}

impl Provider {
    /// Whether the store knows the client that a token was issued to. After a restored backup it may
    /// not, and then nothing else says that the token is dead (I1).
    pub(crate) async fn client_stands(&self, claims: &AccessClaims) -> Result<bool, ProviderError> {
        let client = self.store.client_by_key(claims.client).await?;
        Ok(stands(claims, client.map(|client| client.epoch)))
    }
}

/// The same, of a client that was looked up: `None` if there is none.
pub(super) fn stands(claims: &AccessClaims, epoch: Option<u32>) -> bool {
    epoch.is_some_and(|epoch| epoch <= claims.client_epoch)
}

/// How a rejected JWT is counted, and whether it looks like an attack.
pub(crate) fn rejection(error: JwsError) -> (JwtFailure, Option<SecurityEvent>) {
    let attack = Some(SecurityEvent::JwtAlgRejected);
    match error {
        JwsError::TooLong | JwsError::Malformed => (JwtFailure::Malformed, None),
        JwsError::Extension | JwsError::KeyInHeader => (JwtFailure::Header, attack),
        JwsError::Algorithm | JwsError::AlgorithmOfKey => (JwtFailure::Algorithm, attack),
        JwsError::Type => (JwtFailure::Type, None),
        JwsError::UnknownKey => (JwtFailure::Key, None),
        JwsError::Signature => (JwtFailure::Signature, None),
    }
}

/// What of a token the revocation index must be asked about.
pub(crate) fn revocable(claims: &AccessClaims) -> Revocable {
    Revocable {
        token: Some(claims.token),
        family: claims.family,
        client: (claims.client, claims.client_epoch),
        user: claims.user,
    }
}
