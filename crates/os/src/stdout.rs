//! Standard output, where it is the result of a command: what cannot be written there is lost, and said
//! to be.

use std::io::{self, ErrorKind, Write};

use hls_swarm_base::error::Failure;

/// Writes all of `text`. A reader that has read enough and left is no failure.
///
/// # Errors
/// Standard output leads to a full disk, say.
pub fn say(text: &str) -> Result<(), Failure> {
    to(&mut io::stdout().lock(), text)
}

fn to(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::internal("cannot write to standard output")
                .caused_by(error)
                .help("make room where it leads to, or let it lead elsewhere"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_and_a_reader_that_left_is_not() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failure = to(&mut full, "text\n").unwrap_err();
        assert!(failure.chain().contains("No space left") && failure.help_text().is_some(), "{failure}");
        let (read, mut write) = io::pipe().unwrap();
        drop(read);
        assert!(to(&mut write, "text\n").is_ok());
    }
}
