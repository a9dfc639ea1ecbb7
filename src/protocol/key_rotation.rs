//! OpenID Connect Core §10.1.1 — rotation of signing keys: `next → active → retiring → gone`.
//!
//! A key is published before it signs, long enough for every cached JWKS to have it, and kept after
//! it signed, until the last token it signed has expired (R50).

use crate::model::{KeyState, SigningAlg, SigningKey, UnixTime};

/// The operator's rules, in seconds.
#[derive(Clone, Debug)]
pub struct KeyRotation {
    /// The algorithms a key is kept for.
    pub algorithms: Vec<SigningAlg>,
    /// A key signs for so long.
    pub period: u64,
    /// A key is published for so long before it signs: the JWKS's max-age and the feed's staleness.
    pub lead: u64,
    /// A key is published for so long after it signed: the longest token lifetime.
    pub keep: u64,
}

/// One thing to do; each is one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Make and publish a key.
    Create(SigningAlg, KeyState),
    /// Let the next key sign, and retire the one that did.
    Activate {
        /// The next key.
        kid: String,
        /// The active one, if there is one.
        retire: Option<String>,
    },
    /// Withdraw a key whose last token has expired.
    Remove(String),
}

/// What the schedule asks for now.
pub fn due(keys: &[SigningKey], rules: &KeyRotation, now: UnixTime) -> Vec<RotationStep> {
    let mut steps: Vec<RotationStep> =
        rules.algorithms.iter().filter_map(|alg| step_for(*alg, keys, rules, now)).collect();
    let expired = |key: &&SigningKey| {
        key.state == KeyState::Retiring && key.retired_at.is_some_and(|at| now >= at.plus(rules.keep))
    };
    steps.extend(keys.iter().filter(expired).map(|key| RotationStep::Remove(key.kid.clone())));
    steps
}

fn find(keys: &[SigningKey], alg: SigningAlg, state: KeyState) -> Option<&SigningKey> {
    keys.iter().find(|key| key.alg == alg && key.state == state)
}

fn step_for(
    alg: SigningAlg,
    keys: &[SigningKey],
    rules: &KeyRotation,
    now: UnixTime,
) -> Option<RotationStep> {
    let activate = |next: &SigningKey, active: Option<&SigningKey>| RotationStep::Activate {
        kid: next.kid.clone(),
        retire: active.map(|key| key.kid.clone()),
    };
    match (find(keys, alg, KeyState::Active), find(keys, alg, KeyState::Next)) {
        // On an empty store, and after the only key was revoked, a key is active at once: the
        // stated exception, since nothing can be signed without it.
        (None, None) => Some(RotationStep::Create(alg, KeyState::Active)),
        (None, Some(next)) => Some(activate(next, None)),
        (Some(active), next) => {
            let ends = active.activated_at.unwrap_or(active.created_at).plus(rules.period);
            match next {
                None if now >= ends.minus(rules.lead) => Some(RotationStep::Create(alg, KeyState::Next)),
                Some(next) if now >= ends && now >= next.created_at.plus(rules.lead) => {
                    Some(activate(next, Some(active)))
                }
                _ => None,
            }
        }
    }
}

/// A command to rotate now; `Err` is the number of seconds to wait.
pub fn commanded(
    keys: &[SigningKey],
    alg: SigningAlg,
    rules: &KeyRotation,
    now: UnixTime,
) -> Result<RotationStep, u64> {
    let next = find(keys, alg, KeyState::Next);
    match (find(keys, alg, KeyState::Active), next) {
        (None, None) => Ok(RotationStep::Create(alg, KeyState::Active)),
        (Some(_), None) => Ok(RotationStep::Create(alg, KeyState::Next)),
        (active, Some(next)) => {
            let ready = next.created_at.plus(rules.lead);
            if active.is_some() && now < ready {
                return Err(ready.since(now));
            }
            Ok(RotationStep::Activate { kid: next.kid.clone(), retire: active.map(|key| key.kid.clone()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn rules() -> KeyRotation {
        KeyRotation { algorithms: vec![SigningAlg::EdDSA], period: 90 * DAY, lead: 3_602, keep: DAY }
    }

    fn key(kid: &str, state: KeyState, at: u64) -> SigningKey {
        let when = |reached: bool| reached.then_some(UnixTime(at));
        SigningKey {
            kid: kid.into(),
            alg: SigningAlg::EdDSA,
            state,
            sealed: Vec::new(),
            created_at: UnixTime(at),
            activated_at: when(state != KeyState::Next),
            retired_at: when(state == KeyState::Retiring),
            gone_at: None,
        }
    }

    fn at(now: u64, keys: &[SigningKey]) -> Vec<RotationStep> {
        due(keys, &rules(), UnixTime(now))
    }

    /// R50
    #[test]
    fn the_first_key_signs_at_once() {
        assert_eq!(at(0, &[]), [RotationStep::Create(SigningAlg::EdDSA, KeyState::Active)]);
    }

    /// R50
    #[test]
    fn the_next_key_is_published_before_it_signs() {
        let active = key("a", KeyState::Active, 0);
        let end = 90 * DAY;
        assert_eq!(at(end - 3_603, std::slice::from_ref(&active)), []);
        let create = RotationStep::Create(SigningAlg::EdDSA, KeyState::Next);
        assert_eq!(at(end - 3_602, std::slice::from_ref(&active)), [create]);
        let late = [active, key("b", KeyState::Next, end)];
        assert_eq!(at(end + 3_601, &late), [], "not before every cache has it");
        let activate = RotationStep::Activate { kid: "b".into(), retire: Some("a".into()) };
        assert_eq!(at(end + 3_602, &late), [activate]);
    }

    /// R50
    #[test]
    fn a_retired_key_stays_until_its_last_token_has_expired() {
        let keys = [key("a", KeyState::Retiring, 100), key("b", KeyState::Active, 100)];
        assert_eq!(at(100 + DAY - 1, &keys), []);
        assert_eq!(at(100 + DAY, &keys), [RotationStep::Remove("a".into())]);
    }

    /// R50
    #[test]
    fn a_command_is_refused_with_the_time_to_wait() {
        let active = key("a", KeyState::Active, 0);
        let ask = |keys: &[SigningKey], now| commanded(keys, SigningAlg::EdDSA, &rules(), UnixTime(now));
        let one = std::slice::from_ref(&active);
        assert_eq!(ask(one, 10), Ok(RotationStep::Create(SigningAlg::EdDSA, KeyState::Next)));
        let two = [active.clone(), key("b", KeyState::Next, 10)];
        assert_eq!(ask(&two, 12), Err(3_600));
        assert!(matches!(ask(&two, 3_612), Ok(RotationStep::Activate { .. })));
    }

    #[test]
    fn after_the_active_key_was_revoked_the_next_takes_over_at_once() {
        let keys = [key("b", KeyState::Next, 10)];
        assert_eq!(at(11, &keys), [RotationStep::Activate { kid: "b".into(), retire: None }]);
    }
}
