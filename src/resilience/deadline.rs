//! The deadline of a request: whoever waits on its behalf waits no longer than what is left of it.
//!
//! It travels with the task. Work without one (the feed, the sweeper) is bounded by its own limits only.
//! An alarm is set only for work that has to wait for something: most requests never do.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// As good as never; moments further away may be more than a clock can tell.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

tokio::task_local! {
    static DEADLINE: Cell<Deadline>;
}

#[derive(Clone, Copy)]
struct Deadline {
    end: End,
    suspended: bool,
}

/// The clock is first read when somebody has to wait, or asks: a request that is answered from memory
/// never does either.
#[derive(Clone, Copy)]
enum End {
    /// All of the time is left.
    After(Duration),
    /// It has begun to run.
    At(Instant),
}

/// The time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time for this request is up")]
pub struct Expired;

/// Does some work within a time of its own, which runs from the first wait. When it is up the work is
/// dropped where it stands; who looked at the deadline in time has already given up more politely.
pub async fn enforce<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, Expired> {
    let deadline = Deadline { end: End::After(time), suspended: false };
    DEADLINE.scope(Cell::new(deadline), enforced(work)).await
}

async fn enforced<T>(work: impl Future<Output = T>) -> Result<T, Expired> {
    let mut work = pin!(work);
    let mut alarm = pin!(None::<Sleep>);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        let Some(until) = until() else { return Poll::Pending };
        // It moves when the work has suspended it.
        if alarm.as_ref().as_pin_ref().is_none_or(|alarm| alarm.deadline() != until) {
            alarm.set(Some(sleep_until(until)));
        }
        alarm.as_mut().as_pin_mut().expect("it was set above").poll(context).map(|()| Err(Expired))
    })
    .await
}

/// Does some work that the deadline, if there is one, does not count: what a client takes to send its body
/// is not our time. The work needs a limit of its own.
pub async fn suspended<T>(work: impl Future<Output = T>) -> T {
    let Ok(Deadline { end, suspended: false }) = DEADLINE.try_with(Cell::get) else { return work.await };
    let begun = matches!(end, End::At(_)).then(Instant::now);
    let set = |end, suspended| DEADLINE.with(|held| held.set(Deadline { end, suspended }));
    set(end, true);
    let done = work.await;
    let end = match (end, begun) {
        (End::At(until), Some(begun)) => End::At(until + begun.elapsed()),
        (end, _) => end,
    };
    set(end, false);
    done
}

/// The deadline of this task, if it has one that counts now.
fn until() -> Option<Instant> {
    let Ok(Deadline { end, suspended: false }) = DEADLINE.try_with(Cell::get) else { return None };
    Some(match end {
        End::At(until) => until,
        End::After(time) => {
            let until = after(time);
            DEADLINE.with(|held| held.set(Deadline { end: End::At(until), suspended: false }));
            until
        }
    })
}

/// What is left until the deadline of this task; `None` if it has none.
pub fn remaining() -> Option<Duration> {
    Some(until()?.saturating_duration_since(Instant::now()))
}

/// Waits for some work, no longer than `most` and not past the deadline. If that has passed, the work is
/// not begun.
pub async fn within<T>(most: Duration, work: impl Future<Output = T>) -> Result<T, Expired> {
    let until = until().map_or_else(|| after(most), |until| until.min(after(most)));
    if until <= Instant::now() {
        return Err(Expired);
    }
    timeout_at(until, work).await.map_err(|_| Expired)
}

/// Waits for some work, not past the deadline if there is one.
pub async fn obeyed<T>(work: impl Future<Output = T>) -> Result<T, Expired> {
    match remaining() {
        Some(left) => within(left, work).await,
        None => Ok(work.await),
    }
}

/// So long from now.
fn after(time: Duration) -> Instant {
    Instant::now() + time.min(YEAR)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_is_dropped_when_its_time_is_up() {
        let begun = Instant::now();
        assert_eq!(enforce(SECOND, pending::<()>()).await, Err(Expired));
        assert_eq!(begun.elapsed(), SECOND);
        assert_eq!(enforce(SECOND, async { 7 }).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_inside_is_told_first() {
        let told = enforce(SECOND, async { within(SECOND * 60, pending::<()>()).await }).await;
        assert_eq!(told, Ok(Err(Expired)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_as_long_as_the_shorter_of_its_limit_and_what_is_left() {
        let waited = enforce(SECOND * 3, async {
            let begun = Instant::now();
            assert_eq!(within(SECOND, pending::<()>()).await, Err(Expired));
            assert_eq!((begun.elapsed(), remaining()), (SECOND, Some(SECOND * 2)));
            assert_eq!(within(SECOND * 60, pending::<()>()).await, Err(Expired));
            begun.elapsed()
        });
        assert_eq!(waited.await, Ok(SECOND * 3));
    }

    #[tokio::test(start_paused = true)]
    async fn expired_work_is_not_begun() {
        let mut begun = false;
        let refused = enforce(SECOND, async {
            assert_eq!(within(SECOND * 2, pending::<()>()).await, Err(Expired));
            within(SECOND, async { begun = true }).await
        });
        assert_eq!(refused.await, Ok(Err(Expired)));
        assert!(!begun);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_takes_for_its_body_is_not_counted() {
        let done = enforce(SECOND, async {
            suspended(sleep(SECOND * 5)).await;
            assert_eq!(remaining(), Some(SECOND));
            sleep(SECOND / 2).await;
        });
        assert_eq!(done.await, Ok(()));
        let late = enforce(SECOND, async {
            suspended(sleep(SECOND * 5)).await;
            sleep(SECOND * 2).await;
        });
        assert_eq!(late.await, Err(Expired));
    }

    #[test]
    fn work_that_waits_for_nothing_but_its_body_sets_no_alarm() {
        // Setting one would panic: this runtime has no timers.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let done = runtime.block_on(enforce(SECOND, async {
            suspended(tokio::task::yield_now()).await;
            7
        }));
        assert_eq!(done, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_a_deadline_has_only_its_own_limits() {
        assert_eq!(remaining(), None);
        assert_eq!(within(SECOND, pending::<()>()).await, Err(Expired));
        suspended(sleep(SECOND)).await;
        assert_eq!(within(SECOND, async { 7 }).await, Ok(7));
    }
}
