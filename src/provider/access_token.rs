//! RFC 9068 — opening an access token that is presented, sealed or JWT.

use std::cell::Cell;

use zeroize::Zeroizing;

use super::{ProviderError, TokenEndpoints};
use crate::{
    crypto::sign::{self, JwsError},
    model::{SecurityEvent, UnixTime},
    observe::{JwtFailure, JwtUse},
    protocol::{
        access_token::{AccessClaims, JWT_TYPES},
        standing,
    },
    store::Revocable,
};

/// The longest token that is looked at, and that is issued, in bytes.
pub(super) const MAX_TOKEN: usize = 4096;

/// The memory that opening a token takes: its bytes and its claims.
#[derive(Default)]
pub(super) struct TokenBuffer {
    bytes: Zeroizing<Vec<u8>>,
    claims: AccessClaims,
}

thread_local! {
    /// The buffer of the token that was opened before on this thread.
    static SPARE: Cell<Option<Box<TokenBuffer>>> = const { Cell::new(None) };
}

impl TokenBuffer {
    /// This thread's buffer, or a new one while it is in use. Dropping it returns it to the thread.
    pub(super) fn take() -> BorrowedBuffer {
        BorrowedBuffer(Some(SPARE.take().unwrap_or_default()))
    }
}

/// A buffer that returns to its thread when it is dropped.
pub(super) struct BorrowedBuffer(Option<Box<TokenBuffer>>);

impl Drop for BorrowedBuffer {
    fn drop(&mut self) {
        // A thread that ends has no use for it.
        let _ = SPARE.try_with(|spare| spare.set(self.0.take()));
    }
}

impl std::ops::Deref for BorrowedBuffer {
    type Target = TokenBuffer;

    fn deref(&self) -> &TokenBuffer {
        self.0.as_deref().expect("it is there until it is dropped")
    }
}

impl std::ops::DerefMut for BorrowedBuffer {
    fn deref_mut(&mut self) -> &mut TokenBuffer {
        self.0.as_deref_mut().expect("it is there until it is dropped")
    }
}

impl TokenEndpoints {
    /// The claims of a genuine access token inside its times; `None` for everything else. Whether
    /// it was revoked is not asked here.
    pub(crate) fn open_access(&self, token: &str, now: UnixTime) -> Option<AccessClaims> {
        let mut buffer = TokenBuffer::default();
        self.open_access_into(token, now, &mut buffer)?;
        Some(buffer.claims)
    }

    /// The same, into a buffer that is used again.
    pub(super) fn open_access_into<'o>(
        &self,
        token: &str,
        now: UnixTime,
        buffer: &'o mut TokenBuffer,
    ) -> Option<&'o AccessClaims> {
        let TokenBuffer { bytes, claims } = buffer;
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
        standing::token_is_in_its_times(claims, now).then_some(claims)
    }

    fn open_jwt(&self, token: &str) -> Option<AccessClaims> {
        let keys = self.key_ring.load();
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

impl TokenEndpoints {
    /// Whether the client that a token was issued to is valid for it. After a restored backup it may not
    /// exist, and then nothing else says that the token is invalid (I1).
    pub(crate) async fn client_is_valid(&self, claims: &AccessClaims) -> Result<bool, ProviderError> {
        let client = self.store.client_by_key(claims.client).await?;
        Ok(client.is_some_and(|client| standing::client_is_valid(&client, claims.client_epoch)))
    }
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
