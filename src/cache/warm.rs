//! Warm-up: a node that starts reads, in the background, the clients it will be asked for.
//!
//! With Redis it knows which: every node notes there, now and then, the clients it has in memory, that
//! is those used within the lifetime of an entry. Without, it reads the first clients of the store, up to
//! a bound. Either way the rows themselves come from the store (or what the feed bears out).

use std::{collections::HashMap, time::Duration};

use super::Cached;
use crate::{model::*, store::*};

/// The most clients that are noted, and read at the start.
const CLIENTS: usize = 1_000;
/// Clients not seen for so long are noted no more, in seconds.
const HOURS: u64 = 6 * 60 * 60;
/// Clients asked for at once where no note tells which.
const PAGE: usize = 100;
const NOTE: &str = "clients in use";

/// Clients in use, with the moment they were last seen in a node's memory.
type InUse = HashMap<String, UnixTime>;

impl<S: Store + ?Sized> Cached<S> {
    /// Notes in Redis which clients are in use. To be called every few minutes; without Redis it does
    /// nothing.
    pub async fn note_clients_in_use(&self) {
        let Some(shared) = &self.shared else { return };
        let now = self.clock.now();
        let mut in_use: InUse = shared.note(NOTE).await.unwrap_or_default();
        in_use.retain(|_, seen| seen.0.saturating_add(HOURS) > now.0 && *seen <= now);
        in_use.extend(self.tail.caches.client.keys(CLIENTS).into_iter().map(|client| (client, now)));
        let mut newest: Vec<_> = in_use.into_iter().collect();
        newest.sort_by_key(|(_, seen)| std::cmp::Reverse(*seen));
        newest.truncate(CLIENTS);
        let in_use: InUse = newest.into_iter().collect();
        if !in_use.is_empty() {
            shared.write_note(NOTE, &in_use, Duration::from_secs(HOURS)).await;
        }
    }

    /// Reads the clients in use, one after the other so that nobody has to wait for it, and gives how
    /// many. To be called in the background once the node is ready.
    pub async fn warm_up(&self) -> Result<usize, StoreError> {
        let noted = match &self.shared {
            Some(shared) => shared.note::<InUse>(NOTE).await,
            None => None,
        };
        let mut warmed = 0;
        if let Some(noted) = noted.filter(|noted| !noted.is_empty()) {
            for client_id in noted.keys().take(CLIENTS) {
                warmed += usize::from(self.warm(client_id).await?);
            }
            return Ok(warmed);
        }
        let mut after = None;
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
