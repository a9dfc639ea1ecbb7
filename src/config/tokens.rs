//! `[tokens]`: how long what is issued lives. Seconds.

use super::{
    reader::SettingReader,
    value::{HOUR, MINUTE, SECOND, seconds},
};

/// Lifetimes of access tokens, ID tokens and codes.
#[derive(Clone, Copy, Debug)]
pub struct TokensConfig {
    /// Of access tokens, for clients without their own. Default 900 (15 min).
    pub access_lifetime: u64,
    /// Of ID tokens. Default 900 (15 min).
    pub id_token_lifetime: u64,
    /// Of authorization codes (OAuth 2.1 §4.1.2). Default 60, and no more.
    pub code_lifetime: u64,
}

impl TokensConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        Self {
            access_lifetime: reader.get(("tokens", "access_lifetime"), seconds(MINUTE..=24 * HOUR)),
            id_token_lifetime: reader.get(("tokens", "id_token_lifetime"), seconds(MINUTE..=24 * HOUR)),
            code_lifetime: reader.get(("tokens", "code_lifetime"), seconds(5 * SECOND..=60 * SECOND)),
        }
    }
}
