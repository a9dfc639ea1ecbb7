//! A mixed load: machines and people's applications, spread over the nodes.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::faults::{
    driver::{Driver, Tokens},
    history::{What, calls},
};

/// How long a rotation with an unknown outcome is tried again: within the retry window.
const PATIENCE: Duration = Duration::from_secs(6);
/// A caller that got no answer comes back after this.
const PAUSE: Duration = Duration::from_millis(25);

/// What the callers remember, to be looked at again and again.
#[derive(Default)]
struct Remembered {
    revoked: Vec<String>,
    /// Of families that nobody killed: the newest tokens.
    standing: Vec<Tokens>,
    machine: Vec<String>,
}

pub struct Load {
    driver: Driver,
    stopped: Arc<AtomicBool>,
    remembered: Arc<Mutex<Remembered>>,
    callers: Vec<JoinHandle<()>>,
    begun: Instant,
}

/// A small generator: what matters is that the choices differ, and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

impl Load {
    pub fn start(driver: &Driver, callers: usize) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let remembered = Arc::new(Mutex::new(Remembered::default()));
        let callers = (0..callers).map(|number| {
            let caller = Caller {
                driver: driver.clone(),
                remembered: Arc::clone(&remembered),
                dice: Dice(number as u64 + 1),
            };
            tokio::spawn(caller.work(Arc::clone(&stopped)))
        });
        let callers = callers.collect();
        Self { driver: driver.clone(), stopped, remembered, callers, begun: Instant::now() }
    }

    /// Waits until so many more calls were answered well, by one node or by any.
    #[track_caller]
    pub fn until_answered(
        &self,
        more: usize,
        node: Option<usize>,
        within: Duration,
    ) -> impl Future<Output = Duration> {
        let caller = std::panic::Location::caller();
        let recorder = self.driver.recorder.clone();
        let (before, begun) = (recorder.answered(node), Instant::now());
        let within = crate::within(within);
        async move {
            loop {
                let good = recorder.answered(node) - before;
                if good >= more {
                    return begun.elapsed();
                }
                assert!(begun.elapsed() < within, "{caller}: {good} of {more} answers within {within:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Ends the load and looks at everything once more, on every node.
    pub async fn stop(self) -> Summary {
        self.stopped.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a caller does not panic");
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let summary = Summary { answered: self.driver.recorder.answered(None), seconds };
        let Remembered { revoked, standing, machine } =
            std::mem::take(&mut *self.remembered.lock().expect("no caller panicked"));
        for node in 0..self.driver.nodes.len() {
            for token in revoked.iter().chain(&machine) {
                self.driver.probe(node, token).await;
            }
            for tokens in &standing {
                self.driver.probe(node, &tokens.access).await;
                if let Some(refresh) = &tokens.refresh {
                    self.driver.probe(node, refresh).await;
                }
            }
        }
        // A family that is called alive must also work.
        for (at, tokens) in standing.iter().enumerate().rev().take(50) {
            if let Some(refresh) = &tokens.refresh {
                self.driver.refresh(at % self.driver.nodes.len(), refresh).await;
            }
        }
        summary
    }

    /// Ends the load at once, and looks at nothing.
    pub fn abandon(self) {
        self.callers.iter().for_each(JoinHandle::abort);
    }

    /// Why calls that have ended got no good answer, and how many: of one node or of all, in a span of time.
    pub fn failures(driver: &Driver, node: Option<usize>, span: Range<Duration>) -> BTreeMap<String, usize> {
        let events = driver.recorder.events();
        let mut found = BTreeMap::new();
        for call in calls(&events) {
            if let crate::faults::history::End::Info(reason) = call.end
                && call.ended != Duration::MAX
                && span.contains(&call.begun)
                && node.is_none_or(|node| node == call.node)
            {
                *found.entry(reason.to_owned()).or_default() += 1;
            }
        }
        found
    }
}

/// How much load there was.
pub struct Summary {
    pub answered: usize,
    pub seconds: f64,
}

impl Summary {
    /// A test without a load proves nothing.
    #[track_caller]
    pub fn was_a_load(&self, at_least: usize) {
        assert!(self.answered >= at_least, "only {} answers in {:.1} s", self.answered, self.seconds);
    }
}

struct Caller {
    driver: Driver,
    remembered: Arc<Mutex<Remembered>>,
    dice: Dice,
}

impl Caller {
    async fn work(mut self, stopped: Arc<AtomicBool>) {
        while !stopped.load(Ordering::Relaxed) {
            let done = match self.dice.roll(4) {
                0 => self.machine().await,
                1 => self.look_back().await,
                _ => self.person(&stopped).await,
            };
            if done.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn node(&mut self) -> usize {
        self.dice.roll(self.driver.nodes.len())
    }

    fn remember(&self, what: impl FnOnce(&mut Remembered)) {
        what(&mut self.remembered.lock().expect("no caller panicked"));
    }

    /// A machine's token, asked about on another node, and sometimes revoked.
    async fn machine(&mut self) -> Option<()> {
        let (at, elsewhere) = (self.node(), self.node());
        let token = self.driver.issue(at).await?;
        self.driver.probe(elsewhere, &token).await?;
        if self.dice.roll(3) > 0 {
            self.remember(|held| held.machine.push(token));
            return Some(());
        }
        if self.driver.revoke(at, &token).await {
            self.driver.probe(at, &token).await;
        }
        self.remember(|held| held.revoked.push(token));
        Some(())
    }

    /// What was revoked stays dead, and what stands stays alive.
    async fn look_back(&mut self) -> Option<()> {
        let node = self.node();
        let choice = self.dice.roll(1 << 20);
        let (token, of_person) = {
            let held = self.remembered.lock().expect("no caller panicked");
            let some = |tokens: &[String]| tokens.get(choice % tokens.len().max(1)).cloned();
            match choice % 3 {
                0 => (some(&held.machine)?, false),
                1 => (some(&held.revoked)?, false),
                _ => (held.standing.get(choice % held.standing.len().max(1))?.access.clone(), true),
            }
        };
        let told = if of_person && choice.is_multiple_of(2) {
            self.driver.userinfo(node, &token).await
        } else {
            self.driver.probe(node, &token).await
        };
        told.map(drop)
    }

    /// The life of a family: a code, rotations here and there, and one of several ends.
    async fn person(&mut self, stopped: &AtomicBool) -> Option<()> {
        let (at, other) = (self.node(), self.node());
        let code = self.driver.code(at).await?;
        let tokens = if self.dice.roll(10) == 0 {
            let (one, two) = tokio::join!(self.driver.redeem(at, &code), self.driver.redeem(other, &code));
            // The loser has killed the family.
            let tokens = one.1.or(two.1)?;
            self.driver.probe(at, &tokens.access).await?;
            self.remember(|held| held.revoked.push(tokens.access));
            return Some(());
        } else {
            self.driver.redeem(other, &code).await.1?
        };
        if let Some(id_token) = &tokens.id_token {
            self.driver.verify(at, id_token, &tokens.access).await;
        }
        let mut chain = vec![tokens];
        for _ in 0..1 + self.dice.roll(3) {
            let next = self.rotate(chain.last()?.refresh.as_deref()?, stopped).await?;
            chain.push(next);
        }
        self.end(chain).await
    }

    /// Rotates; an unknown outcome is asked for again, as the retry window allows.
    async fn rotate(&mut self, token: &str, stopped: &AtomicBool) -> Option<Tokens> {
        let begun = Instant::now();
        if self.dice.roll(8) == 0 {
            let (at, other) = (self.node(), self.node());
            let (one, two) = tokio::join!(self.driver.refresh(at, token), self.driver.refresh(other, token));
            if let Some(tokens) = one.1.or(two.1) {
                return Some(tokens);
            }
        }
        loop {
            let node = self.node();
            match self.driver.refresh(node, token).await {
                (_, Some(tokens)) => return Some(tokens),
                (What::Info(_), _) if begun.elapsed() < PATIENCE && !stopped.load(Ordering::Relaxed) => {
                    tokio::time::sleep(PAUSE).await;
                }
                _ => return None,
            }
        }
    }

    async fn end(&mut self, chain: Vec<Tokens>) -> Option<()> {
        let (at, last) = (self.node(), chain.last()?.clone());
        match self.dice.roll(6) {
            0 => {
                if self.driver.revoke(at, last.refresh.as_deref()?).await {
                    self.driver.probe(at, &last.access).await;
                }
                self.remember(|held| held.revoked.extend(chain.into_iter().map(|tokens| tokens.access)));
            }
            // Stolen: presented after its successor was used.
            1 if chain.len() > 2 => {
                self.driver.refresh(at, chain[0].refresh.as_deref()?).await;
                self.driver.probe(at, &last.access).await;
                self.remember(|held| held.revoked.extend(chain.into_iter().map(|tokens| tokens.access)));
            }
            _ => {
                self.driver.userinfo(at, &last.access).await?;
                self.remember(|held| held.standing.push(last));
            }
        }
        Some(())
    }
}
