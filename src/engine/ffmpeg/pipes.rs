//! A child's pipes: read as they fill, and emptied when it has ended.

use std::io;

use tokio::net::unix::pipe;

/// How much is read from one pipe before others get their turn.
const TURN_BYTES: usize = 256 << 10;

/// Waits until a pipe has something, and takes it. `None` = its end.
pub(crate) async fn some(pipe: &Option<pipe::Receiver>) -> Option<Vec<u8>> {
    let Some(pipe) = pipe else { return std::future::pending().await };
    loop {
        pipe.readable().await.ok()?;
        match take(pipe) {
            Ok(bytes) if bytes.is_empty() => return None,
            Ok(bytes) => return Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Reads what is there, one turn at most; empty = the end.
fn take(pipe: &pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    let mut buffer = [0_u8; 4096];
    while taken.len() < TURN_BYTES {
        match pipe.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                taken.extend_from_slice(buffer.get(..read).unwrap_or_default());
                // A short read has emptied the pipe; asking again would only cost a system call.
                if read < buffer.len() {
                    break;
                }
            }
            Err(_) if !taken.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Hears what was taken; a pipe at its end is let go.
pub(crate) fn keep(pipe: &mut Option<pipe::Receiver>, bytes: Option<Vec<u8>>, hear: impl FnOnce(&[u8])) {
    match bytes {
        Some(bytes) => hear(&bytes),
        None => *pipe = None,
    }
}

/// What a pipe still holds after its writer has ended; a grandchild that keeps writing is not
/// waited for.
pub(crate) fn last(pipe: &Option<pipe::Receiver>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(pipe) = pipe
        && all.len() < TURN_BYTES
    {
        match take(pipe) {
            Ok(bytes) if !bytes.is_empty() => all.extend(bytes),
            _ => break,
        }
    }
    all
}
