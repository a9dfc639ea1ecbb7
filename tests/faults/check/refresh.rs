//! I3: a refresh token has at most one successor, and reuse is refused. What reuse kills is looked
//! at with the revocations.

use super::{
    Invariant, Violation,
    facts::{Facts, short, successor},
};
use crate::faults::history::Op;

pub fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (token, calls) in &facts.presented {
        let mut first = None;
        for call in calls.iter().filter(|call| call.is_ok()) {
            let Op::Refresh { .. } = call.op else { continue };
            let next = successor(call);
            let mut broken = |message: String| {
                found.push(Violation { invariant: Invariant::I3, at: call.ended, message });
            };
            match first {
                None => first = Some(next),
                Some(first) if first != next => broken(format!("{} has two successors", short(token))),
                Some(_) => {}
            }
            // The answer may be given again only to one who may not have received it.
            if let Some(next) = next
                && facts
                    .presented
                    .get(next)
                    .is_some_and(|used| used.iter().any(|used| used.is_ok() && used.ended < call.begun))
            {
                broken(format!("{} was accepted after its successor was used", short(token)));
            }
        }
    }
    found
}
