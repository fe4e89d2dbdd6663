//! Readiness notification of the service manager (systemd's `sd_notify` protocol): one datagram to the socket
//! that NOTIFY_SOCKET names. Without the variable, nothing is sent.
//!
//! The crate `sd-notify` (0.5) does not replace this: it treats an abstract socket (`@name`) as a path, so that
//! notifications fail in the containers and user managers that use one.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Reports that the program is ready; `status` describes its state in words.
///
/// # Errors
/// The socket does not exist or refuses the datagram.
pub fn ready(status: &str) -> io::Result<()> {
    send(std::env::var_os("NOTIFY_SOCKET").as_deref(), &format!("READY=1\nSTATUS={status}\n"))
}

/// Reports that the program is about to stop.
///
/// # Errors
/// The socket does not exist or refuses the datagram.
pub fn stopping() -> io::Result<()> {
    send(std::env::var_os("NOTIFY_SOCKET").as_deref(), "STOPPING=1\n")
}

fn send(socket: Option<&OsStr>, state: &str) -> io::Result<()> {
    let Some(name) = socket.map(OsStr::as_bytes).filter(|name| !name.is_empty()) else { return Ok(()) };
    let address = match name {
        // An abstract name: the first byte is NUL, which the manager writes as @.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_state_reaches_a_socket_by_path_and_by_abstract_name() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(Some(path.as_os_str()), "READY=1\n").unwrap();
        assert_eq!(received(&socket), "READY=1\n");

        let name = format!("hls-origin-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(Some(OsStr::new(&format!("@{name}"))), "STOPPING=1\n").unwrap();
        assert_eq!(received(&socket), "STOPPING=1\n");
    }

    #[test]
    fn nothing_is_sent_without_a_socket_and_a_missing_socket_is_an_error() {
        send(None, "READY=1\n").unwrap();
        assert!(send(Some(OsStr::new("/no/such/socket")), "READY=1\n").is_err());
    }
}
