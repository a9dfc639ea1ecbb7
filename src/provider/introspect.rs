//! RFC 7662 — introspection: authenticate the caller, open the token, ask the revocation index.

use super::{
    Provider, ProviderError,
    access_token::{TokenBuffer, revocable},
    batch::{ANSWER, Batch, Seen},
};
use crate::{
    crypto::opaque::Opaque,
    model::{Client, UnixTime},
    observe::Endpoint,
    protocol::{
        ClientRequest, OauthError,
        access_token::AccessClaims,
        introspect::{INACTIVE, RefreshFacts, refresh_facts, visible},
        standing,
    },
    store::Revocable,
};

/// The most tokens in one batch.
pub const MAX_BATCH: usize = 1000;

impl Provider {
    /// The answer about the `token` of a form, as JSON.
    pub async fn introspect(&self, request: &ClientRequest<'_>) -> Result<Vec<u8>, ProviderError> {
        let (now, mut asked) = (self.clock.now(), self.metrics.asked(Endpoint::Introspect));
        // R40: the caller first; nothing is said about a token before.
        let caller = self.authenticate_confidential(request, now, &mut asked).await?;
        let token = request.form.require("token")?;
        let strict = caller.strict || request.form.get("strict") == Some("true");
        let (issuer, mut buffer) = (&self.policy.issuer, TokenBuffer::take());
        let mut answer = Vec::with_capacity(ANSWER);
        if let Some(claims) = self.open_access_into(token, now, &mut buffer) {
            if self.may_see(claims, &caller, &mut Seen::default()).await?
                && !self.revocations.is_revoked(&revocable(claims), strict).await?
            {
                claims.write_introspection(issuer, &mut answer);
            }
        } else if let Some((facts, what)) = self.refresh_facts(token, &caller, now).await?
            && !self.revocations.is_revoked(&what, strict).await?
        {
            facts.write_introspection(issuer, &mut answer);
        }
        self.metrics.introspection(!answer.is_empty());
        asked.succeeded();
        if answer.is_empty() {
            answer.extend_from_slice(INACTIVE);
        }
        Ok(answer)
    }

    /// The answers about many tokens, in order, under one client authentication, as JSON. A body that could not
    /// be read is given as its error: the caller is authenticated before it is told.
    pub async fn introspect_batch(
        &self,
        request: &ClientRequest<'_>,
        tokens: Result<&[&str], OauthError>,
    ) -> Result<Vec<u8>, ProviderError> {
        let (now, mut asked) = (self.clock.now(), self.metrics.asked(Endpoint::Introspect));
        let caller = self.authenticate_confidential(request, now, &mut asked).await?;
        let tokens = tokens?;
        if tokens.len() > MAX_BATCH {
            return Err(OauthError::invalid_request("A batch has at most 1000 tokens.").into());
        }
        let issuer = &self.policy.issuer;
        let (mut batch, mut buffer, mut seen) =
            (Batch::of(tokens.len()), TokenBuffer::take(), Seen::default());
        for token in tokens {
            if let Some(claims) = self.open_access_into(token, now, &mut buffer) {
                if self.may_see(claims, &caller, &mut seen).await? {
                    batch.add(revocable(claims), |out| claims.write_introspection(issuer, out));
                } else {
                    batch.add_inactive();
                }
            } else if let Some((facts, what)) = self.refresh_facts(token, &caller, now).await? {
                batch.add(what, |out| facts.write_introspection(issuer, out));
            } else {
                batch.add_inactive();
            }
        }
        // One freshness check for all, after everything was loaded.
        let revoked = self.revocations.are_revoked(batch.asked(), caller.strict).await?;
        let (body, active) = batch.finish(&revoked);
        self.metrics.introspections(active, tokens.len() - active);
        asked.succeeded();
        Ok(body)
    }

    /// Whether the token's client is valid and the caller may see the token. What was looked up for it is kept
    /// in `seen` for the next token.
    async fn may_see(
        &self,
        claims: &AccessClaims,
        caller: &Client,
        seen: &mut Seen,
    ) -> Result<bool, ProviderError> {
        // The caller was just loaded; what is its own needs no second look.
        if claims.client == caller.key {
            return Ok(true);
        }
        let client = match seen.client(claims.client) {
            Some(client) => client,
            None => seen.add_client(claims.client, self.store.client_by_key(claims.client).await?),
        };
        if !client.is_some_and(|client| standing::client_is_valid(client, claims.client_epoch)) {
            return Ok(false);
        }
        if visible(claims, caller, &[]) {
            return Ok(true);
        }
        for uri in &claims.audience {
            let owner = match seen.owner(uri) {
                Some(owner) => owner,
                None => {
                    let resource = self.store.resource(uri).await?;
                    seen.add_owner(uri, resource.and_then(|resource| resource.owner))
                }
            };
            if visible(claims, caller, owner.as_slice()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is said about a valid refresh token, and what the revocation index must be asked about: the
    /// family and the user may come from a cache; the index is fresh, or says that it is not.
    async fn refresh_facts(
        &self,
        token: &str,
        caller: &Client,
        now: UnixTime,
    ) -> Result<Option<(Box<RefreshFacts>, Revocable)>, ProviderError> {
        // The keyed part of the token is checked first, so garbage costs no statement.
        let Some(digest) = self.opaque.digest_of(Opaque::RefreshToken, token) else { return Ok(None) };
        let Some(held) = self.store.refresh_token(&digest).await? else { return Ok(None) };
        let Some(family) = self.store.family(held.family).await? else { return Ok(None) };
        let Some(user) = self.store.user(family.user).await? else { return Ok(None) };
        let facts = refresh_facts(&held, &family, &user, caller, now);
        Ok(facts.map(|facts| (Box::new(facts), Revocable::of_family(&family))))
    }
}
