//! `healthcheck`: asks the configured server's readiness (RFC 9112, one request on one connection).
//!
//! The public listener is asked, unless it speaks TLS: its certificate names the host that clients use,
//! not the address that is asked here. Then the operations listener, which knows the same, is asked.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::json;

use super::{CommandFailure, Output};
use crate::config::Config;

/// A server that needs longer is not healthy.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(config: &Config, out: Output) -> Result<(), CommandFailure> {
    let server = &config.server;
    let address = reachable(if config.tls.is_some() { server.ops_listen } else { server.listen });
    match status(address) {
        Ok(200) => {
            out.done(&json!({ "ready": true, "address": address.to_string() }), "ready");
            Ok(())
        }
        Ok(status) => {
            Err(CommandFailure::failed(format!("the server on {address} is not ready: it answered {status}")))
        }
        Err(error) => {
            Err(CommandFailure::failed(format!("the server on {address} does not answer: {error}")))
        }
    }
}

/// "Every address of this machine" is none to connect to.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn status(address: SocketAddr) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    // `HTTP/1.1 200`: the status line is all that counts.
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let code = std::str::from_utf8(&head).ok().and_then(|head| head.strip_prefix("HTTP/1.1 "));
    code.and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what it says is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(listen.parse().expect("an address")).to_string(), asked);
        }
    }
}
