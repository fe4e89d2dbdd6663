//! What was sent of a response, head and body told apart.

/// Bytes of a response that were handed to the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) head: u64,
    pub(crate) body: u64,
    /// Letters of the empty line that ends the head, as far as they were seen.
    end: usize,
}

impl Sent {
    /// Notes that these bytes were sent.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        const END: &[u8; 4] = b"\r\n\r\n";
        while self.end < END.len() {
            let Some((byte, rest)) = bytes.split_first() else { return };
            self.end = match END.get(self.end) {
                Some(expected) if expected == byte => self.end + 1,
                _ => usize::from(*byte == b'\r'),
            };
            self.head += 1;
            bytes = rest;
        }
        self.body += bytes.len() as u64;
    }

    /// Whether the head is out.
    pub(crate) const fn past_head(&self) -> bool {
        self.end == 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_told_apart_wherever_they_are_cut() {
        let response = b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n\r\nbody\r\n\r\n!";
        for cut in 0..response.len() {
            let mut sent = Sent::default();
            sent.take(&response[..cut]);
            sent.take(&response[cut..]);
            assert_eq!((sent.head, sent.body), (26, 11), "{cut}");
        }
    }
}
