//! The event loop: one thread, its clients, non-blocking sockets on epoll.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Barrier,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, event::Event, unix::SourceFd};
use rustix::time::{ClockId, clock_gettime};

use super::{
    client::{Client, State},
    pace::{Arrivals, Pace, Share},
    progress::Live,
    script::Step,
    tally::{Fault, Tally},
};
use crate::{failure::Failure, wire::response::Answer, workload::Workload};

/// What all threads of a round have in common.
pub struct Job<'a> {
    /// Where to.
    pub address: SocketAddr,
    /// What.
    pub workload: &'a Workload,
    /// When.
    pub pace: Pace,
    /// How long.
    pub duration: Duration,
    /// How long a client waits.
    pub timeout: Duration,
    /// Lets all threads begin at once.
    pub start: Barrier,
    /// What is told while it goes on.
    pub live: Live,
}

/// How often clients are looked through for those that wait in vain.
const SWEEP: Duration = Duration::from_millis(50);
/// After a lost connection, so that a server that is gone is not asked in a tight loop.
const REST: Duration = Duration::from_millis(10);
const TIMER: Token = Token(usize::MAX);

struct Engine<'a> {
    job: &'a Job<'a>,
    share: Share,
    poll: Poll,
    clients: Vec<Client>,
    tally: Tally,
    begin: Instant,
    now: Instant,
    in_flight: usize,
    /// Clients that are to ask; with stages fewer than there are.
    active: usize,
    /// Clients that lost their connection.
    resting: VecDeque<(Instant, usize)>,
    /// With a fixed rate: clients that are free, and what is to come.
    free: VecDeque<usize>,
    arrivals: Arrivals,
}

/// Runs one thread's clients through a round. They are given back with their connections, so that the
/// server is looked at before it has to close them.
pub fn run(job: &Job<'_>, share: Share, clients: Vec<Client>) -> Result<(Tally, Vec<Client>), Failure> {
    let engine = Engine::new(job, share, clients);
    // The others wait at the barrier, whatever happened here.
    job.start.wait();
    let mut engine = engine.map_err(|error| Failure::io("set up the event loop", error))?;
    engine.now = Instant::now();
    engine.begin = engine.now;
    engine.arrivals.begin(engine.now);
    let before = thread_time();
    engine.go_on().map_err(|error| Failure::io("wait for events", error))?;
    let wall = engine.begin.elapsed().as_secs_f64();
    engine.tally.busiest = (thread_time() - before) / wall.max(1e-9);
    Ok((engine.tally, engine.clients))
}

fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl<'a> Engine<'a> {
    fn new(job: &'a Job<'a>, share: Share, mut clients: Vec<Client>) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        for (at, client) in clients.iter_mut().enumerate() {
            client.register(poll.registry(), Token(at))?;
        }
        let arrivals = Arrivals::new(&job.pace, share, job.duration)?;
        poll.registry().register(&mut SourceFd(&arrivals.timer()), TIMER, Interest::READABLE)?;
        let now = Instant::now();
        Ok(Self {
            job,
            share,
            poll,
            arrivals,
            free: (0..clients.len()).collect(),
            clients,
            tally: Tally::new(job.workload.ops.len(), job.duration),
            begin: now,
            now,
            in_flight: 0,
            active: 0,
            resting: VecDeque::new(),
        })
    }

    fn go_on(&mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut swept = self.now;
        loop {
            self.launch()?;
            self.job.live.store(self.share.thread, &self.tally);
            if self.is_over() && self.in_flight == 0 {
                break;
            }
            match self.poll.poll(&mut events, Some(REST)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => other?,
            }
            self.now = Instant::now();
            for event in events.iter().filter(|event| event.token() != TIMER) {
                self.ready(event.token().0, event);
            }
            if self.now - swept >= SWEEP {
                swept = self.now;
                self.sweep();
            }
        }
        self.tally.unsent(self.arrivals.missed());
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        self.now - self.begin
    }

    fn is_over(&self) -> bool {
        self.elapsed() >= self.job.duration
    }

    /// Lets clients begin whose turn it is.
    fn launch(&mut self) -> std::io::Result<()> {
        if self.is_over() {
            return Ok(());
        }
        while self.resting.front().is_some_and(|(until, _)| *until <= self.now) {
            let (_, client) = self.resting.pop_front().unwrap_or((self.now, 0));
            self.idle(client);
        }
        match &self.job.pace {
            Pace::Closed { stages } => {
                let clients = stages.as_ref().map(|stages| self.share.of(stages.clients(self.elapsed())));
                let active = clients.unwrap_or(usize::MAX).min(self.clients.len());
                let newly = self.active..active;
                self.active = active;
                for client in newly {
                    let rests = self.resting.iter().any(|(_, resting)| *resting == client);
                    if self.clients[client].state == State::Idle && !rests {
                        self.begin(client, self.now);
                    }
                }
                Ok(())
            }
            Pace::Open { .. } => {
                while let Some(client) = self.free.pop_front() {
                    let Some(due) = self.arrivals.due(self.now) else {
                        self.free.push_front(client);
                        break;
                    };
                    self.begin(client, due);
                }
                self.arrivals.set_timer(self.now)
            }
        }
    }

    /// A client begins a flow.
    fn begin(&mut self, at: usize, intended: Instant) {
        self.in_flight += 1;
        self.clients[at].begun = intended;
        self.send(at, intended);
    }

    fn send(&mut self, at: usize, intended: Instant) {
        let client = &mut self.clients[at];
        client.prepare(self.job.workload, intended, self.now);
        let connected = client.connect(self.job.address, self.poll.registry(), Token(at));
        if let Err(fault) = connected.and_then(|()| client.push()) {
            self.lost(at, fault);
        }
    }

    fn ready(&mut self, at: usize, event: &Event) {
        let client = &mut self.clients[at];
        if client.state == State::Idle {
            // Nothing is to come but the end.
            if !matches!(client.pull(false), Ok(None)) {
                client.disconnect();
            }
            return;
        }
        let mut pulled = Ok(None);
        if event.is_writable() || event.is_error() {
            pulled = client.writable().map(|()| None);
        }
        if pulled.is_ok() && (event.is_readable() || event.is_read_closed() || event.is_error()) {
            pulled = client.pull(event.is_read_closed());
        }
        match pulled {
            Ok(None) => {}
            Ok(Some(answer)) => self.answered(at, answer),
            Err(fault) => self.lost(at, fault),
        }
    }

    fn answered(&mut self, at: usize, answer: Answer) {
        self.now = Instant::now();
        let elapsed = self.elapsed();
        let client = &mut self.clients[at];
        let (op, latency) = (client.op(), self.now - client.intended);
        let step = client.script.answered(self.job.workload.ops[op].begins, answer.status, &client.reader);
        if answer.close {
            client.disconnect();
        }
        match step {
            Ok(Step::More) => {
                self.tally.right(op, latency, elapsed);
                self.send(at, self.now);
                return;
            }
            Ok(Step::Done) => {
                self.tally.right(op, latency, elapsed);
                if self.job.workload.is_flow {
                    self.tally.flow(self.now - client.begun, elapsed);
                }
            }
            Err(_) => {
                let success = matches!(answer.status, 200..=299);
                let fault = if success { Fault::WrongAnswer } else { Fault::Status(answer.status) };
                self.tally.fault(op, fault, latency, elapsed);
                client.script.reset();
            }
        }
        self.in_flight -= 1;
        self.idle(at);
    }

    /// No answer will come.
    fn lost(&mut self, at: usize, fault: Fault) {
        let elapsed = self.elapsed();
        let client = &mut self.clients[at];
        let latency = self.now - client.intended;
        self.tally.fault(client.op(), fault, latency, elapsed);
        client.disconnect();
        client.script.reset();
        client.state = State::Idle;
        self.in_flight -= 1;
        self.resting.push_back((self.now + REST, at));
    }

    /// A client has nothing to do: it takes the next request, or waits for one.
    fn idle(&mut self, at: usize) {
        self.clients[at].state = State::Idle;
        if self.is_over() {
            return;
        }
        match self.job.pace {
            Pace::Closed { .. } if at < self.active => self.begin(at, self.now),
            Pace::Closed { .. } => self.clients[at].disconnect(),
            Pace::Open { .. } => match self.arrivals.due(self.now) {
                Some(due) => self.begin(at, due),
                None => self.free.push_back(at),
            },
        }
    }

    fn sweep(&mut self) {
        for at in 0..self.clients.len() {
            let client = &self.clients[at];
            if client.state == State::Busy && self.now - client.asked > self.job.timeout {
                self.lost(at, Fault::Timeout);
            }
        }
    }
}
