//! I1: an acknowledged revocation is never undone.

use std::{collections::HashMap, time::Duration};

use super::{
    Invariant, Violation,
    facts::{Death, Facts, short},
};
use crate::faults::history::{Call, Op};

pub fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut found: Vec<Violation> = facts.calls.iter().filter_map(|call| outlived(facts, call)).collect();
    found.extend(came_alive(facts));
    found
}

/// A dead token that is called active, or that still brings tokens.
fn outlived(facts: &Facts<'_>, call: &Call<'_>) -> Option<Violation> {
    let (token, what) = match call.op {
        Op::Probe { token } if call.told() == Some(true) => (token, "is called active"),
        Op::Refresh { token } if call.is_ok() => (token, "was accepted"),
        _ => return None,
    };
    let Death { at, node, reuse } = *facts.dead_for(token, call)?;
    let (invariant, why) =
        if reuse { (Invariant::I3, "its family was used twice") } else { (Invariant::I1, "it was revoked") };
    let message = format!(
        "{} {what} by node {}, {:?} after {why} at node {node}",
        short(token),
        call.node,
        call.begun.saturating_sub(at)
    );
    Some(Violation { invariant, at: call.begun, message })
}

/// What was called dead once stays dead, whatever the reason.
fn came_alive(facts: &Facts<'_>) -> Vec<Violation> {
    let mut dead: HashMap<(&str, usize), Duration> = HashMap::new();
    for call in facts.calls {
        if let (Op::Probe { token }, Some(false)) = (call.op, call.told()) {
            let since = dead.entry((token, call.node)).or_insert(call.ended);
            *since = call.ended.min(*since);
        }
    }
    let nodes = facts.calls.iter().map(|call| call.node).max().map_or(0, |last| last + 1);
    let undone = |call: &&Call<'_>| {
        let Op::Probe { token } = call.op else { return None };
        (call.told() == Some(true)).then_some(())?;
        let known = |node: usize| Some((node, *dead.get(&(token.as_str(), node))?));
        let of = |(node, since): &(usize, Duration)| call.begun >= facts.in_force(*since, *node, call.node);
        let (node, _) = (0..nodes).filter_map(known).find(of)?;
        let message =
            format!("{} is active at node {}, and was dead before at node {node}", short(token), call.node);
        Some(Violation { invariant: Invariant::I1, at: call.begun, message })
    };
    facts.calls.iter().filter_map(|call| undone(&call)).collect()
}
