//! RFC 7009 — revocation: durable, and in force on this node, before the 200.

use super::{ProviderError, TokenEndpoints};
use crate::{
    model::*,
    observe::{Endpoint, RevocationCause, Revoked},
    protocol::{
        ClientRequest,
        revoke::{self, Revoke},
    },
    store::Effect,
};

impl TokenEndpoints {
    /// Revokes the `token` of a form. `Ok` means it is durable, or there was nothing to revoke.
    pub async fn revoke(&self, request: &ClientRequest<'_>) -> Result<(), ProviderError> {
        let (now, mut asked) = (self.clock.now(), self.metrics.count_request(Endpoint::Revoke));
        let caller = self.authenticate(request, now, &mut asked).await?;
        // RFC 7009 §2.1: token_type_hint is only a hint, and the prefix says more.
        let (what, kind) = self.revocable_by(request.form.require("token")?, &caller, now).await?;
        let client = caller.key;
        let effect = match what {
            Revoke::Nothing => {
                asked.succeeded();
                return Ok(());
            }
            Revoke::Token(token, until) => Effect::RevokeToken { token, client, until },
            Revoke::Family(family) => {
                Effect::RevokeFamily { family, client, until: self.policy.forget_revocation_at(now) }
            }
        };
        // R41: a failure to write is a failure of the request.
        self.commit(now, None, vec![effect]).await?;
        self.metrics.revocation(RevocationCause::Client, kind);
        asked.succeeded();
        Ok(())
    }

    async fn revocable_by(
        &self,
        token: &str,
        caller: &Client,
        now: UnixTime,
    ) -> Result<(Revoke, Revoked), ProviderError> {
        if let Some(claims) = self.open_access(token, now) {
            let what = revoke::access_token(&claims, caller)?;
            let again = super::access_token::revocable(&claims);
            // A second revocation writes nothing more.
            let known = self.revocations.is_revoked(&again, false).await.unwrap_or(false);
            return Ok((if known { Revoke::Nothing } else { what }, Revoked::Access));
        }
        let Some(named) = self.opaque.refresh_token(token) else {
            return Ok((Revoke::Nothing, Revoked::Refresh));
        };
        match self.store.family(named.family).await? {
            Some(family) => Ok((revoke::refresh_token(&family, caller)?, Revoked::Refresh)),
            None => Ok((Revoke::Nothing, Revoked::Refresh)),
        }
    }
}
