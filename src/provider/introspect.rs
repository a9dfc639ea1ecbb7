//! RFC 7662 — introspection: authenticate the caller, open the token, ask the revocation index.

use std::sync::Arc;

use super::{
    ProviderError, TokenEndpoints,
    access_token::{TokenBuffer, revocable},
    batch::{ANSWER, Batch, Seen},
};
use crate::{
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

impl TokenEndpoints {
    /// The answer about the `token` of a form, as JSON.
    pub async fn introspect(&self, request: &ClientRequest<'_>) -> Result<Vec<u8>, ProviderError> {
        let (now, mut asked) = (self.clock.now(), self.metrics.count_request(Endpoint::Introspect));
        // R40: the caller first; nothing is said about a token before.
        let client = self.authenticate_confidential(request, now, &mut asked).await?;
        let token = request.form.require("token")?;
        let strict = client.strict || request.form.get("strict") == Some("true");
        let (mut caller, mut buffer) = (IntrospectionCaller::new(client, now), TokenBuffer::take());
        let mut answer = Vec::with_capacity(ANSWER);
        if let Some(found) = self.resolve(token, &mut caller, &mut buffer).await?
            && !self.revocations.is_revoked(&found.revocable(), strict).await?
        {
            found.write(&self.policy.issuer, &mut answer);
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
        let (now, mut asked) = (self.clock.now(), self.metrics.count_request(Endpoint::Introspect));
        let client = self.authenticate_confidential(request, now, &mut asked).await?;
        let tokens = tokens?;
        if tokens.len() > MAX_BATCH {
            return Err(OauthError::invalid_request("A batch has at most 1000 tokens.").into());
        }
        let strict = client.strict;
        let (mut caller, mut buffer) = (IntrospectionCaller::new(client, now), TokenBuffer::take());
        let mut batch = Batch::of(tokens.len());
        for token in tokens {
            match self.resolve(token, &mut caller, &mut buffer).await? {
                Some(found) => {
                    batch.add(found.revocable(), |out| found.write(&self.policy.issuer, out));
                }
                None => batch.add_inactive(),
            }
        }
        // One freshness check for all, after everything was loaded.
        let revoked = self.revocations.are_revoked(batch.asked(), strict).await?;
        let (body, active) = batch.finish(&revoked);
        self.metrics.introspections(active, tokens.len() - active);
        asked.succeeded();
        Ok(body)
    }

    /// The one resolution of a token: what may be said about it to this caller, unless it was revoked. `None`
    /// for every token that is unknown, expired, foreign, mangled or otherwise invalid.
    async fn resolve<'b>(
        &self,
        token: &str,
        caller: &mut IntrospectionCaller,
        buffer: &'b mut TokenBuffer,
    ) -> Result<Option<Found<'b>>, ProviderError> {
        match self.open_access_into(token, caller.now, buffer) {
            Some(claims) => Ok(self.may_see(claims, caller).await?.then_some(Found::Access(claims))),
            None => self.refresh_facts(token, caller).await,
        }
    }

    /// Whether the token's client is valid and the caller may see the token.
    async fn may_see(
        &self,
        claims: &AccessClaims,
        caller: &mut IntrospectionCaller,
    ) -> Result<bool, ProviderError> {
        let IntrospectionCaller { client: asking, seen, .. } = caller;
        // The caller was just loaded; what is its own needs no second look.
        if claims.client == asking.key {
            return Ok(true);
        }
        let client = match seen.client(claims.client) {
            Some(client) => client,
            None => seen.add_client(claims.client, self.store.client_by_key(claims.client).await?),
        };
        if !client.is_some_and(|client| standing::client_is_valid(client, claims.client_epoch)) {
            return Ok(false);
        }
        if visible(claims, asking, &[]) {
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
            if visible(claims, asking, owner.as_slice()) {
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
        caller: &IntrospectionCaller,
    ) -> Result<Option<Found<'static>>, ProviderError> {
        // The keyed part of the token is checked first, so garbage costs no statement.
        let Some(presented) = self.presented(token).await? else { return Ok(None) };
        let Some(family) = self.store.family(presented.token.family).await? else { return Ok(None) };
        let Some(user) = self.store.user(family.user).await? else { return Ok(None) };
        let facts = refresh_facts(&presented, &family, &user, &caller.client, caller.now);
        Ok(facts.map(|facts| Found::Refresh(Box::new((facts, Revocable::of_family(&family))))))
    }
}

/// The caller of an introspection, and what was looked up for its tokens so far.
struct IntrospectionCaller {
    client: Arc<Client>,
    now: UnixTime,
    seen: Seen,
}

impl IntrospectionCaller {
    fn new(client: Arc<Client>, now: UnixTime) -> Self {
        Self { client, now, seen: Seen::default() }
    }
}

/// A token that is valid and visible to the caller, unless the revocation index knows it.
enum Found<'b> {
    Access(&'b AccessClaims),
    Refresh(Box<(RefreshFacts, Revocable)>),
}

impl Found<'_> {
    /// What the revocation index must be asked about.
    fn revocable(&self) -> Revocable {
        match self {
            Self::Access(claims) => revocable(claims),
            Self::Refresh(refresh) => refresh.1,
        }
    }

    /// Appends what is said about it, as JSON.
    fn write(&self, issuer: &str, out: &mut Vec<u8>) {
        match self {
            Self::Access(claims) => claims.write_introspection(issuer, out),
            Self::Refresh(refresh) => refresh.0.write_introspection(issuer, out),
        }
    }
}
