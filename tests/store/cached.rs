//! The caches keep every promise of the store below them: a decorator may make things faster, never other.

use std::sync::Arc;

use async_trait::async_trait;
use chancery::{
    cache::{CacheOptions, Cached},
    resilience::Clock,
    store::{
        sqlite::{Options, Sqlite},
        *,
    },
};
use tempfile::TempDir;

use crate::store::{fixtures::*, suite::each_promise};

/// A data folder; each handle on it is a node with caches of its own, which follows the feed.
struct Nodes(TempDir);

#[async_trait]
impl Place for Nodes {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.0.path().join("data/chancery.db");
        let store = Arc::new(Sqlite::open(&path, Options::default()).expect("the store opens"));
        let cached = Arc::new(Cached::new(store, CacheOptions::default(), Clock::system()));
        cached.tail().start().await.expect("the feed is read");
        tokio::spawn(cached.tail().clone().run(std::future::pending()));
        cached
    }
}

macro_rules! through_caches {
    ($($module:ident { $($promise:ident)* })*) => {$(
        mod $module {
            $(#[tokio::test]
            async fn $promise() {
                let nodes = super::Nodes(tempfile::tempdir().expect("a temporary folder"));
                crate::store::suite::$module::$promise(&nodes).await;
            })*
        }
    )*};
}

each_promise!(through_caches);
