//! What a load saw: every call as it began and as it ended, with the time of each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// A call to a server, as far as the invariants are concerned.
#[derive(Clone, Debug)]
pub enum Op {
    /// A token by client_credentials.
    Issue,
    /// A code for its tokens. The code also names the family.
    Redeem { code: String },
    /// A refresh token for its successor.
    Refresh { token: String },
    /// Revokes an access token, or with a refresh token its family.
    Revoke { token: String },
    /// Introspection or userinfo: is it active?
    Probe { token: String },
    /// The key set.
    KeySet,
    /// A resource server looks at a signature, with a key set that it may still cache.
    Verify { token: String },
    /// Something else that is acknowledged when it is durable: a user, a client.
    Write { name: String },
    /// Whether that is there.
    Read { name: String },
}

/// A signed token.
#[derive(Clone, Debug)]
pub struct Signed {
    pub kid: String,
    pub expires_at: Duration,
}

/// A good answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of `Issue`, `Redeem` and `Refresh`.
    Tokens { access: String, refresh: Option<String>, signed: Vec<Signed>, expires_at: Duration },
    /// Of `Revoke` and `Write`.
    Done,
    /// Of `Probe`, `Verify` and `Read`: active, genuine, there.
    Is(bool),
    /// Of `KeySet`.
    Keys { kids: Vec<String>, max_age: Duration },
}

/// One line of a history.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which call.
    pub call: usize,
    /// Since the history began.
    pub at: Duration,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Invoke {
        node: usize,
        op: Op,
    },
    Ok(Answer),
    /// Refused: it was not done, and never will be.
    Fail(String),
    /// Nobody can tell whether it was done: a time-out, a reset, a 5xx.
    Info(String),
}

/// A history that is being written by many callers.
#[derive(Clone)]
pub struct Recorder {
    begun: Instant,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    /// How many good answers each node gave.
    answered: BTreeMap<usize, usize>,
}

impl Recorder {
    pub fn new() -> Self {
        Self { begun: Instant::now(), log: Arc::default() }
    }

    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn invoke(&self, node: usize, op: Op) -> usize {
        let mut log = self.log();
        // A call is named by the place of its first line.
        let call = log.events.len();
        log.events.push(Event { call, at: self.begun.elapsed(), what: What::Invoke { node, op } });
        call
    }

    pub fn end(&self, call: usize, what: What) {
        let mut log = self.log();
        if let (What::Ok(_), What::Invoke { node, .. }) = (&what, &log.events[call].what) {
            let node = *node;
            *log.answered.entry(node).or_default() += 1;
        }
        log.events.push(Event { call, at: self.begun.elapsed(), what });
    }

    /// How many good answers one node gave, or all of them.
    pub fn answered(&self, node: Option<usize>) -> usize {
        let log = self.log();
        let counts = log.answered.iter().filter(|(by, _)| node.is_none_or(|node| node == **by));
        counts.map(|(_, count)| count).sum()
    }

    pub fn events(&self) -> Vec<Event> {
        self.log().events.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no caller panicked")
    }
}

/// A call from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub node: usize,
    pub op: &'a Op,
    pub begun: Duration,
    /// `Duration::MAX` if it never ended.
    pub ended: Duration,
    pub end: End<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    Ok(&'a Answer),
    Fail(&'a str),
    Info(&'a str),
}

impl Call<'_> {
    /// What `Probe`, `Verify` or `Read` were told.
    pub fn told(&self) -> Option<bool> {
        match self.end {
            End::Ok(Answer::Is(is)) => Some(*is),
            _ => None,
        }
    }

    pub fn is_ok(&self) -> bool {
        matches!(self.end, End::Ok(_))
    }
}

/// The calls of a history, in the order in which they began.
pub fn calls(events: &[Event]) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    let mut places = HashMap::new();
    for event in events {
        let end = match &event.what {
            What::Invoke { node, op } => {
                places.insert(event.call, calls.len());
                let (begun, ended) = (event.at, Duration::MAX);
                calls.push(Call { node: *node, op, begun, ended, end: End::Info("never answered") });
                continue;
            }
            What::Ok(answer) => End::Ok(answer),
            What::Fail(reason) => End::Fail(reason),
            What::Info(reason) => End::Info(reason),
        };
        let call = &mut calls[*places.get(&event.call).expect("what ends has begun")];
        (call.ended, call.end) = (event.at, end);
    }
    calls
}
