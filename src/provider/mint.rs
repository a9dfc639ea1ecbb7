//! Minting: from a decision to the tokens and the body that carries them. No I/O; what is waited for is a
//! slow signature at most.

use super::{ProviderError, TokenEndpoints, access_token::MAX_TOKEN};
use crate::{
    model::*,
    protocol::{
        access_token::{AccessClaims, JWT_TYPES},
        audience::audience,
        grants::{Authorization, Facts, IdTokenFor, Issue, Spends},
        id_token::{IdToken, JWT_TYPE},
        resource,
        token::TokenResponse,
    },
};

/// A finished answer, and the refresh token that must be stored before it is given, with its end.
pub(crate) struct Minted {
    pub(crate) body: Vec<u8>,
    pub(crate) refresh: Option<(RefreshToken, UnixTime)>,
}

impl TokenEndpoints {
    pub(crate) async fn mint(&self, facts: &Facts<'_>, issue: &Issue) -> Result<Minted, ProviderError> {
        let claims = self.access_claims(facts, issue);
        let access_token = self.access_token(&claims, facts.client.token_format).await?;
        let refresh = issue
            .refresh_until
            .zip(issue.authorization.as_ref())
            .map(|(until, authorization)| (self.refresh_token(issue.spend, authorization), until));
        let id_token = match (&issue.id_token, &issue.authorization) {
            (Some(asked), Some(of)) => Some(self.id_token(facts, of, asked, &access_token).await?),
            _ => None,
        };
        let response = TokenResponse {
            access_token: &access_token,
            expires_in: claims.expires_at.since(facts.now),
            refresh_token: refresh.as_ref().map(|((text, _), _)| text.expose().as_str()),
            id_token: id_token.as_deref(),
            scope: issue.scopes.as_str(),
        };
        Ok(Minted { body: response.to_json(), refresh: refresh.map(|((_, token), until)| (token, until)) })
    }

    fn access_claims(&self, facts: &Facts, issue: &Issue) -> AccessClaims {
        let (client, of) = (&facts.client, issue.authorization.as_ref());
        let expires = facts.now.plus(client.access_lifetime);
        AccessClaims {
            token: TokenId(self.id()),
            family: of.map(|of| of.family.id),
            client: client.key,
            // The epochs that the primary confirmed with the family: a cached record may be older.
            client_epoch: of.map_or(client.epoch, |of| of.family.client_epoch),
            client_id: client.client_id.clone(),
            user: of.map(|of| (of.user.id, of.family.user_epoch)),
            audience: audience(&issue.resources, client, &issue.scopes, &self.policy.issuer),
            scopes: issue.scopes.clone(),
            issued_at: facts.now,
            expires_at: of.map_or(expires, |of| expires.min(of.family.expires_at)),
            confirmation: None,
            family_claims: of.is_some_and(|of| !of.family.claims.userinfo.is_empty()),
        }
    }

    async fn access_token(
        &self,
        claims: &AccessClaims,
        format: TokenFormat,
    ) -> Result<String, ProviderError> {
        let text = match format {
            TokenFormat::Sealed => {
                let mut text = String::new();
                self.sealer.seal_token(&claims.encode(), &mut text);
                text
            }
            TokenFormat::Jwt(alg) => {
                self.signed(alg, JWT_TYPES[0], claims.to_jwt(&self.policy.issuer)).await?
            }
        };
        // A longer token could not be introspected or revoked. Scopes are bounded, so its resources are to blame.
        if text.len() > MAX_TOKEN {
            return Err(resource::invalid("The resources together are too long. Ask for fewer.").into());
        }
        Ok(text)
    }

    /// The first refresh token of a family, or the one after the token that is spent.
    fn refresh_token(&self, spend: Spends, of: &Authorization) -> (Secret<String>, RefreshToken) {
        let generation = match spend {
            Spends::RefreshToken(token) => token.generation + 1,
            Spends::Nothing | Spends::Code(_) => 0,
        };
        self.opaque.issue_refresh_token(of.family.id, generation, &self.random)
    }

    async fn id_token(
        &self,
        facts: &Facts<'_>,
        of: &Authorization,
        asked: &IdTokenFor,
        access_token: &str,
    ) -> Result<String, ProviderError> {
        let token = IdToken {
            issuer: &self.policy.issuer,
            client: &facts.client,
            user: &of.user,
            family: &of.family,
            nonce: asked.nonce.as_deref(),
            access_token,
            now: facts.now,
            lifetime: self.policy.id_token_lifetime,
        };
        self.signed(facts.client.id_token_alg, JWT_TYPE, token.claims()).await
    }
}
