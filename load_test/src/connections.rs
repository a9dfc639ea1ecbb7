//! Idle keep-alive connections, and what the server keeps for each.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    failure::Failure, process::Sample, run::rounds::allow_descriptors, target::Target,
    wire::request::Request, wire::response::Reader,
};

/// What so many connections came to.
#[derive(Debug, Serialize)]
pub struct Connections {
    /// Connections that were opened, each answered once.
    pub opened: usize,
    /// Those that were still open at the end.
    pub kept: usize,
    /// How long opening all of them took.
    pub opening_seconds: f64,
    /// The server's memory before and after, if its process is known.
    pub resident_bytes: Option<(u64, u64)>,
    /// What each added to it.
    pub bytes_per_connection: Option<f64>,
}

/// Opens them one after the other, and holds them.
pub fn measure(target: &Target, count: usize, hold: Duration) -> Result<Connections, Failure> {
    allow_descriptors(count)?;
    let path = "/.well-known/openid-configuration";
    let request = Request { line: ("GET", path), host: &target.host, ..Request::default() }.bytes();
    let resident = || target.pid.map(|pid| Sample::of(pid).map(|sample| sample.resident)).transpose();
    let before = resident()?;
    let begin = Instant::now();
    let mut reader = Reader::default();
    let mut streams = Vec::with_capacity(count);
    for at in 0..count {
        let stream = open(target, &request, &mut reader)
            .map_err(|error| Failure::io(&format!("open connection {} of {count}", at + 1), error))?;
        streams.push(stream);
    }
    let opening_seconds = begin.elapsed().as_secs_f64();
    thread::sleep(hold);
    let resident_bytes = before.zip(resident()?);
    let each = |(before, after): (u64, u64)| (after as f64 - before as f64) / count.max(1) as f64;
    Ok(Connections {
        opened: count,
        kept: streams.into_iter().filter_map(is_open).count(),
        opening_seconds,
        resident_bytes,
        bytes_per_connection: resident_bytes.map(each),
    })
}

fn open(target: &Target, request: &[u8], reader: &mut Reader) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(target.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request)?;
    reader.clear();
    loop {
        match stream.read(reader.space())? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => match reader.took(count) {
                Ok(Some(answer)) if answer.status == 200 => return Ok(stream),
                Ok(Some(answer)) => {
                    return Err(std::io::Error::other(format!("it was answered {}", answer.status)));
                }
                Ok(None) => {}
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            },
        }
    }
}

fn is_open(stream: TcpStream) -> Option<()> {
    stream.set_nonblocking(true).ok()?;
    match stream.peek(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(()),
        _ => None,
    }
}
