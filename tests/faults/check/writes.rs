//! I5: an acknowledged write survives. What was issued stays good until somebody kills it.

use std::{collections::HashMap, time::Duration};

use super::{
    Invariant, Violation,
    facts::{Facts, short},
};
use crate::faults::history::{Call, End, Op};

pub fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut written: HashMap<&str, Duration> = HashMap::new();
    for call in facts.calls.iter().filter(|call| call.is_ok()) {
        if let Op::Write { name } = call.op {
            written.insert(name, call.ended);
        }
    }
    let lost = |call: &Call<'_>| {
        let message = match (call.op, call.end) {
            (Op::Read { name }, _) if call.told() == Some(false) => {
                (*written.get(name.as_str())? < call.begun).then(|| format!("{name} is gone"))?
            }
            (Op::Probe { token }, _) if call.told() == Some(false) => {
                must_live(facts, token, call).then(|| format!("{} is called inactive", short(token)))?
            }
            (Op::Refresh { token }, End::Fail(reason)) => {
                let was_retry = facts.is_reuse(token, call);
                (!was_retry && must_stand(facts, token, call))
                    .then(|| format!("{} is refused: {reason}", short(token)))?
            }
            (Op::Redeem { code }, End::Fail(reason)) => (facts.presented[code.as_str()].len() == 1)
                .then(|| format!("code {} is refused: {reason}", short(code)))?,
            (Op::Issue | Op::Revoke { .. }, End::Fail(reason)) => {
                format!("the client is refused: {reason}")
            }
            _ => return None,
        };
        let message = format!("node {}: {message}", call.node);
        Some(Violation { invariant: Invariant::I5, at: call.begun, message })
    };
    facts.calls.iter().filter_map(lost).collect()
}

/// Nobody has begun to kill it or its family.
fn must_stand(facts: &Facts<'_>, token: &str, call: &Call<'_>) -> bool {
    call.ended < facts.expires_at(token) && facts.may_be_dead(token).is_none_or(|since| since > call.ended)
}

/// The same, and if it is a refresh token it was not presented yet.
fn must_live(facts: &Facts<'_>, token: &str, call: &Call<'_>) -> bool {
    let used = facts.presented.get(token).is_some_and(|uses| uses.iter().any(|used| used.begun < call.ended));
    must_stand(facts, token, call) && !used
}
