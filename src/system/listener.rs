//! Listening sockets that this program owns and a server inherits.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use crate::words::failure::Failure;

/// Listens on `address`. Port 0 takes a free one, which [`TcpListener::local_addr`] tells.
///
/// # Errors
/// The port is taken or privileged, or the address is none of this machine's.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let cure = match error.kind() {
            ErrorKind::AddrInUse => format!(
                "pass --port 0 for a free one, or end its owner (`ss -ltnp sport = :{}`)",
                address.port()
            ),
            ErrorKind::PermissionDenied => "pass a --port above 1023, or --port 0".to_owned(),
            ErrorKind::AddrNotAvailable => "pass a --listen address of this machine (`ip addr`)".to_owned(),
            _ => "pass another --listen address or --port".to_owned(),
        };
        let what = match error.kind() {
            ErrorKind::AddrInUse => format!("port {} on {} is taken", address.port(), address.ip()),
            _ => format!("cannot listen on {address}"),
        };
        Failure::preflight(what).because(error).cure(cure)
    })
}
