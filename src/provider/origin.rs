//! Which web origins may read an answer: those the client registered (`allowed_origins`).

use super::TokenEndpoints;
use crate::protocol::{ClientRequest, client_auth};

impl TokenEndpoints {
    /// Whether the client that a request names registered the origin.
    pub async fn origin_of_client(&self, request: &ClientRequest<'_>, origin: &str) -> bool {
        let Ok(client_id) = client_auth::named(request) else { return false };
        let client = self.store.client(&client_id).await.ok().flatten();
        client.is_some_and(|client| client.allowed_origins.iter().any(|held| held == origin))
    }

    /// Whether the client that an access token was issued to registered the origin.
    pub async fn origin_of_token(&self, token: &str, origin: &str) -> bool {
        let Some(claims) = self.open_access(token, self.clock.now()) else { return false };
        let client = self.store.client_by_key(claims.client).await.ok().flatten();
        client.is_some_and(|client| client.allowed_origins.iter().any(|held| held == origin))
    }
}
