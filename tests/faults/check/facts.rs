//! What a history says about tokens and families, gathered once.

use std::{collections::HashMap, time::Duration};

use super::Promises;
use crate::faults::history::{Answer, Call, End, Op};

/// Why and since when something must be dead.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// When the client was told.
    pub at: Duration,
    /// By whom: there it is in force at once.
    pub node: usize,
    /// By reuse, not by a revocation.
    pub reuse: bool,
}

pub struct Facts<'a> {
    pub calls: &'a [Call<'a>],
    pub promises: &'a Promises,
    /// Tokens and codes, and the family each belongs to.
    family: HashMap<&'a str, &'a str>,
    /// When each token expires.
    expires_at: HashMap<&'a str, Duration>,
    /// The calls that presented a refresh token or a code, as they began.
    pub presented: HashMap<&'a str, Vec<&'a Call<'a>>>,
    /// From when on a token or family may be dead: somebody began to kill it.
    threatened: HashMap<&'a str, Duration>,
    /// What must be dead.
    deaths: HashMap<&'a str, Vec<Death>>,
}

impl<'a> Facts<'a> {
    pub fn gather(calls: &'a [Call<'a>], promises: &'a Promises) -> Self {
        let mut facts = Self {
            calls,
            promises,
            family: HashMap::new(),
            expires_at: HashMap::new(),
            presented: HashMap::new(),
            threatened: HashMap::new(),
            deaths: HashMap::new(),
        };
        // A token is known from the answer that brought it, so answers are read in their order.
        let mut ended: Vec<&Call<'_>> = calls.iter().collect();
        ended.sort_by_key(|call| call.ended);
        ended.into_iter().for_each(|call| facts.learn(call));
        for call in calls {
            if let Op::Redeem { code: token } | Op::Refresh { token } = call.op {
                facts.presented.entry(token).or_default().push(call);
            }
        }
        calls.iter().for_each(|call| facts.judge(call));
        facts
    }

    fn learn(&mut self, call: &'a Call<'a>) {
        let End::Ok(Answer::Tokens { access, refresh, expires_at, .. }) = call.end else { return };
        self.expires_at.insert(access, *expires_at);
        let family = match call.op {
            Op::Redeem { code } => code.as_str(),
            Op::Refresh { token } => self.family.get(token.as_str()).copied().unwrap_or(token),
            _ => return,
        };
        self.family.insert(family, family);
        self.family.insert(access, family);
        if let Some(refresh) = refresh {
            self.family.insert(refresh, family);
        }
    }

    fn judge(&mut self, call: &'a Call<'a>) {
        let (token, reuse) = match call.op {
            Op::Revoke { token } => (token.as_str(), false),
            Op::Redeem { code } if self.presented[code.as_str()].len() > 1 => (code.as_str(), true),
            Op::Refresh { token } if self.is_reuse(token, call) => (token.as_str(), true),
            _ => return,
        };
        let what = self.killed_by(token);
        let since = self.threatened.entry(what).or_insert(call.begun);
        *since = call.begun.min(*since);
        let told = match call.end {
            End::Ok(_) => !reuse,
            // A spent code or token is refused because its family is, or now was, killed.
            End::Fail("invalid_grant") => reuse && self.was_spent(token),
            _ => false,
        };
        if told {
            let death = Death { at: call.ended, node: call.node, reuse };
            self.deaths.entry(what).or_default().push(death);
        }
    }

    /// What dies with a token: an access token alone, a refresh token with its family.
    fn killed_by(&self, token: &'a str) -> &'a str {
        if self.expires_at.contains_key(token) { token } else { self.family(token).unwrap_or(token) }
    }

    pub fn family(&self, token: &str) -> Option<&'a str> {
        self.family.get(token).copied()
    }

    fn was_spent(&self, token: &str) -> bool {
        self.presented.get(token).is_some_and(|calls| calls.iter().any(|call| call.is_ok()))
    }

    /// Whether presenting a refresh token in this call may count as reuse: it was presented before,
    /// and the retry window has passed or its successor was used. A call with an unknown outcome may
    /// be done at any time after it began, so for it "before" is whenever else.
    pub fn is_reuse(&self, token: &str, call: &Call<'_>) -> bool {
        let calls = &self.presented[token];
        let (is_open, ended) = match call.end {
            End::Info(_) => (true, Duration::MAX),
            _ => (false, call.ended),
        };
        let counts = |other: &&&Call<'_>| {
            let is_other = is_open && other.begun != call.begun;
            (is_other || other.begun < call.begun) && !matches!(other.end, End::Fail(_))
        };
        let Some(first) = calls.iter().find(counts) else { return false };
        let late = ended > first.begun.saturating_add(self.promises.retry_window);
        let mut successors = calls.iter().filter_map(|call| successor(call));
        late || successors.any(|next| {
            self.presented.get(next).is_some_and(|used| used.iter().any(|later| later.begun < ended))
        })
    }

    /// Since when the token may be dead, whoever looks.
    pub fn may_be_dead(&self, token: &str) -> Option<Duration> {
        let own = self.threatened.get(token);
        let family = self.family(token).and_then(|family| self.threatened.get(family));
        own.into_iter().chain(family).min().copied()
    }

    pub fn expires_at(&self, token: &str) -> Duration {
        self.expires_at.get(token).copied().unwrap_or(Duration::MAX)
    }

    /// The death that this call should have known of.
    pub fn dead_for(&self, token: &str, call: &Call<'_>) -> Option<&Death> {
        let own = self.deaths.get(token).into_iter().flatten();
        let family = self.family(token).and_then(|family| self.deaths.get(family)).into_iter().flatten();
        own.chain(family).find(|death| call.begun >= self.in_force(death.at, death.node, call.node))
    }

    /// When what one node acknowledged must be known on another.
    pub fn in_force(&self, acknowledged: Duration, by: usize, on: usize) -> Duration {
        if by == on { acknowledged } else { acknowledged.saturating_add(self.promises.staleness) }
    }
}

/// The refresh token that a call brought.
pub fn successor<'a>(call: &Call<'a>) -> Option<&'a str> {
    match call.end {
        End::Ok(Answer::Tokens { refresh, .. }) => refresh.as_deref(),
        _ => None,
    }
}

/// Enough of a token to find it again.
pub fn short(token: &str) -> &str {
    token.get(..20).unwrap_or(token)
}
