//! RFC 7662 — introspection: authenticate the caller, open the token, ask the revocation index.

use super::{Provider, ProviderError, opened::revocable};
use crate::{
    crypto::opaque::Opaque,
    model::{Client, UnixTime},
    protocol::{
        OauthError, Params,
        access_token::AccessClaims,
        introspect::{Introspection, RefreshFacts, refresh_facts, visible},
    },
    store::Revocable,
};

/// The most tokens in one batch.
pub const MAX_BATCH: usize = 1000;

impl Provider {
    /// The answer about the `token` of a form.
    pub async fn introspect(
        &self,
        authorization: Option<&str>,
        form: &Params<'_>,
    ) -> Result<Introspection, ProviderError> {
        let now = self.clock.now();
        // R40: the caller first; nothing is said about a token before.
        let caller = self.authenticate_confidential(authorization, form, now).await?;
        let token = form.require("token")?;
        let strict = caller.strict || form.get("strict") == Some("true");
        let answer = match self.open_access(token, now) {
            Some(claims) => self.access_answer(claims, &caller, strict).await?,
            None => match self.refresh_facts(token, &caller, now).await? {
                Some((facts, what)) if !self.revocations.is_revoked(&what, strict).await? => {
                    Introspection::Refresh(facts)
                }
                _ => Introspection::Inactive,
            },
        };
        self.metrics.introspection(answer.is_active());
        Ok(answer)
    }

    /// The answers about many tokens, in order, under one client authentication.
    pub async fn introspect_batch(
        &self,
        authorization: Option<&str>,
        credentials: &Params<'_>,
        tokens: &[&str],
    ) -> Result<Vec<Introspection>, ProviderError> {
        let now = self.clock.now();
        let caller = self.authenticate_confidential(authorization, credentials, now).await?;
        if tokens.len() > MAX_BATCH {
            return Err(OauthError::invalid_request("A batch has at most 1000 tokens.").into());
        }
        let mut answers = Vec::with_capacity(tokens.len());
        let mut opened = Vec::new();
        for token in tokens {
            match self.open_access(token, now) {
                Some(claims) if self.may_see(&claims, &caller).await? => {
                    opened.push((answers.len(), revocable(&claims)));
                    answers.push(Introspection::Access(Box::new(claims)));
                }
                Some(_) => answers.push(Introspection::Inactive),
                None => match self.refresh_facts(token, &caller, now).await? {
                    Some((facts, what)) => {
                        opened.push((answers.len(), what));
                        answers.push(Introspection::Refresh(facts));
                    }
                    None => answers.push(Introspection::Inactive),
                },
            }
        }
        // One freshness check for all, after everything was loaded.
        let asked: Vec<_> = opened.iter().map(|(_, what)| *what).collect();
        let revoked = self.revocations.are_revoked(&asked, caller.strict).await?;
        for ((at, _), revoked) in opened.iter().zip(revoked) {
            if revoked {
                answers[*at] = Introspection::Inactive;
            }
        }
        answers.iter().for_each(|answer| self.metrics.introspection(answer.is_active()));
        Ok(answers)
    }

    async fn access_answer(
        &self,
        claims: AccessClaims,
        caller: &Client,
        strict: bool,
    ) -> Result<Introspection, ProviderError> {
        if !self.may_see(&claims, caller).await?
            || self.revocations.is_revoked(&revocable(&claims), strict).await?
        {
            return Ok(Introspection::Inactive);
        }
        Ok(Introspection::Access(Box::new(claims)))
    }

    /// Whether the token is of a client that stands, and the caller may see it.
    async fn may_see(&self, claims: &AccessClaims, caller: &Client) -> Result<bool, ProviderError> {
        // The caller was just loaded; what is its own needs no second look.
        if claims.client == caller.key {
            return Ok(true);
        }
        if !self.client_stands(claims).await? {
            return Ok(false);
        }
        if visible(claims, caller, &[]) {
            return Ok(true);
        }
        let mut owners = Vec::new();
        for uri in &claims.audience {
            owners.extend(self.store.resource(uri).await?.and_then(|resource| resource.owner));
        }
        Ok(visible(claims, caller, &owners))
    }

    /// What is said about a refresh token that stands, and what the revocation index must be asked
    /// about: the family and the user may come from a cache; the index is fresh, or says that it is not.
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
