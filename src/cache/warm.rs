//! Warm-up: a node that starts reads, in the background, clients that it may be asked for.

use super::cached::Cached;
use crate::store::*;

/// The most clients that are read at the start.
const CLIENTS: usize = 1_000;
/// Clients asked for at once.
const PAGE: usize = 100;

impl<S: Store + ?Sized> Cached<S> {
    /// Reads the first enabled clients of the store, one after the other so that no request has to wait for it,
    /// and gives how many. To be called in the background once the node is ready.
    pub async fn warm_up(&self) -> Result<usize, StoreError> {
        let (mut warmed, mut after) = (0, None);
        while warmed < CLIENTS {
            let page = self.store.clients(after, PAGE).await?;
            for client in page.iter().filter(|client| client.enabled) {
                warmed += usize::from(self.warm(&client.client_id).await?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key),
                _ => break,
            }
        }
        Ok(warmed)
    }

    /// Has a client in memory under both its names; `false` if it is gone.
    async fn warm(&self, client_id: &str) -> Result<bool, StoreError> {
        let Some(client) = self.client(client_id).await? else { return Ok(false) };
        self.client_by_key(client.key).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        cache::{cached::CacheOptions, testing::*},
        store::Clients,
    };

    #[tokio::test(start_paused = true)]
    async fn a_node_that_starts_has_the_first_clients_in_memory_under_both_names() {
        let node = node(CacheOptions::default()).await;
        assert_eq!(node.cached.warm_up().await.expect("the store answers"), 3);
        let before = node.store.statements();
        node.cached.client("client-1").await.expect("cached");
        node.cached.client_by_key(client_key(2)).await.expect("cached");
        assert_eq!(node.store.statements(), before);
    }
}
