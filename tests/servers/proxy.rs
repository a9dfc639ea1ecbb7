//! A TCP proxy that can be told to misbehave. It has threads of its own, so that it works whatever
//! the test's runtime does.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A proxy before one port of this machine.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    target: u16,
    stalled: bool,
    refusing: bool,
    delay: Duration,
    stopped: bool,
    accepted: usize,
    /// Both ends of each connection: the client's and the server's.
    open: Vec<(TcpStream, TcpStream)>,
}

impl Proxy {
    /// Listens on a free port.
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound listener").port();
        let shared = Arc::new(Shared::default());
        shared.state().target = target;
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.state().stopped {
                    return;
                }
                accepting.accept(client);
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A URL of the server, made one of the proxy.
    pub fn url(&self, url: &str) -> String {
        let (start, end) =
            url.split_once("@127.0.0.1:").or_else(|| url.split_once("//127.0.0.1:")).expect("TCP");
        let sign = if url.contains('@') { "@" } else { "//" };
        let rest = end.find('/').map_or("", |at| &end[at..]);
        format!("{start}{sign}127.0.0.1:{}{rest}", self.port)
    }

    /// New connections go to another port, as when an address moves to another machine.
    pub fn aim(&self, target: u16) {
        self.shared.change(|state| state.target = target);
    }

    /// Connections stay open and new ones are taken, but nothing passes until [`Proxy::resume`].
    pub fn stall(&self) {
        self.shared.change(|state| state.stalled = true);
    }

    /// Everything passes again, and what was held up with it.
    pub fn resume(&self) {
        self.shared.change(|state| {
            state.stalled = false;
            state.refusing = false;
            state.delay = Duration::ZERO;
        });
    }

    /// Closes every connection, both ways.
    pub fn cut(&self) {
        self.shared.change(|state| {
            for (client, server) in state.open.drain(..) {
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            }
        });
    }

    /// Closes what is open and every new connection at once, as when a network is partitioned.
    pub fn refuse(&self) {
        self.shared.change(|state| state.refusing = true);
        self.cut();
    }

    /// Closes the way to the client only: it reads the end, but may still write.
    pub fn half_close(&self) {
        self.shared.change(|state| {
            for (client, _) in &state.open {
                let _ = client.shutdown(Shutdown::Write);
            }
        });
    }

    /// Holds back each piece of data for so long.
    pub fn delay(&self, by: Duration) {
        self.shared.change(|state| state.delay = by);
    }

    /// How many connections were ever taken.
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.stopped = true;
            state.stalled = false;
        });
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, client: TcpStream) {
        let target = {
            let mut state = self.state();
            state.accepted += 1;
            if state.refusing {
                return;
            }
            state.target
        };
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(a), Ok(b), Ok(c), Ok(d)) =
            (client.try_clone(), client.try_clone(), server.try_clone(), server.try_clone())
        else {
            return;
        };
        self.state().open.push((client, server));
        for (from, to) in [(a, c), (d, b)] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.carry(from, to));
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = [0; 16 * 1024];
        loop {
            let read = from.read(&mut piece).unwrap_or(0);
            let delay = self.state().delay;
            if !delay.is_zero() {
                std::thread::sleep(delay);
            }
            let state = self.state();
            drop(
                self.changed.wait_while(state, |state| state.stalled).unwrap_or_else(PoisonError::into_inner),
            );
            if read == 0 || to.write_all(&piece[..read]).is_err() {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
        }
    }
}
