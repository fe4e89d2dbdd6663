//! Tells the service manager how this program is (systemd's sd_notify protocol): one datagram to the
//! socket that NOTIFY_SOCKET names. Without the variable nothing is told to anybody.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The program does what it is for; `status` says what that is.
///
/// # Errors
/// The manager's socket is not there or refuses the datagram.
pub fn ready(status: &str) -> io::Result<()> {
    tell(std::env::var_os("NOTIFY_SOCKET").as_deref(), &format!("READY=1\nSTATUS={status}\n"))
}

/// The program is about to end.
///
/// # Errors
/// The manager's socket is not there or refuses the datagram.
pub fn stopping() -> io::Result<()> {
    tell(std::env::var_os("NOTIFY_SOCKET").as_deref(), "STOPPING=1\n")
}

fn tell(socket: Option<&OsStr>, state: &str) -> io::Result<()> {
    let Some(name) = socket.map(OsStr::as_bytes).filter(|name| !name.is_empty()) else { return Ok(()) };
    let address = match name {
        // An abstract name; the manager writes @ in place of the NUL that it begins with.
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
    fn a_socket_by_path_and_by_abstract_name() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        tell(Some(path.as_os_str()), "READY=1\n").unwrap();
        assert_eq!(received(&socket), "READY=1\n");

        let name = format!("hls-origin-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        tell(Some(OsStr::new(&format!("@{name}"))), "STOPPING=1\n").unwrap();
        assert_eq!(received(&socket), "STOPPING=1\n");
    }

    #[test]
    fn nobody_is_told_without_a_socket_and_a_missing_one_is_an_error() {
        tell(None, "READY=1\n").unwrap();
        assert!(tell(Some(OsStr::new("/no/such/socket")), "READY=1\n").is_err());
    }
}
