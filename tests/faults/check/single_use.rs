//! I2: a code is accepted at most once, cluster-wide.

use std::collections::HashMap;

use super::{
    Invariant, Violation,
    facts::{Facts, short},
};
use crate::faults::history::Op;

pub fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut found = Vec::new();
    for call in facts.calls.iter().filter(|call| call.is_ok()) {
        let Op::Redeem { code } = call.op else { continue };
        if let Some(node) = first.insert(code, call.node) {
            let message = format!("code {} accepted by node {node} and node {}", short(code), call.node);
            found.push(Violation { invariant: Invariant::I2, at: call.ended, message });
        }
    }
    found
}
