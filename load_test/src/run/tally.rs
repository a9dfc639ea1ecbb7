//! What is written down of a round: latencies, errors, and how it went over time.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Another status than that of success.
    Status(u16),
    /// The status of success, but not the answer.
    WrongAnswer,
    /// No connection.
    Connect,
    /// The connection ended before the answer did.
    Cut,
    /// No answer in time.
    Timeout,
    /// Not HTTP.
    Malformed,
    /// With a fixed rate: its moment came, and until the end of the round no connection was free.
    Unsent,
}

impl Fault {
    /// Its name in reports.
    pub fn name(self) -> String {
        match self {
            Self::Status(status) => format!("status {status}"),
            Self::WrongAnswer => "wrong answer".into(),
            Self::Connect => "connect".into(),
            Self::Cut => "cut".into(),
            Self::Timeout => "timeout".into(),
            Self::Malformed => "malformed".into(),
            Self::Unsent => "unsent".into(),
        }
    }
}

/// One second of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Right answers.
    pub requests: u64,
    /// Faults.
    pub errors: u64,
    /// The longest latency of a right answer, in nanoseconds.
    pub longest: u64,
}

/// The notes of one thread, or of all.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Latencies in nanoseconds, of each kind of request: of right answers, and of waiting in vain.
    pub ops: Vec<Histogram<u64>>,
    /// Latencies of whole flows.
    pub flows: Histogram<u64>,
    /// How long what was never sent had waited at the end.
    pub unsent: Histogram<u64>,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// The round, second by second.
    pub seconds: Vec<Second>,
    /// Answers of any kind, those after the end included.
    pub answers: u64,
    /// Right answers of each kind within the round.
    pub in_time: Vec<u64>,
    /// Complete flows within the round.
    pub flows_in_time: u64,
    /// Processor time of the generator's busiest thread, as a share of the round.
    pub busiest: f64,
    length: Duration,
}

/// From 64 ns to 10 minutes in three figures.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(64, 600_000_000_000, 3).expect("these bounds are in order")
}

impl Tally {
    /// Nothing yet, for so many kinds of requests.
    pub fn new(ops: usize, length: Duration) -> Self {
        let seconds = length.as_secs_f64().ceil() as usize;
        Self {
            ops: (0..ops).map(|_| histogram()).collect(),
            flows: histogram(),
            unsent: histogram(),
            faults: BTreeMap::new(),
            seconds: vec![Second::default(); seconds],
            answers: 0,
            in_time: vec![0; ops],
            flows_in_time: 0,
            busiest: 0.0,
            length,
        }
    }

    /// A right answer, `at` after the round began.
    pub fn right(&mut self, op: usize, latency: Duration, at: Duration) {
        let nanos = latency.as_nanos() as u64;
        self.ops[op].saturating_record(nanos);
        self.answers += 1;
        if at < self.length {
            self.in_time[op] += 1;
            let second = &mut self.seconds[at.as_secs() as usize];
            second.requests += 1;
            second.longest = second.longest.max(nanos);
        }
    }

    /// The last answer of a flow.
    pub fn flow(&mut self, latency: Duration, at: Duration) {
        self.flows.saturating_record(latency.as_nanos() as u64);
        self.flows_in_time += u64::from(at < self.length);
    }

    /// A fault. Waiting in vain is a latency too: leaving it out would make stalls look fast.
    pub fn fault(&mut self, op: usize, fault: Fault, latency: Duration, at: Duration) {
        *self.faults.entry(fault).or_default() += 1;
        match fault {
            Fault::Status(_) | Fault::WrongAnswer => self.answers += 1,
            Fault::Timeout => self.ops[op].saturating_record(latency.as_nanos() as u64),
            _ => {}
        }
        if let Some(second) = self.seconds.get_mut(at.as_secs() as usize) {
            second.errors += 1;
        }
    }

    /// Requests whose moment came and that were never sent.
    pub fn unsent(&mut self, waited: impl Iterator<Item = Duration>) {
        for waited in waited {
            self.unsent.saturating_record(waited.as_nanos() as u64);
            *self.faults.entry(Fault::Unsent).or_default() += 1;
            if let Some(second) = self.seconds.last_mut() {
                second.errors += 1;
            }
        }
    }

    /// Adds what another thread, or another round, has written down.
    pub fn add(&mut self, other: &Self) {
        let same = "all histograms have the same bounds";
        self.ops.iter_mut().zip(&other.ops).for_each(|(mine, theirs)| mine.add(theirs).expect(same));
        self.flows.add(&other.flows).expect(same);
        self.unsent.add(&other.unsent).expect(same);
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (mine, theirs) in self.seconds.iter_mut().zip(&other.seconds) {
            mine.requests += theirs.requests;
            mine.errors += theirs.errors;
            mine.longest = mine.longest.max(theirs.longest);
        }
        self.answers += other.answers;
        self.in_time.iter_mut().zip(&other.in_time).for_each(|(mine, theirs)| *mine += theirs);
        self.flows_in_time += other.flows_in_time;
        self.busiest = self.busiest.max(other.busiest);
    }

    /// The latencies of all requests.
    pub fn all(&self) -> Histogram<u64> {
        let mut all = self.unsent.clone();
        self.ops.iter().for_each(|op| all.add(op).expect("all histograms have the same bounds"));
        all
    }

    /// All faults.
    pub fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Faults in percent of all that was meant to be asked.
    pub fn error_percent(&self) -> f64 {
        let right: u64 = self.answers - self.wrong_answers();
        let all = right + self.errors();
        if all == 0 { 0.0 } else { self.errors() as f64 * 100.0 / all as f64 }
    }

    fn wrong_answers(&self) -> u64 {
        let wrong = |fault: &Fault| matches!(fault, Fault::Status(_) | Fault::WrongAnswer);
        self.faults.iter().filter(|(fault, _)| wrong(fault)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn answers_after_the_end_have_a_latency_but_no_share_in_the_rate() {
        let mut tally = Tally::new(2, MS(1_500));
        tally.right(0, MS(1), MS(10));
        tally.right(1, MS(2), MS(1_400));
        tally.right(1, MS(900), MS(1_600));
        assert_eq!((tally.in_time.clone(), tally.answers), (vec![1, 1], 3));
        assert_eq!(tally.seconds.iter().map(|second| second.requests).collect::<Vec<_>>(), [1, 1]);
        assert!(tally.all().max() >= 900_000_000);
    }

    #[test]
    fn faults_are_told_apart_and_waiting_in_vain_is_a_latency() {
        let mut tally = Tally::new(1, MS(1_000));
        tally.right(0, MS(1), MS(1));
        tally.fault(0, Fault::Status(503), MS(1), MS(2));
        tally.fault(0, Fault::Timeout, MS(700), MS(800));
        tally.unsent([MS(300)].into_iter());
        assert_eq!((tally.errors(), tally.answers), (3, 2));
        assert!((tally.error_percent() - 75.0).abs() < 1e-9);
        assert_eq!(tally.all().len(), 3, "the refusal was quick, and is none");
        let names: Vec<_> = tally.faults.keys().map(|fault| fault.name()).collect();
        assert_eq!(names, ["status 503", "timeout", "unsent"]);
    }

    #[test]
    fn threads_add_up() {
        let mut one = Tally::new(1, MS(1_000));
        one.right(0, MS(1), MS(1));
        let mut two = Tally::new(1, MS(1_000));
        two.right(0, MS(3), MS(1));
        two.fault(0, Fault::Cut, MS(1), MS(1));
        two.busiest = 0.5;
        one.add(&two);
        assert_eq!((one.in_time[0], one.errors(), one.all().len()), (2, 1, 2));
        assert_eq!(one.seconds, [Second { requests: 2, errors: 1, longest: 3_000_000 }]);
        assert!((one.busiest - 0.5).abs() < 1e-9);
    }
}
