//! What a breaker does, step by step and for any history.

use proptest::prelude::*;

use super::*;

const OPTIONS: BreakerOptions = BreakerOptions {
    window: Duration::from_secs(10),
    min_calls: 4,
    failure_share: 0.5,
    open_for: Duration::from_secs(1),
    open_for_most: Duration::from_secs(4),
    probes: 2,
};

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What happens to a breaker. Chance is always 1, so that it is open for the whole time.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call is let through and ends so.
    Call(bool),
    /// A call is refused.
    TurnedAway,
    /// Something is heard of a call that nobody asked for.
    Heard(bool),
    /// Milliseconds pass.
    Pass(u64),
}
use Step::*;

fn after(steps: &[Step]) -> (Core, Duration) {
    let (mut core, mut now) = (Core::new(OPTIONS), at(0));
    for step in steps {
        match *step {
            Call(success) => {
                let turn = core.admit(now).unwrap_or_else(|| panic!("{step:?} of {steps:?} is let through"));
                let outcome = if success { Outcome::Success } else { Outcome::Failure };
                core.end(turn, outcome, now, 1.0);
            }
            TurnedAway => assert_eq!(core.admit(now), None, "{steps:?}"),
            Heard(success) => core.record(success, now, 1.0),
            Pass(millis) => now += at(millis),
        }
    }
    (core, now)
}

#[test]
fn the_state_follows_from_what_happened() {
    const OK: Step = Call(true);
    const KO: Step = Call(false);
    let opened = [KO, KO, KO, KO];
    let then = |steps: &[Step]| [&opened[..], steps].concat();
    for (steps, expected) in [
        (vec![], BreakerState::Closed),
        // A few errors prove nothing, and neither do errors among many successes.
        (vec![KO, KO, KO], BreakerState::Closed),
        (vec![OK, OK, OK, OK, KO, KO, KO], BreakerState::Closed),
        (vec![OK, OK, OK, OK, KO, KO, KO, KO], BreakerState::Open),
        (opened.to_vec(), BreakerState::Open),
        // What is long ago is forgotten.
        (vec![KO, KO, KO, Pass(10_000), KO, KO, KO], BreakerState::Closed),
        (vec![KO, KO, Pass(5_000), KO, KO], BreakerState::Open),
        // Open: nothing goes through, until its time is over.
        (then(&[TurnedAway, Pass(999), TurnedAway]), BreakerState::Open),
        (then(&[Pass(1_000)]), BreakerState::HalfOpen),
        // Half-open: as many successes as probes close it, one failure opens it again.
        (then(&[Pass(1_000), OK]), BreakerState::HalfOpen),
        (then(&[Pass(1_000), OK, OK]), BreakerState::Closed),
        (then(&[Pass(1_000), OK, KO, TurnedAway]), BreakerState::Open),
        // Closed again, it begins to count anew.
        (then(&[Pass(1_000), OK, OK, KO, KO, KO]), BreakerState::Closed),
        // It is open for twice as long each time, up to a bound.
        (then(&[Pass(1_000), KO, Pass(1_999), TurnedAway]), BreakerState::Open),
        (then(&[Pass(1_000), KO, Pass(2_000)]), BreakerState::HalfOpen),
        (then(&[Pass(1_000), KO, Pass(2_000), KO, Pass(4_000), KO, Pass(3_999)]), BreakerState::Open),
        (then(&[Pass(1_000), KO, Pass(2_000), KO, Pass(4_000), KO, Pass(4_000)]), BreakerState::HalfOpen),
        // What is made without asking counts too.
        (vec![Heard(false), Heard(false), Heard(false), Heard(false)], BreakerState::Open),
        (then(&[Heard(false)]), BreakerState::Open),
        (then(&[Heard(true)]), BreakerState::HalfOpen),
        (then(&[Heard(true), Heard(true), Heard(true)]), BreakerState::Closed),
        (then(&[Heard(true), Heard(false)]), BreakerState::Open),
    ] {
        let (core, now) = after(&steps);
        assert_eq!(core.state(now), expected, "{steps:?}");
    }
}

#[test]
fn half_open_lets_only_a_few_through_at_once() {
    let (mut core, now) = after(&[Call(false), Call(false), Call(false), Call(false), Pass(1_000)]);
    let (first, second) = (core.admit(now).expect("a probe"), core.admit(now).expect("a probe"));
    assert_eq!(core.admit(now), None);
    // A probe whose caller went away makes room for another.
    core.end(first, Outcome::Nothing, now, 1.0);
    let third = core.admit(now).expect("a probe");
    core.end(second, Outcome::Success, now, 1.0);
    core.end(third, Outcome::Success, now, 1.0);
    assert_eq!(core.state(now), BreakerState::Closed);
}

#[test]
fn a_call_from_before_says_nothing_about_now() {
    let (mut core, now) = after(&[Call(false), Call(false), Call(false)]);
    let slow = core.admit(now).expect("closed");
    let last = core.admit(now).expect("closed");
    core.end(last, Outcome::Failure, now, 1.0);
    assert_eq!(core.state(now), BreakerState::Open);
    let now = now + at(1_000);
    let probe = core.admit(now).expect("half-open");
    core.end(slow, Outcome::Failure, now, 1.0);
    assert_eq!(core.state(now), BreakerState::HalfOpen);
    core.end(probe, Outcome::Success, now, 1.0);
}

#[tokio::test(start_paused = true)]
async fn transitions_and_refusals_are_counted() {
    let breaker = Breaker::new(OPTIONS);
    for _ in 0..4 {
        breaker.admit().expect("closed").failed();
    }
    assert_eq!(breaker.admit().err(), Some(Refused));
    tokio::time::sleep(OPTIONS.open_for).await;
    drop(breaker.admit().expect("a probe whose caller goes away"));
    for _ in 0..2 {
        breaker.admit().expect("a probe").succeeded();
    }
    let expected = BreakerStatistics { state: BreakerState::Closed, transitions: [1, 1, 1], refused: 1 };
    assert_eq!(breaker.statistics(), expected);
}

fn steps() -> impl Strategy<Value = Vec<(u64, u8)>> {
    proptest::collection::vec((0_u64..20_000, 0_u8..6), 0..200)
}

proptest! {
    /// Whatever happened before: once calls succeed, it closes within the longest time that it may be
    /// open, and a few calls.
    #[test]
    fn a_breaker_always_recovers_once_calls_succeed(history in steps(), draw in 0.0_f64..1.0) {
        let (mut core, mut now) = (Core::new(OPTIONS), at(0));
        let mut under_way = Vec::new();
        for (pause, kind) in history {
            now += at(pause);
            match kind {
                0 => core.record(false, now, draw),
                1 => core.record(true, now, draw),
                2 => under_way.extend(core.admit(now)),
                _ => if let Some(turn) = under_way.pop().or_else(|| core.admit(now)) {
                    let outcome = [Outcome::Failure, Outcome::Success, Outcome::Nothing][usize::from(kind) - 3];
                    core.end(turn, outcome, now, draw);
                },
            }
        }
        // Every call ends at some time: it has a limit.
        for turn in under_way {
            core.end(turn, Outcome::Nothing, now, draw);
        }
        now += OPTIONS.open_for_most;
        for _ in 0..OPTIONS.probes {
            let turn = core.admit(now);
            prop_assert!(turn.is_some());
            core.end(turn.expect("checked"), Outcome::Success, now, draw);
        }
        prop_assert_eq!(core.state(now), BreakerState::Closed);
    }

    /// However the dice fall, it is open for at least half of the time and never for longer.
    #[test]
    fn it_is_open_for_a_random_time_within_bounds(times in 0_u32..40, draw in 0.0_f64..1.0) {
        let mut core = Core { opened: times, ..Core::new(OPTIONS) };
        core.open(at(0), draw);
        let most = (OPTIONS.open_for * 2_u32.pow(times.min(8))).min(OPTIONS.open_for_most);
        let Period::Open { until } = core.period else { panic!("it is open") };
        prop_assert!(until >= most / 2 && until <= most, "{until:?}");
    }
}
