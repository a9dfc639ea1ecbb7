//! Signing keys as records; the key material is in `crypto`.

use serde::{Deserialize, Serialize};

use super::{SigningAlg, UnixTime};

/// Where a signing key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, not signing yet.
    Next,
    /// Signing.
    Active,
    /// No longer signing, still published.
    Retiring,
    /// Withdrawn; kept as a record only.
    Gone,
}

impl KeyState {
    /// Every state, in the order of a key's life.
    pub const ALL: [Self; 4] = [Self::Next, Self::Active, Self::Retiring, Self::Gone];

    /// The state's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
        }
    }

    /// Reads a state's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A signing key's row.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The `kid`, unique for ever.
    pub kid: String,
    /// What it signs with.
    pub alg: SigningAlg,
    /// Where it is in its life.
    pub state: KeyState,
    /// PKCS#8 private key, sealed under the column key with `signing_keys` + `kid` as place.
    pub sealed: Vec<u8>,
    /// When it was made and published.
    pub created_at: UnixTime,
    /// When it began to sign.
    pub activated_at: Option<UnixTime>,
    /// When it stopped signing.
    pub retired_at: Option<UnixTime>,
    /// When it was withdrawn.
    pub gone_at: Option<UnixTime>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({} {} {})", self.kid, self.alg.as_str(), self.state.as_str())
    }
}
