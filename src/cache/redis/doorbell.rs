//! The doorbell between nodes: who commits rings, and everybody's tail looks at the feed at once.
//!
//! Nothing hangs on it. A ring that is lost or late costs the interval at which the feed is read in any
//! case; a ring that nobody meant costs a read of the feed, and those are held apart.

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

use super::{CONNECT_TIMEOUT, Redis, RedisFailure};
use crate::cache::{count::one, feed::Doorbell};

/// The listening connection is tested so often.
const TEST: Duration = Duration::from_secs(10);
/// Rings are sent at most so often, and those from outside wake the tail at most so often.
const GAP: Duration = Duration::from_millis(5);
/// Between two attempts to listen: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// See the module.
pub struct RemoteDoorbell {
    redis: Arc<Redis>,
    channel: String,
    /// What this node says, so that it does not wake itself.
    voice: String,
    local: Doorbell,
    to_ring: Notify,
    listening: AtomicBool,
    heard: AtomicU64,
}

impl RemoteDoorbell {
    /// A doorbell on a channel; who listens there rings `local`.
    pub(in crate::cache) fn new(redis: Arc<Redis>, channel: String, local: Doorbell) -> Self {
        // It has to differ from other nodes', no more.
        let voice = format!("{:016x}", RandomState::new().hash_one(&channel));
        Self {
            redis,
            channel,
            voice,
            local,
            to_ring: Notify::new(),
            listening: AtomicBool::new(false),
            heard: AtomicU64::new(0),
        }
    }

    /// Rings at the other nodes, soon: many rings before that are one.
    pub(in crate::cache) fn ring(&self) {
        self.to_ring.notify_one();
    }

    /// Whether this node hears others ring now.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// Rings heard from other nodes since the start.
    pub fn rings_heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Rings and listens until `stop` is ready.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        tokio::select! {
            biased;
            () = &mut stop => {}
            () = self.ring_on() => {}
            () = self.listen_on() => {}
        }
        self.listening.store(false, Ordering::Relaxed);
    }

    /// Whether it was another node; counts it.
    fn hears(&self, message: &redis::Msg) -> bool {
        let other = message.get_payload_bytes() != self.voice.as_bytes();
        if other {
            one(&self.heard);
        }
        other
    }

    async fn ring_on(&self) {
        loop {
            self.to_ring.notified().await;
            // Lost if it fails; the failure is counted.
            let _ = self.redis.publish(&self.channel, &self.voice).await;
            // A node that commits all the time need not tell so more often than others listen.
            sleep(GAP).await;
        }
    }

    async fn listen_on(&self) {
        let mut pause = RETRY.0;
        loop {
            let begun = Instant::now();
            let Err(failure) = self.listen().await;
            if self.listening.swap(false, Ordering::Relaxed) {
                tracing::warn!(%failure, "other nodes' doorbell is not heard; the feed is read at its interval");
            }
            pause = if begun.elapsed() > TEST { RETRY.0 } else { (pause * 2).min(RETRY.1) };
            // Not all nodes at the same moment.
            let dice = RandomState::new().hash_one(0) % 256;
            sleep(pause * (256 + u32::try_from(dice).unwrap_or(0)) / 512).await;
        }
    }

    /// Listens on a connection of its own until that is lost.
    async fn listen(&self) -> Result<std::convert::Infallible, RedisFailure> {
        let lost = |_| RedisFailure::Connection;
        let late = |_| RedisFailure::Timeout;
        let connection = timeout(CONNECT_TIMEOUT, self.redis.target.listen()).await;
        let (mut sink, mut messages) = connection.map_err(late)?.map_err(lost)?.split();
        timeout(CONNECT_TIMEOUT, sink.subscribe(&self.channel)).await.map_err(late)?.map_err(lost)?;
        if !self.listening.swap(true, Ordering::Relaxed) {
            tracing::info!("other nodes' doorbell is heard");
        }
        // What was rung before we listened is not to be missed.
        self.local.ring();
        let mut tests = interval(TEST);
        loop {
            tokio::select! {
                message = messages.next() => {
                    if self.hears(&message.ok_or(RedisFailure::Connection)?) {
                        self.local.ring();
                        sleep(GAP).await;
                    }
                    // What came meanwhile is one ring: one for each would pile up without bound.
                    let mut more = false;
                    while let Some(message) = messages.next().now_or_never() {
                        more |= self.hears(&message.ok_or(RedisFailure::Connection)?);
                    }
                    if more {
                        self.local.ring();
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
