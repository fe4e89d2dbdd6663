//! Listening sockets, and ports that are reserved without a listener.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};

use hls_swarm_base::error::Failure;

/// Listens on `address`. Port 0 selects a free one, which [`TcpListener::local_addr`] returns.
///
/// # Errors
/// The port is taken or privileged, or this machine does not have the address.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let help = match error.kind() {
            ErrorKind::AddrInUse => format!(
                "pass --port 0 for a free one, or stop the process that has it (`ss -ltnp sport = :{}`)",
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
        Failure::preflight(what).caused_by(error).help(help)
    })
}

/// A reserved port of loopback without a listener: connections to it are refused.
#[derive(Debug)]
pub struct UnusedPort {
    address: SocketAddr,
    /// Reserves the port as long as it is open.
    _socket: OwnedFd,
}

impl UnusedPort {
    /// Reserves any free port.
    ///
    /// # Errors
    /// The operating system refuses the socket.
    pub fn new() -> Result<Self, Failure> {
        let bound = || -> nix::Result<Self> {
            let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
            let address: SockaddrIn = getsockname(fd.as_raw_fd())?;
            Ok(Self { address: SocketAddrV4::from(address).into(), _socket: fd })
        };
        bound().map_err(|error| Failure::internal("cannot reserve a port of loopback").caused_by(error))
    }

    /// Returns the address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
