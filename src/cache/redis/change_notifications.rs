//! Change notifications between nodes: a node that commits publishes one, and the others read the change
//! feed at once instead of at their interval.
//!
//! They carry no data and may be lost: then the feed is read at its interval. One that was published
//! without a change costs a read of the feed, and those are limited in rate.

use std::{
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::Notify,
    time::{Instant, interval, sleep, timeout},
};

use super::{
    client::RedisClient,
    commands::{RedisCommands, RedisFailure},
    options::CONNECT_TIMEOUT,
};
use crate::cache::{feed::ChangeSignal, stats::one};

/// The subscribed connection is tested so often.
const TEST: Duration = Duration::from_secs(10);
/// Notifications are published at most so often, and received ones wake the tail at most so often.
const GAP: Duration = Duration::from_millis(5);
/// Between two attempts to subscribe: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// See the module.
pub struct ChangeNotifications {
    redis: Arc<RedisClient>,
    channel: String,
    /// What this node publishes, so that it does not wake itself.
    sender: String,
    local: ChangeSignal,
    pending: Notify,
    subscribed: AtomicBool,
    received: AtomicU64,
}

impl ChangeNotifications {
    /// Notifications on a channel; those of other nodes wake `local`.
    pub(in crate::cache) fn new(redis: Arc<RedisClient>, channel: String, local: ChangeSignal) -> Self {
        // It has to differ from other nodes', no more.
        let sender = format!("{:016x}", RandomState::new().hash_one(&channel));
        Self {
            redis,
            channel,
            sender,
            local,
            pending: Notify::new(),
            subscribed: AtomicBool::new(false),
            received: AtomicU64::new(0),
        }
    }

    /// Notifies the other nodes soon. Many calls before that are one notification.
    pub(in crate::cache) fn publish(&self) {
        self.pending.notify_one();
    }

    /// Whether this node receives the notifications of others now.
    pub fn is_subscribed(&self) -> bool {
        self.subscribed.load(Ordering::Relaxed)
    }

    /// Notifications received from other nodes since the start.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Publishes and receives until `stop` is ready.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        tokio::select! {
            biased;
            () = &mut stop => {}
            () = self.publish_pending() => {}
            () = self.stay_subscribed() => {}
        }
        self.subscribed.store(false, Ordering::Relaxed);
    }

    /// Whether it was published by another node; counts it.
    fn is_foreign(&self, message: &redis::Msg) -> bool {
        let foreign = message.get_payload_bytes() != self.sender.as_bytes();
        if foreign {
            one(&self.received);
        }
        foreign
    }

    async fn publish_pending(&self) {
        loop {
            self.pending.notified().await;
            // Lost if it fails; the failure is counted.
            let _ = self.redis.publish(&self.channel, &self.sender).await;
            // Receivers read the feed no more often than this.
            sleep(GAP).await;
        }
    }

    async fn stay_subscribed(&self) {
        let mut pause = RETRY.0;
        loop {
            let begun = Instant::now();
            let Err(failure) = self.subscribe().await;
            if self.subscribed.swap(false, Ordering::Relaxed) {
                tracing::warn!(%failure, "lost the subscription to change notifications; polling the change feed until it is back");
            }
            pause = if begun.elapsed() > TEST { RETRY.0 } else { (pause * 2).min(RETRY.1) };
            // Not all nodes at the same moment.
            let dice = RandomState::new().hash_one(0) % 256;
            sleep(pause * (256 + u32::try_from(dice).unwrap_or(0)) / 512).await;
        }
    }

    /// Receives on a connection of its own until that is lost.
    async fn subscribe(&self) -> Result<std::convert::Infallible, RedisFailure> {
        let lost = |_| RedisFailure::Connection;
        let late = |_| RedisFailure::Timeout;
        let connection = timeout(CONNECT_TIMEOUT, self.redis.target.subscriber()).await;
        let (mut sink, mut messages) = connection.map_err(late)?.map_err(lost)?.split();
        timeout(CONNECT_TIMEOUT, sink.subscribe(&self.channel)).await.map_err(late)?.map_err(lost)?;
        if !self.subscribed.swap(true, Ordering::Relaxed) {
            tracing::info!("subscribed to change notifications");
        }
        // What was published before the subscription is not to be missed.
        self.local.notify();
        let mut tests = interval(TEST);
        loop {
            tokio::select! {
                message = messages.next() => {
                    if self.is_foreign(&message.ok_or(RedisFailure::Connection)?) {
                        self.local.notify();
                        sleep(GAP).await;
                    }
                    // What came meanwhile counts as one: waking for each would pile up without bound.
                    let mut more = false;
                    while let Some(message) = messages.next().now_or_never() {
                        more |= self.is_foreign(&message.ok_or(RedisFailure::Connection)?);
                    }
                    if more {
                        self.local.notify();
                        sleep(GAP).await;
                    }
                }
                _ = tests.tick() => {
                    let test = sink.ping::<redis::Value>();
                    timeout(CONNECT_TIMEOUT, test).await.map_err(late)?.map_err(lost)?;
                }
            }
        }
    }
}
