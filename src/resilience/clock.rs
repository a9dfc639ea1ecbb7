//! The process's clocks: the time of day, which never goes back, and time since boot, which never stops.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

use crate::model::UnixTime;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Time since boot, time asleep included (CLOCK_BOOTTIME).
    pub boot: Duration,
    /// The wall clock as the system shows it, since 1970. Somebody may have set it, even back.
    pub wall: Duration,
}

impl ClockReading {
    /// How far the wall clock is ahead of the boot clock, in milliseconds. Constant, unless somebody
    /// sets the wall clock.
    pub fn lead(&self) -> i64 {
        millis(self.wall).cast_signed() - millis(self.boot).cast_signed()
    }
}

thread_local! {
    static MOMENT: Cell<Option<Readings>> = const { Cell::new(None) };
}

/// What the machine's clocks showed when they were first asked since some work went on.
#[derive(Clone, Copy, Default)]
struct Readings {
    boot: Option<Duration>,
    wall: Option<Duration>,
}

/// Does some work for which no time passes until it waits: however often it asks, each of the machine's
/// clocks is read once. Work that waited reads them anew, so that nothing is judged by an old reading.
pub async fn in_moments<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _moment = Passing::begin();
        work.as_mut().poll(context)
    })
    .await
}

/// Ends the moment, also when the work panics.
struct Passing;

impl Passing {
    fn begin() -> Self {
        MOMENT.set(Some(Readings::default()));
        Self
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        MOMENT.set(None);
    }
}

/// The reading of this moment, if there is one; else a new one.
fn once(place: fn(&mut Readings) -> &mut Option<Duration>, read: fn() -> Duration) -> Duration {
    let Some(mut moment) = MOMENT.get() else { return read() };
    let reading = *place(&mut moment).get_or_insert_with(read);
    MOMENT.set(Some(moment));
    reading
}

/// The clocks of one process. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: ClockSource,
    /// The latest time of day handed out, in milliseconds.
    latest: AtomicU64,
}

#[derive(Debug)]
enum ClockSource {
    System,
    Manual { wall: AtomicU64, boot: AtomicU64 },
}

impl Clock {
    /// The clocks of the machine.
    pub fn system() -> Self {
        Self::over(ClockSource::System)
    }

    /// Clocks for tests, moved by hand. The boot clock starts at one hour.
    pub fn manual(now: UnixTime) -> Self {
        let wall = AtomicU64::new(now.0.saturating_mul(1000));
        Self::over(ClockSource::Manual { wall, boot: AtomicU64::new(3_600_000) })
    }

    fn over(source: ClockSource) -> Self {
        Self(Arc::new(Inner { source, latest: AtomicU64::new(0) }))
    }

    /// The time of day in seconds. It never goes back while the process lives: when the system's
    /// clock is set back it stands until that has caught up, so nothing that expired comes alive.
    pub fn now(&self) -> UnixTime {
        UnixTime(self.millis() / 1000)
    }

    /// The same, in milliseconds.
    pub fn millis(&self) -> u64 {
        let wall = millis(self.wall());
        let latest = self.0.latest.load(Ordering::Relaxed);
        if wall <= latest {
            return latest;
        }
        // Written at most once a millisecond, however many threads ask.
        wall.max(self.0.latest.fetch_max(wall, Ordering::Relaxed))
    }

    /// Time since boot, time asleep included: what freshness and expiry in memory are counted on.
    pub fn boot(&self) -> Duration {
        match &self.0.source {
            ClockSource::System => once(|moment| &mut moment.boot, boot_time),
            ClockSource::Manual { boot, .. } => Duration::from_millis(boot.load(Ordering::SeqCst)),
        }
    }

    /// Both clocks, unaltered, so that a step of the wall clock can be seen.
    pub fn read(&self) -> ClockReading {
        ClockReading { boot: self.boot(), wall: self.wall() }
    }

    fn wall(&self) -> Duration {
        match &self.0.source {
            ClockSource::System => once(|moment| &mut moment.wall, wall_time),
            ClockSource::Manual { wall, .. } => Duration::from_millis(wall.load(Ordering::SeqCst)),
        }
    }

    /// Lets time pass on both clocks. Only for clocks made with [`Clock::manual`].
    pub fn advance(&self, by: Duration) {
        self.advance_boot(by);
        let wall = millis(self.wall() + by);
        self.manual_source().0.store(wall, Ordering::SeqCst);
    }

    /// Lets time pass on the boot clock only. Only for clocks made with [`Clock::manual`].
    pub fn advance_boot(&self, by: Duration) {
        self.manual_source().1.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Sets the wall clock only, back as well as forward. Only for clocks made with [`Clock::manual`].
    pub fn set_wall(&self, to: UnixTime) {
        self.manual_source().0.store(to.0.saturating_mul(1000), Ordering::SeqCst);
    }

    fn manual_source(&self) -> (&AtomicU64, &AtomicU64) {
        match &self.0.source {
            ClockSource::Manual { wall, boot } => (wall, boot),
            ClockSource::System => panic!("the machine's clocks cannot be moved"),
        }
    }
}

fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Before 1970 reads as 1970: that clock is wrong, and nothing may panic over it.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
fn wall_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_stands_while_the_wall_clock_is_behind() {
        let clock = Clock::manual(UnixTime(1_000));
        assert_eq!(clock.now(), UnixTime(1_000));
        clock.set_wall(UnixTime(500));
        assert_eq!(clock.now(), UnixTime(1_000));
        clock.set_wall(UnixTime(1_001));
        assert_eq!(clock.now(), UnixTime(1_001));
    }

    #[test]
    fn a_step_of_the_wall_clock_shows_in_its_lead() {
        let clock = Clock::manual(UnixTime(1_000));
        let lead = clock.read().lead();
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.read().lead(), lead);
        clock.set_wall(UnixTime(1_065));
        assert_eq!(clock.read().lead(), lead + 5_000);
    }

    #[tokio::test]
    async fn no_time_passes_until_work_waits() {
        let clock = Clock::system();
        let later = |first: ClockReading| {
            // The boot clock counts nanoseconds.
            while boot_time() <= first.boot {}
            clock.read()
        };
        let (same, after_a_wait) = in_moments(async {
            let first = clock.read();
            let same = first == later(first);
            tokio::task::yield_now().await;
            (same, clock.read() != first)
        })
        .await;
        assert!(same && after_a_wait);
        let first = clock.read();
        assert_ne!(later(first), first, "the moment is over");
    }

    #[test]
    fn the_machines_clocks_run() {
        let clock = Clock::system();
        let first = clock.read();
        assert!(first.boot > Duration::ZERO && clock.boot() >= first.boot);
        assert!(clock.now() > UnixTime(1_700_000_000));
    }
}
