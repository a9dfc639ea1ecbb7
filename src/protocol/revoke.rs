//! RFC 7009 — token revocation: what a request may revoke.

use super::{OauthError, access_token::AccessClaims, policy::REVOCATION_SLACK};
use crate::model::{Client, ClientKey, Family, FamilyId, TokenId, UnixTime};

/// What a revocation request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// Nothing to do; the answer is 200 all the same (RFC 7009 §2.2).
    Nothing,
    /// One access token, to be remembered until it has expired everywhere.
    Token(TokenId, UnixTime),
    /// A refresh token: its whole family, access tokens included (RFC 7009 §2.1).
    Family(FamilyId),
}

/// An access token, sealed or JWT, that was opened and is inside its times.
pub fn access_token(token: &AccessClaims, caller: &Client) -> Result<Revoke, OauthError> {
    owned(token.client, caller)?;
    Ok(Revoke::Token(token.token, token.expires_at.plus(REVOCATION_SLACK)))
}

/// A refresh token of a family that was found; a spent or expired one names it as well.
pub fn refresh_token(family: &Family, caller: &Client) -> Result<Revoke, OauthError> {
    owned(family.client, caller)?;
    Ok(Revoke::Family(family.id))
}

/// RFC 7009 §2.1: a token of another client is refused, and the client is told (R40).
fn owned(client: ClientKey, caller: &Client) -> Result<(), OauthError> {
    if client == caller.key {
        return Ok(());
    }
    Err(OauthError::invalid_grant("The token was issued to another client."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ErrorCode, access_token::tests::claims};

    /// R40
    #[test]
    fn a_client_revokes_its_own_tokens_only() {
        let token = claims();
        // T09: also for a node whose clock is behind, or was set back while it was down.
        let until = token.expires_at.plus(2 * 60 * 60);
        assert_eq!(access_token(&token, &Client::example()), Ok(Revoke::Token(token.token, until)));
        let stranger = Client { key: ClientKey::default(), ..Client::example() };
        assert_eq!(access_token(&token, &stranger).unwrap_err().code, ErrorCode::InvalidGrant);
    }
}
