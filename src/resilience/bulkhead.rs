//! A bulkhead: so many calls to one dependency at once, so many waiting for a place, and no more.
//!
//! A dependency that hangs then holds up a bounded number of requests; the rest are told at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::deadline::within;

/// How many may be inside, and before the door.
#[derive(Clone, Copy, Debug)]
pub struct BulkheadOptions {
    /// Calls at once; at least one may be made.
    pub places: usize,
    /// Calls that may wait for a place.
    pub waiters: usize,
    /// The longest a call waits for a place.
    pub wait: Duration,
}

/// There was no place, or none in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many concurrent calls")]
pub struct Full;

/// The places of one dependency.
#[derive(Debug)]
pub struct Bulkhead {
    options: BulkheadOptions,
    places: Semaphore,
    waiting: AtomicUsize,
}

impl Bulkhead {
    /// With every place free.
    pub fn new(options: BulkheadOptions) -> Self {
        let places = options.places.clamp(1, Semaphore::MAX_PERMITS);
        Self { options, places: Semaphore::new(places), waiting: AtomicUsize::new(0) }
    }

    /// Takes a place, given up when it is dropped. First come, first served; nobody waits past the deadline
    /// of the request.
    pub async fn enter(&self) -> Result<BulkheadPermit<'_>, Full> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(BulkheadPermit { _place: place });
        }
        let _waiting = WaitingCall::begin(self).ok_or(Full)?;
        match within(self.options.wait, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(BulkheadPermit { _place: place }),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }
}

/// A place inside.
#[derive(Debug)]
pub struct BulkheadPermit<'b> {
    _place: SemaphorePermit<'b>,
}

/// Counts somebody as waiting until it is dropped, also when the caller goes away.
struct WaitingCall<'b>(&'b AtomicUsize);

impl<'b> WaitingCall<'b> {
    fn begin(bulkhead: &'b Bulkhead) -> Option<Self> {
        let waiting = Self(&bulkhead.waiting);
        let before = bulkhead.waiting.fetch_add(1, Ordering::Relaxed);
        (before < bulkhead.options.waiters).then_some(waiting)
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use tokio::time::Instant;

    use super::*;
    use crate::resilience::deadline::enforce;

    fn bulkhead(places: usize, waiters: usize) -> Bulkhead {
        Bulkhead::new(BulkheadOptions { places, waiters, wait: Duration::from_secs(1) })
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn waiting(bulkhead: &Bulkhead) -> usize {
        bulkhead.waiting.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_every_place_taken_waits_for_one() {
        let bulkhead = bulkhead(1, 1);
        let inside = bulkhead.enter().await.expect("a place is free");
        let mut waits = pin!(bulkhead.enter());
        assert!(poll(waits.as_mut()).is_pending());
        assert_eq!(waiting(&bulkhead), 1);
        drop(inside);
        assert!(waits.await.is_ok());
        assert_eq!(waiting(&bulkhead), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_behind_too_many_others() {
        let bulkhead = bulkhead(1, 1);
        let _inside = bulkhead.enter().await.expect("a place is free");
        let mut waits = Box::pin(bulkhead.enter());
        assert!(poll(waits.as_mut()).is_pending());
        let begun = Instant::now();
        assert_eq!(bulkhead.enter().await.err(), Some(Full));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(waits);
        assert_eq!(waiting(&bulkhead), 0, "who goes away waits no more");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_too_long_or_past_the_deadline() {
        let bulkhead = bulkhead(1, 1);
        let _inside = bulkhead.enter().await.expect("a place is free");
        let begun = Instant::now();
        assert_eq!(bulkhead.enter().await.err(), Some(Full));
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        let told = enforce(Duration::from_millis(100), async { bulkhead.enter().await.err() }).await;
        assert_eq!(told, Ok(Some(Full)));
        assert_eq!(begun.elapsed(), Duration::from_millis(1_100));
    }
}
