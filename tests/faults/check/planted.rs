//! The checker itself: histories of servers with known bugs, each of which must be caught.

use std::time::Duration;

use super::{Invariant, Promises, check};
use crate::faults::history::{Answer, Event, Op, Signed, What};

/// A history written by hand, in tenths of a second.
#[derive(Default)]
struct Story(Vec<Event>);

const LONG: u64 = 9_000;

fn tenths(at: u64) -> Duration {
    Duration::from_millis(100 * at)
}

fn tokens(access: &str, refresh: Option<&str>) -> What {
    signed(access, refresh, &[])
}

fn signed(access: &str, refresh: Option<&str>, kids: &[(&str, u64)]) -> What {
    let sign = |(kid, until): &(&str, u64)| Signed { kid: (*kid).into(), expires_at: tenths(*until) };
    What::Ok(Answer::Tokens {
        access: access.into(),
        refresh: refresh.map(str::to_owned),
        signed: kids.iter().map(sign).collect(),
        expires_at: tenths(LONG),
    })
}

fn is(answer: bool) -> What {
    What::Ok(Answer::Is(answer))
}

fn done() -> What {
    What::Ok(Answer::Done)
}

fn refused() -> What {
    What::Fail("invalid_grant".into())
}

fn lost() -> What {
    What::Info("timed out".into())
}

fn redeem(code: &str) -> Op {
    Op::Redeem { code: code.into() }
}

fn refresh(token: &str) -> Op {
    Op::Refresh { token: token.into() }
}

fn revoke(token: &str) -> Op {
    Op::Revoke { token: token.into() }
}

fn probe(token: &str) -> Op {
    Op::Probe { token: token.into() }
}

impl Story {
    /// A call to a node that took from one moment to another.
    fn call(mut self, node: usize, (begun, ended): (u64, u64), op: Op, what: What) -> Self {
        let call = self.0.len();
        self.0.push(Event { call, at: tenths(begun), what: What::Invoke { node, op } });
        self.0.push(Event { call, at: tenths(ended), what });
        self
    }

    /// A family that begins with code `c`, access token `a` and refresh token `r1`.
    fn family() -> Self {
        Self::default().call(0, (1, 2), redeem("c"), tokens("a", Some("r1")))
    }

    #[track_caller]
    fn breaks(self, invariant: Invariant) {
        let found = check(&self.0, &Promises::default());
        assert!(
            !found.is_empty() && found.iter().all(|violation| violation.invariant == invariant),
            "{found:#?}"
        );
    }

    #[track_caller]
    fn holds(self) {
        let found = check(&self.0, &Promises::default());
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn a_good_history_holds() {
    Story::family()
        .call(1, (2, 3), probe("a"), is(true))
        .call(1, (3, 4), probe("r1"), is(true))
        .call(0, (4, 5), refresh("r1"), tokens("a2", Some("r2")))
        // Spent, and so inactive.
        .call(0, (5, 6), probe("r1"), is(false))
        // Not yet heard of at the other node.
        .call(0, (10, 11), revoke("r2"), done())
        .call(1, (12, 13), probe("a"), is(true))
        .call(0, (12, 13), probe("a"), is(false))
        .call(1, (40, 41), probe("a2"), is(false))
        .call(1, (40, 41), refresh("r2"), refused())
        .holds();
}

#[test]
fn a_refresh_that_is_not_atomic_is_caught() {
    Story::family()
        .call(0, (3, 5), refresh("r1"), tokens("a2", Some("r2")))
        .call(1, (3, 5), refresh("r1"), tokens("a3", Some("r3")))
        .breaks(Invariant::I3);
}

#[test]
fn the_same_answer_to_the_same_refresh_is_no_second_successor() {
    Story::family()
        .call(0, (3, 5), refresh("r1"), tokens("a2", Some("r2")))
        .call(1, (3, 5), refresh("r1"), tokens("a2", Some("r2")))
        .holds();
}

#[test]
fn a_family_that_outlives_reuse_is_caught() {
    Story::family()
        .call(0, (3, 4), refresh("r1"), tokens("a2", Some("r2")))
        .call(0, (4, 5), refresh("r2"), tokens("a3", Some("r3")))
        .call(1, (5, 6), refresh("r1"), refused())
        .call(1, (6, 7), probe("a3"), is(true))
        .breaks(Invariant::I3);
}

#[test]
fn a_refresh_token_that_works_again_after_its_successor_was_used_is_caught() {
    Story::family()
        .call(0, (3, 4), refresh("r1"), tokens("a2", Some("r2")))
        .call(0, (4, 5), refresh("r2"), tokens("a3", Some("r3")))
        .call(1, (6, 7), refresh("r1"), tokens("a2", Some("r2")))
        .breaks(Invariant::I3);
}

#[test]
fn a_revocation_in_a_cache_only_is_caught_at_the_other_node() {
    Story::family()
        .call(0, (3, 4), revoke("a"), done())
        .call(0, (5, 6), probe("a"), is(false))
        .call(1, (30, 31), probe("a"), is(true))
        .breaks(Invariant::I1);
}

#[test]
fn a_revocation_that_a_restart_undoes_is_caught() {
    Story::family()
        .call(0, (3, 4), revoke("r1"), done())
        .call(0, (5, 6), probe("a"), is(false))
        .call(0, (9, 10), probe("a"), is(true))
        .breaks(Invariant::I1);
}

#[test]
fn what_comes_alive_is_caught_though_nobody_knows_why_it_died() {
    Story::family()
        .call(0, (3, 4), revoke("a"), lost())
        .call(1, (5, 6), probe("a"), is(false))
        .call(0, (30, 31), probe("a"), is(true))
        .breaks(Invariant::I1);
}

#[test]
fn a_code_accepted_at_two_nodes_is_caught() {
    Story::family().call(1, (1, 2), redeem("c"), tokens("b", Some("q1"))).breaks(Invariant::I2);
}

#[test]
fn a_key_used_before_it_was_published_is_caught() {
    let keys = |kids: &[&str]| {
        let kids = kids.iter().map(|kid| (*kid).to_owned()).collect();
        What::Ok(Answer::Keys { kids, max_age: tenths(50) })
    };
    let story = |used: u64| {
        Story::default()
            .call(0, (0, 1), Op::KeySet, keys(&["k1"]))
            .call(0, (1, 2), Op::KeySet, keys(&["k1", "k2"]))
            .call(1, (used, used + 1), redeem("c"), signed("a", None, &[("k2", LONG)]))
    };
    // A copy from before `k2` may be used until 5 s.
    story(52).holds();
    story(40).breaks(Invariant::I4);
}

#[test]
fn a_key_withdrawn_before_its_last_token_expired_is_caught() {
    let keys = Answer::Keys { kids: vec!["k2".into()], max_age: tenths(50) };
    Story::default()
        .call(1, (1, 2), redeem("c"), signed("a", None, &[("k1", 100)]))
        .call(0, (90, 91), Op::KeySet, What::Ok(keys))
        .breaks(Invariant::I4);
}

#[test]
fn a_token_that_does_not_verify_is_caught() {
    Story::family().call(0, (3, 4), Op::Verify { token: "a".into() }, is(false)).breaks(Invariant::I4);
}

#[test]
fn a_lost_acknowledged_write_is_caught() {
    let user = || "user 1".to_owned();
    Story::default()
        .call(0, (1, 2), Op::Write { name: user() }, done())
        .call(0, (2, 3), Op::Read { name: user() }, is(true))
        .call(0, (9, 10), Op::Read { name: user() }, is(false))
        .breaks(Invariant::I5);
    // The rotation was acknowledged, and then forgotten in a crash.
    Story::family()
        .call(0, (3, 4), refresh("r1"), tokens("a2", Some("r2")))
        .call(0, (9, 10), probe("r2"), is(false))
        .breaks(Invariant::I5);
    Story::family()
        .call(0, (3, 4), refresh("r1"), tokens("a2", Some("r2")))
        .call(0, (9, 10), refresh("r2"), refused())
        .breaks(Invariant::I5);
}

#[test]
fn a_retry_inside_its_window_must_succeed_and_one_outside_need_not() {
    let retried = |at: u64| {
        Story::family().call(0, (3, 13), refresh("r1"), lost()).call(
            1,
            (at, at + 1),
            refresh("r1"),
            refused(),
        )
    };
    retried(20).breaks(Invariant::I5);
    retried(120).holds();
}

#[test]
fn an_unknown_outcome_accuses_nobody() {
    Story::family()
        .call(0, (3, 4), revoke("a"), lost())
        .call(1, (40, 41), probe("a"), is(true))
        .call(0, (50, 60), redeem("d"), lost())
        .call(1, (50, 60), redeem("d"), refused())
        .holds();
}

#[test]
fn a_call_nobody_waited_for_may_be_done_later_and_look_like_reuse() {
    Story::family()
        .call(0, (3, 53), refresh("r1"), lost())
        .call(0, (54, 55), refresh("r1"), tokens("a2", Some("r2")))
        .call(0, (56, 57), refresh("r2"), tokens("a3", Some("r3")))
        .call(0, (60, 61), probe("a3"), is(false))
        .holds();
}
