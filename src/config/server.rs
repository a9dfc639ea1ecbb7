//! `[server]`: listeners, issuer, limits of connections.

use std::{net::SocketAddr, time::Duration};

use super::{
    Issuer,
    reader::SettingReader,
    value::{HOUR, MINUTE, SECOND, address, duration, whole},
};

/// How requests come in.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The public listener. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// The operations listener. Default 127.0.0.1:9464.
    pub ops_listen: SocketAddr,
    /// Who we are. Default `http://` (with TLS `https://`) + `listen` if that is loopback, otherwise required.
    pub issuer: Issuer,
    /// Worker threads; 0 is one for each core. Default 0.
    pub workers: usize,
    /// Time to receive a request's head. Default 10 s.
    pub head_timeout: Duration,
    /// Time to receive a request's body. Default 10 s.
    pub body_timeout: Duration,
    /// Time an idle connection is kept. Default 75 s.
    pub keep_alive: Duration,
    /// Time requests get to finish after SIGTERM. Default 10 s.
    pub shutdown_timeout: Duration,
    /// Open connections per worker. Default 25,000.
    pub max_connections: usize,
    /// Time to answer a request. Default 10 s.
    pub request_timeout: Duration,
    /// Requests that are worked on at once; more are refused. Default 4,096.
    pub max_in_flight: usize,
}

impl ServerConfig {
    /// `tls`: whether the public listener has a certificate.
    pub(super) fn read(reader: &mut SettingReader, tls: bool) -> Self {
        let listen = reader.get(("server", "listen"), address);
        let ops_listen = reader.get(("server", "ops_listen"), address);
        reader.agree(
            ("server", "ops_listen"),
            ("server", "listen"),
            listen != ops_listen || listen.port() == 0,
            "must differ from `listen`",
        );
        Self {
            listen,
            ops_listen,
            issuer: issuer(reader, listen, tls),
            workers: reader.get(("server", "workers"), whole(0..=1024)),
            head_timeout: reader.get(("server", "head_timeout"), duration(100..=5 * MINUTE)),
            body_timeout: reader.get(("server", "body_timeout"), duration(100..=5 * MINUTE)),
            keep_alive: reader.get(("server", "keep_alive"), duration(SECOND..=HOUR)),
            shutdown_timeout: reader.get(("server", "shutdown_timeout"), duration(0..=10 * MINUTE)),
            max_connections: reader.get(("server", "max_connections"), whole(1..=1_000_000)),
            request_timeout: reader.get(("server", "request_timeout"), duration(100..=5 * MINUTE)),
            max_in_flight: reader.get(("server", "max_in_flight"), whole(1..=1_000_000)),
        }
    }
}

fn issuer(reader: &mut SettingReader, listen: SocketAddr, tls: bool) -> Issuer {
    let place = ("server", "issuer");
    if let Some(given) = reader.optional(place, Issuer::parse) {
        // Its clients would be sent to a plain listener that is not there.
        let why = "must begin with https://, since `[tls]` is set";
        reader.agree(place, ("tls", "cert"), given.secure() || !tls, why);
        return given;
    }
    if let Some(derived) = Issuer::loopback(listen, tls) {
        return derived;
    }
    if reader.is_sound(place) {
        reader.refuse(
            place,
            "is required, since `listen` is not a loopback address with a fixed port; set the origin that \
             browsers and clients use, such as https://id.example.com",
        );
    }
    // Never used: the fault above ends the start.
    Issuer::loopback(([127, 0, 0, 1], 8080).into(), tls).expect("a loopback address with a port")
}
