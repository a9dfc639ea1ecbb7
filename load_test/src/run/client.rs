//! One virtual client: its connection, the request on its way out, and the answer on its way in.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use mio::{Interest, Registry, Token, net::TcpStream};

use super::{
    script::{Script, Send},
    tally::Fault,
};
use crate::{
    wire::response::{Answer, Reader},
    workload::Workload,
};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing, until it is told.
    Idle,
    /// It waits for an answer.
    Busy,
}

/// A virtual client.
pub struct Client {
    /// What it says.
    pub script: Script,
    /// The answer on its way in.
    pub reader: Reader,
    /// What it does.
    pub state: State,
    /// When the request was meant to be sent.
    pub intended: Instant,
    /// When it was.
    pub asked: Instant,
    /// When its flow was meant to begin.
    pub begun: Instant,
    stream: Option<TcpStream>,
    connected: bool,
    send: Send,
    /// What it may send of those that were prepared.
    requests: Arc<Vec<Vec<u8>>>,
    out: Vec<u8>,
    sent: usize,
}

impl Client {
    /// A client whose connection may be there already.
    pub fn new(script: Script, stream: Option<TcpStream>, now: Instant) -> Self {
        Self {
            script,
            reader: Reader::default(),
            state: State::Idle,
            intended: now,
            asked: now,
            begun: now,
            connected: stream.is_some(),
            stream,
            send: Send::Written(0),
            requests: Arc::default(),
            out: Vec::new(),
            sent: 0,
        }
    }

    /// Listens to the connection that it was given.
    pub fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()> {
        match &mut self.stream {
            Some(stream) => registry.register(stream, token, Interest::READABLE | Interest::WRITABLE),
            None => Ok(()),
        }
    }

    /// The kind of its request.
    pub fn op(&self) -> usize {
        match self.send {
            Send::Prepared(op, _) | Send::Written(op) => op,
        }
    }

    /// Puts the next request together.
    pub fn prepare(&mut self, workload: &Workload, intended: Instant, now: Instant) {
        self.out.clear();
        self.reader.clear();
        self.send = self.script.next(workload, &mut self.out);
        if let Send::Prepared(op, _) = self.send {
            self.requests = workload.ops[op].variants.now();
        }
        (self.sent, self.intended, self.asked, self.state) = (0, intended, now, State::Busy);
    }

    /// Connects if there is no connection.
    pub fn connect(&mut self, address: SocketAddr, registry: &Registry, token: Token) -> Result<(), Fault> {
        if self.stream.is_some() {
            return Ok(());
        }
        self.connected = false;
        let mut stream = TcpStream::connect(address).map_err(|_| Fault::Connect)?;
        let registered = registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE);
        registered.map_err(|_| Fault::Connect)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Ends the connection.
    pub fn disconnect(&mut self) {
        self.stream = None;
        self.reader.clear();
    }

    /// The connection may take more.
    pub fn writable(&mut self) -> Result<(), Fault> {
        let Some(stream) = &self.stream else { return Ok(()) };
        if !self.connected {
            match (stream.take_error(), stream.peer_addr()) {
                (Ok(None), Ok(_)) => self.connected = true,
                (Ok(None), Err(error)) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                _ => return Err(Fault::Connect),
            }
            stream.set_nodelay(true).map_err(|_| Fault::Connect)?;
        }
        self.push()
    }

    /// Sends what the connection takes.
    pub fn push(&mut self) -> Result<(), Fault> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.connected && self.state == State::Busy)
        else {
            return Ok(());
        };
        let bytes = match self.send {
            Send::Prepared(_, variant) => &self.requests[variant],
            Send::Written(_) => &self.out,
        };
        while self.sent < bytes.len() {
            match stream.write(&bytes[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Fault::Cut),
            }
        }
        Ok(())
    }

    /// Reads what has come; the answer, once it is whole. `ending` says that the server has no more.
    pub fn pull(&mut self, ending: bool) -> Result<Option<Answer>, Fault> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let space = self.reader.space();
            let room = space.len();
            let count = match stream.read(space) {
                Ok(0) => {
                    let answer = self.reader.ended();
                    self.stream = None;
                    let lost = if self.connected { Fault::Cut } else { Fault::Connect };
                    return answer.map(Some).ok_or(lost);
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if self.connected => return Err(Fault::Cut),
                Err(_) => return Err(Fault::Connect),
            };
            match self.reader.took(count) {
                // A read that leaves room has emptied the socket, and what comes later is a new event.
                Ok(None) if count < room && !ending => return Ok(None),
                Ok(None) => {}
                Ok(Some(answer)) => return Ok(Some(Answer { close: answer.close || ending, ..answer })),
                Err(_) => return Err(Fault::Malformed),
            }
        }
    }
}
