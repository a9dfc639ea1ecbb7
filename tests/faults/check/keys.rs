//! I4: every token verifies against every key set that a verifier may hold while the token lives.

use std::{collections::HashMap, time::Duration};

use super::{
    Invariant, Violation,
    facts::{Facts, short},
};
use crate::faults::history::{Answer, End, Op};

/// The first and the last moment at which a token of a key may have to be verified.
struct Use {
    first: Duration,
    last: Duration,
}

pub fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut uses: HashMap<&str, Use> = HashMap::new();
    for call in facts.calls {
        let End::Ok(Answer::Tokens { signed, .. }) = call.end else { continue };
        for token in signed {
            let fresh = Use { first: call.ended, last: token.expires_at };
            let held = uses.entry(token.kid.as_str()).or_insert(fresh);
            held.first = held.first.min(call.ended);
            held.last = held.last.max(token.expires_at);
        }
    }
    let mut found = Vec::new();
    for call in facts.calls {
        if let (Op::Verify { token }, Some(false)) = (call.op, call.told())
            && call.begun < facts.expires_at(token)
        {
            let message = format!("{} does not verify", short(token));
            found.push(Violation { invariant: Invariant::I4, at: call.begun, message });
        }
        let End::Ok(Answer::Keys { kids, max_age }) = call.end else { continue };
        // RFC 9111 §4.2.3: its age counts from when it was made, which was after it was asked for.
        let cached_until = call.begun.saturating_add(*max_age);
        for (kid, used) in &uses {
            let overlaps = used.first <= cached_until && used.last > call.ended;
            if overlaps && !kids.iter().any(|held| held == kid) {
                let message = format!(
                    "key {kid} is used from {:?} to {:?}, but node {}'s key set, good until {cached_until:?}, \
                     does not hold it",
                    used.first, used.last, call.node
                );
                found.push(Violation { invariant: Invariant::I4, at: call.begun, message });
            }
        }
    }
    found
}
