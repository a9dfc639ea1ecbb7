//! RFC 6749 §3.2 — the token endpoint: the steps that all grants share, in one place.

use smallvec::SmallVec;

use super::{ProviderError, TokenEndpoints, mint::Minted};
use crate::{
    crypto::{opaque::Opaque, seal},
    model::*,
    observe::{
        CountedRequest, Endpoint, RevocationCause, Revoked, TokenType,
        trace::{self, Fact},
    },
    protocol::{
        ClientRequest, OauthError, Params,
        grants::{Decision, Facts, Grant, Issue, Loaded, Need, PresentedToken, Refusal, Spends},
        resource, token,
    },
    store::{CommitError, Effect, Revocable, Spend},
};

/// Where retry answers belong: part of what they are sealed with.
const RETRY_PLACE: &[u8] = b"retry_answers.answer";

/// A successful answer: the JSON body, byte for byte what a retry will get.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// RFC 6749 §5.1.
    pub body: Vec<u8>,
}

impl TokenEndpoints {
    /// Answers a token request.
    pub async fn token(&self, request: &ClientRequest<'_>) -> Result<TokenAnswer, ProviderError> {
        let grant = token::grant(&request.form);
        let mut asked = self.metrics.count_request(Endpoint::Token);
        let label = self.metrics.grant(grant.as_ref().map_or("unknown", |grant| grant.grant_type()));
        let outcome = match grant {
            Ok(grant) => self.token_by(grant, request, &mut asked).await,
            Err(error) => Err(error.into()),
        };
        let error = outcome.as_ref().err().map(|error| error.oauth().code.as_str());
        self.metrics.token_request(label, error);
        let (issued, answer) = outcome?;
        asked.succeeded();
        for kind in issued {
            self.metrics.token_issued(kind, label);
        }
        Ok(answer)
    }

    async fn token_by(
        &self,
        grant: &dyn Grant,
        request: &ClientRequest<'_>,
        asked: &mut CountedRequest<'_>,
    ) -> Result<(Kinds, TokenAnswer), ProviderError> {
        let (now, form) = (self.clock.now(), &request.form);
        trace::note(Fact::Grant(grant.grant_type()));
        let client = self.authenticate(request, now, asked).await?;
        token::permitted(grant, &client)?;
        let resources = resource::requested(form)?;
        self.check_resources(&client, &resources).await?;
        let mut facts = Facts::new(now, &self.policy, client, token::scope(form)?, resources);
        // The loser of a race for a single-use value loads again and decides once more.
        for _ in 0..2 {
            self.load(grant, form, &mut facts).await?;
            match grant.decide(form, &facts) {
                Decision::Issue(issue) => {
                    // What was granted may have been deleted, or taken from the client, since.
                    if issue.resources != facts.resources {
                        self.check_resources(&facts.client, &issue.resources).await?;
                    }
                    self.confirm_standing(&facts).await?;
                    match self.issue(&facts, form, *issue).await {
                        Err(IssueError::AlreadySpent) => facts.forget(),
                        Err(IssueError::Failed(error)) => return Err(error),
                        Ok(issued) => return Ok(issued),
                    }
                }
                Decision::Repeat { sealed } => {
                    self.confirm_standing(&facts).await?;
                    return self.repeat(form, &sealed).map(|answer| (Kinds::new(), answer));
                }
                Decision::Refuse(refusal) => return Err(self.refuse(*refusal, &facts).await),
            }
        }
        Err(ProviderError::Unavailable(
            "a code or refresh token was used by another request at the same time, twice in a row".into(),
        ))
    }

    async fn load(
        &self,
        grant: &dyn Grant,
        form: &Params<'_>,
        facts: &mut Facts<'_>,
    ) -> Result<(), ProviderError> {
        for _ in 0..3 {
            match grant.need(form, facts)? {
                None => break,
                Some(Need::Code(text)) => {
                    facts.code = match self.opaque.digest_of(Opaque::Code, text) {
                        Some(digest) => self.store.code(&digest).await?.into(),
                        None => Loaded::Missing,
                    };
                }
                Some(Need::RefreshToken(text)) => {
                    facts.refresh_token = self.presented(text).await?.into();
                }
                Some(Need::Family(id)) => facts.family = self.store.family(id).await?.into(),
                Some(Need::User(id)) => facts.user = self.store.user(id).await?.into(),
            }
        }
        Ok(())
    }

    /// A refresh token together with the row it names, if it was issued here and its row is there. The
    /// keyed part of the token is checked first, so garbage costs no statement.
    pub(crate) async fn presented(&self, text: &str) -> Result<Option<PresentedToken>, ProviderError> {
        let Some(token) = self.opaque.refresh_token(text) else { return Ok(None) };
        let rotation = self.store.rotation(&token, self.clock.now()).await?;
        Ok(rotation.map(|rotation| PresentedToken { token, rotation }))
    }

    /// A cached family or user may be older than a revocation; the index is not, or says so.
    async fn confirm_standing(&self, facts: &Facts<'_>) -> Result<(), ProviderError> {
        let Some(family) = facts.family.found() else { return Ok(()) };
        if self.revocations.is_revoked(&Revocable::of_family(family), false).await? {
            return Err(OauthError::invalid_grant("The authorization has been revoked.").into());
        }
        Ok(())
    }

    async fn issue(
        &self,
        facts: &Facts<'_>,
        form: &Params<'_>,
        issue: Issue,
    ) -> Result<(Kinds, TokenAnswer), IssueError> {
        let Minted { body, refresh } = self.mint(facts, &issue).await?;
        let mut kinds = Kinds::new();
        kinds.push(TokenType::Access);
        kinds.extend(refresh.as_ref().map(|_| TokenType::Refresh));
        kinds.extend(issue.id_token.as_ref().map(|_| TokenType::Id));
        let begun = |(token, expires_at)| Effect::InsertRefreshToken { token, expires_at };
        let (spend, effects) = match (issue.spend, refresh) {
            (Spends::Nothing, first) => (None, first.map(begun)),
            (Spends::Code(id), first) => (Some(Spend::Code(id)), first.map(begun)),
            (Spends::RefreshToken(token), Some((next, expires_at))) => {
                let (retry_request, retry_answer) =
                    (facts.retry_request(), self.sealed_retry(facts, form, &body));
                let successor = next.digest;
                (Some(Spend::Refresh { token, successor, expires_at, retry_request, retry_answer }), None)
            }
            (Spends::RefreshToken(_), None) => {
                let error = ProviderError::Internal("a refresh token was rotated without a successor".into());
                return Err(IssueError::Failed(error));
            }
        };
        let effects: Vec<Effect> = effects.into_iter().collect();
        // What has no row writes no row: client_credentials ends here.
        if spend.is_some() || !effects.is_empty() {
            match self.commit(facts.now, spend, effects).await {
                // What was read may have come from a cache; the primary knows that the family has ended.
                Err(CommitError::Missing("family")) => {
                    let error = OauthError::invalid_grant("The authorization has ended.");
                    return Err(IssueError::Failed(error.into()));
                }
                // Missing counts as spent: its user or client was deleted since it was read.
                Err(CommitError::AlreadySpent | CommitError::Missing(_)) => {
                    return Err(IssueError::AlreadySpent);
                }
                Err(error) => return Err(IssueError::Failed(error.into())),
                Ok(_) => {}
            }
        }
        Ok((kinds, TokenAnswer { body }))
    }

    /// The answer for a retry, sealed under a key derived from the presented token itself.
    fn sealed_retry(&self, facts: &Facts, form: &Params, body: &[u8]) -> Option<Vec<u8>> {
        let window = facts.client.retry_window.unwrap_or(facts.policy.retry_window);
        let presented = form.get("refresh_token").filter(|_| window > 0)?;
        Some(seal::seal_once(&self.random, presented.as_bytes(), RETRY_PLACE, body))
    }

    fn repeat(&self, form: &Params, sealed: &[u8]) -> Result<TokenAnswer, ProviderError> {
        let presented = form.require("refresh_token")?;
        let body = seal::open_once(presented.as_bytes(), RETRY_PLACE, sealed)
            .ok_or_else(|| ProviderError::Internal("a stored retry answer cannot be opened".into()))?;
        self.metrics.security_event(SecurityEvent::RefreshRetry);
        Ok(TokenAnswer { body: body.to_vec() })
    }

    /// Does what a refusal demands. If that fails, the answer is a 5xx, not the refusal.
    async fn refuse(&self, refusal: Refusal, facts: &Facts<'_>) -> ProviderError {
        if let Some(family) = refusal.revoke {
            let until = self.policy.forget_revocation_at(facts.now);
            let effect = Effect::RevokeFamily { family, client: facts.client.key, until };
            if let Err(error) = self.commit(facts.now, None, vec![effect]).await {
                return error.into();
            }
            self.metrics.revocation(RevocationCause::Reuse, Revoked::Family);
        }
        if let Some(event) = refusal.event {
            self.metrics.security_event(event);
            tracing::warn!(event = event.as_str(), client_id = %facts.client.client_id, "security event");
        }
        refusal.error.into()
    }
}

/// Which tokens went out, for the counters.
type Kinds = SmallVec<[TokenType; 3]>;

enum IssueError {
    AlreadySpent,
    Failed(ProviderError),
}

impl From<ProviderError> for IssueError {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}
