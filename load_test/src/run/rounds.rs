//! Rounds against the server, and in turn with them rounds against the bare one.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};

use super::{
    client::Client,
    engine::{Job, run},
    pace::{Pace, Share},
    progress::{Live, watch},
    script::Script,
    tally::Tally,
};
use crate::{
    failure::Failure,
    process::{Sample, Used},
    workload::Workload,
};

/// How a round is run.
#[derive(Clone, Debug)]
pub struct Shape {
    /// When requests are sent.
    pub pace: Pace,
    /// How long.
    pub duration: Duration,
    /// Before the first round.
    pub warm_up: Duration,
    /// How long a client waits.
    pub timeout: Duration,
    /// Threads of the generator.
    pub threads: usize,
}

/// One of the servers, and its virtual clients.
pub struct Side {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub address: SocketAddr,
    /// Its process.
    pub pid: Option<u32>,
    /// Its clients, between rounds.
    pub scripts: Vec<Script>,
}

/// What a round brought.
pub struct Round {
    /// What was written down.
    pub tally: Tally,
    /// What the server used.
    pub server: Option<Used>,
    /// Seconds of processor time that the generator used.
    pub own_cpu: f64,
}

impl Side {
    /// One round.
    pub fn round(&mut self, workload: &Workload, shape: &Shape, label: &str) -> Result<Round, Failure> {
        let threads = shape.threads;
        let mut clients = self.clients(shape)?;
        let job = Job {
            address: self.address,
            workload,
            pace: shape.pace.clone(),
            duration: shape.duration,
            timeout: shape.timeout,
            start: Barrier::new(threads + 1),
            live: Live::new(threads),
        };
        let sample = || self.pid.map(Sample::of).transpose();
        let (before, own_before) = (sample()?, own_time());
        let (job_of_all, label) = (&job, format!("{label}, {}", self.name));
        let ends = thread::scope(|scope| {
            let spawned = (0..threads).map(|thread| {
                let share = Share { thread, threads };
                let mine = std::mem::take(&mut clients[thread]);
                scope.spawn(move || run(job_of_all, share, mine))
            });
            let spawned: Vec<_> = spawned.collect();
            job.start.wait();
            watch(&job.live, &label, shape.duration);
            spawned.into_iter().map(|thread| thread.join().expect("no thread panics")).collect::<Vec<_>>()
        });
        let own_cpu = own_time() - own_before;
        let server = sample()?.zip(before).map(|(after, before)| after.since(&before));
        let mut tally = Tally::new(workload.ops.len(), shape.duration);
        for end in ends {
            let (part, clients) = end?;
            tally.add(&part);
            self.scripts.extend(clients.into_iter().map(|client| client.script));
        }
        Ok(Round { tally, server, own_cpu })
    }

    /// The load before the first round.
    pub fn warm_up(&mut self, workload: &Workload, shape: &Shape) -> Result<(), Failure> {
        if shape.warm_up.is_zero() {
            return Ok(());
        }
        let shape = Shape { duration: shape.warm_up, pace: flat(&shape.pace), ..shape.clone() };
        self.round(workload, &shape, "warm-up").map(drop)
    }

    /// Connects the clients and deals them to the threads. Those of a ramp connect when they begin.
    fn clients(&mut self, shape: &Shape) -> Result<Vec<Vec<Client>>, Failure> {
        allow_descriptors(self.scripts.len())?;
        let connected = !matches!(shape.pace, Pace::Closed { stages: Some(_) });
        let now = Instant::now();
        let mut dealt: Vec<Vec<Client>> = (0..shape.threads).map(|_| Vec::new()).collect();
        for (at, script) in self.scripts.drain(..).enumerate() {
            let stream = if connected { Some(connect(self.address)?) } else { None };
            dealt[at % shape.threads].push(Client::new(script, stream, now));
        }
        Ok(dealt)
    }
}

/// A ramp is not gone through twice.
fn flat(pace: &Pace) -> Pace {
    match pace {
        Pace::Closed { .. } => Pace::Closed { stages: None },
        Pace::Open { rate } => Pace::Open { rate: *rate },
    }
}

fn connect(address: SocketAddr) -> Result<mio::net::TcpStream, Failure> {
    let stream = TcpStream::connect(address).and_then(|stream| {
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map(|()| stream)
    });
    stream
        .map(mio::net::TcpStream::from_std)
        .map_err(|error| Failure::io(&format!("connect to {address}"), error))
}

/// The processor time of this process.
fn own_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Makes sure that so many connections may be open.
pub fn allow_descriptors(connections: usize) -> Result<(), Failure> {
    let needed = connections as u64 + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(Failure::Run(format!(
            "{connections} connections need {needed} descriptors, and this process may have {}; raise it with \
             ulimit -n",
            limit.maximum.unwrap_or(0)
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), ..limit })
        .map_err(|error| Failure::Run(format!("cannot raise the limit of descriptors: {error}")))
}
