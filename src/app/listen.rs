//! The two sockets, bound before anything else is done, so that a busy port is found at once.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::AppError;

/// The public and the operations listener.
#[derive(Debug)]
pub struct Listeners {
    pub(super) public: TcpListener,
    pub(super) operations: TcpListener,
    /// Where they really listen; differs from what was asked for if that was port 0.
    pub addresses: Addresses,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The public listener.
    pub public: SocketAddr,
    /// The operations listener.
    pub operations: SocketAddr,
}

impl Listeners {
    /// Binds both. The error names the address and how to choose another.
    pub fn bind(public: SocketAddr, operations: SocketAddr) -> Result<Self, AppError> {
        let (public, public_address) = bind(public, "listen")?;
        let (operations, operations_address) = bind(operations, "ops_listen")?;
        let addresses = Addresses { public: public_address, operations: operations_address };
        Ok(Self { public, operations, addresses })
    }
}

fn bind(address: SocketAddr, key: &str) -> Result<(TcpListener, SocketAddr), AppError> {
    let bound = TcpListener::bind(address).and_then(|socket| {
        let local = socket.local_addr()?;
        Ok((socket, local))
    });
    bound.map_err(|error| AppError::Start(refusal(address, key, &error)))
}

fn refusal(address: SocketAddr, key: &str, error: &io::Error) -> String {
    let option = key.replace('_', "-");
    let how = format!("`[server] {key}` (or `demo --{option}`)");
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another program, perhaps another Chancery; stop that one, or choose another address with {how}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is not an address of this machine; choose another with {how}")
        }
        io::ErrorKind::PermissionDenied => format!(
            "{address} may not be used by this user, since ports below 1024 are reserved; choose another with {how}"
        ),
        _ => format!("cannot listen on {address}: {error}; choose another address with {how}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("a bound socket");
        let refused = Listeners::bind(address, ([127, 0, 0, 1], 0).into()).expect_err("it is taken");
        let text = refused.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("[server] listen"), "{text}");
        assert!(!refused.is_usage());
    }
}
