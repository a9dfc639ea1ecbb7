//! OpenID Connect Core §5.3 — userinfo.

use super::{
    ProviderError, TokenEndpoints,
    access_token::{TokenBuffer, revocable},
};
use crate::protocol::{ErrorCode, OauthError, standing, userinfo};

impl TokenEndpoints {
    /// The claims that an access token opens, as JSON.
    pub async fn userinfo(&self, token: &str) -> Result<Vec<u8>, ProviderError> {
        let now = self.clock.now();
        let invalid =
            || OauthError::new(ErrorCode::InvalidToken, "The access token is expired, revoked or unknown.");
        // Elsewhere client authentication comes first and waits for this; here no client authenticates.
        self.revocations.confirm_fresh().await?;
        let mut buffer = TokenBuffer::take();
        let claims = self.open_access_into(token, now, &mut buffer).ok_or_else(invalid)?;
        userinfo::permitted(claims, &self.policy.issuer)?;
        if !self.client_is_valid(claims).await?
            || self.revocations.is_revoked(&revocable(claims), false).await?
        {
            return Err(invalid().into());
        }
        let (id, epoch) = claims.user.ok_or_else(invalid)?;
        let user = self.store.user(id).await?.filter(|user| standing::user_is_valid(user, epoch));
        let user = user.ok_or_else(invalid)?;
        let family = match claims.family {
            Some(family) if claims.family_claims => self.store.family(family).await?,
            _ => None,
        };
        let asked = family.as_ref().map_or(&[][..], |family| &family.claims.userinfo);
        Ok(userinfo::answer(&user, &claims.scopes, asked))
    }
}
