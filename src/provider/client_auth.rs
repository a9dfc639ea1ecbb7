//! RFC 6749 §2.3 — loading the client a request claims to be, and verifying it.

use std::sync::Arc;

use super::{ProviderError, TokenEndpoints};
use crate::{
    model::{AuthMethod, Client, UnixTime},
    observe::{
        CountedRequest,
        trace::{self, Fact, Work},
    },
    protocol::{ClientRequest, OauthError, client_auth},
};

impl TokenEndpoints {
    /// The authenticated client of a request. Says nothing else before this has succeeded.
    pub(crate) async fn authenticate(
        &self,
        request: &ClientRequest<'_>,
        now: UnixTime,
        asked: &mut CountedRequest<'_>,
    ) -> Result<Arc<Client>, ProviderError> {
        let client = trace::traced(Work::ClientAuthentication, self.verified(request, now, asked)).await?;
        trace::note(Fact::Client(&client.client_id));
        Ok(client)
    }

    async fn verified(
        &self,
        request: &ClientRequest<'_>,
        now: UnixTime,
        asked: &mut CountedRequest<'_>,
    ) -> Result<Arc<Client>, ProviderError> {
        let presented = client_auth::presented(request)?;
        asked.by(&presented.client_id);
        let client = self.store.client(&presented.client_id).await?;
        let verdict = client_auth::verify(&presented, client.as_deref(), now);
        self.metrics.client_auth(presented.method, verdict.is_ok());
        verdict.inspect_err(|error| trace::note(Fact::Failed(error.code.as_str())))?;
        client.ok_or_else(|| OauthError::invalid_client().into())
    }

    /// The same for endpoints that only confidential clients may use (R32).
    pub(crate) async fn authenticate_confidential(
        &self,
        request: &ClientRequest<'_>,
        now: UnixTime,
        asked: &mut CountedRequest<'_>,
    ) -> Result<Arc<Client>, ProviderError> {
        let client = self.authenticate(request, now, asked).await?;
        if client.auth_method == AuthMethod::None {
            return Err(OauthError::invalid_client().into());
        }
        Ok(client)
    }
}
