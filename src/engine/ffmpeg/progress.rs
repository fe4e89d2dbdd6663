//! FFmpeg's `-progress` stream: how far a viewer has played and how fast.
//!
//! The parser turns bytes into one [`Progress`] per block. It has no clock; stalls are detected by comparing blocks
//! over time (`super::watchdog`).

/// Longest line that is parsed, bytes; FFmpeg's own lines are far shorter.
const LINE_BYTES: usize = 256;

/// One block of the progress stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Media time played, microseconds (`out_time_us`); `None` while FFmpeg prints `N/A`.
    pub media_time_us: Option<i64>,
    /// Speed relative to real time since the start (1.0 = real time); `None` while FFmpeg prints `N/A`.
    pub speed: Option<f64>,
    /// Whether this is the last block (`progress=end`), which means that FFmpeg left its main loop normally.
    pub end: bool,
}

/// Incremental parser of the progress stream. It accepts pieces of any size and keeps at most one line.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    overlong: bool,
    out_time_us: Option<i64>,
    out_time_ms: Option<i64>,
    speed: Option<f64>,
}

impl Parser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and passes every finished block to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut impl FnMut(Progress)) {
        for &byte in bytes {
            if byte == b'\n' {
                if !self.overlong
                    && let Some(block) = self.line_done()
                {
                    out(block);
                }
                self.line.clear();
                self.overlong = false;
            } else if self.line.len() < LINE_BYTES {
                self.line.push(byte);
            } else {
                self.overlong = true;
            }
        }
    }

    fn line_done(&mut self) -> Option<Progress> {
        let line = std::str::from_utf8(&self.line).ok()?;
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        match key.trim() {
            "out_time_us" => self.out_time_us = microseconds(value),
            // FFmpeg's name for this key is wrong: its value is in microseconds, too.
            "out_time_ms" => self.out_time_ms = microseconds(value),
            "speed" => self.speed = speed(value),
            "progress" => {
                let block = Progress {
                    media_time_us: self.out_time_us.or(self.out_time_ms),
                    speed: self.speed,
                    end: value == "end",
                };
                (self.out_time_us, self.out_time_ms, self.speed) = (None, None, None);
                return Some(block);
            }
            _ => {}
        }
        None
    }
}

/// Parses a time; `None` for `N/A` and for `AV_NOPTS_VALUE` (the smallest integer), which some versions print.
fn microseconds(value: &str) -> Option<i64> {
    value.parse().ok().filter(|&time| time != i64::MIN)
}

fn speed(value: &str) -> Option<f64> {
    value.strip_suffix('x')?.trim().parse().ok().filter(|speed: &f64| speed.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(portions: &[&[u8]]) -> Vec<Progress> {
        let (mut parser, mut blocks) = (Parser::new(), Vec::new());
        for portion in portions {
            parser.feed(portion, &mut |block| blocks.push(block));
        }
        blocks
    }

    #[test]
    fn blocks_contain_time_speed_and_the_end() {
        let text = b"frame=1\nout_time_us=N/A\nout_time_ms=N/A\nspeed=N/A\nprogress=continue\n\
            out_time_us=4001578\nout_time_ms=4001578\nout_time=00:00:04.001578\nspeed= 2.1x\n\
            total_size=N/A\nprogress=continue\nout_time_ms=5\nspeed=1e+03x\nprogress=end\n";
        assert_eq!(
            blocks(&[text]),
            [
                Progress { media_time_us: None, speed: None, end: false },
                Progress { media_time_us: Some(4_001_578), speed: Some(2.1), end: false },
                Progress { media_time_us: Some(5), speed: Some(1000.0), end: true },
            ]
        );
    }

    #[test]
    fn a_block_never_inherits_from_the_one_before() {
        let text = b"out_time_us=7\nspeed=1x\nprogress=continue\nprogress=continue\n";
        assert_eq!(blocks(&[text])[1], Progress { media_time_us: None, speed: None, end: false });
    }

    #[test]
    fn garbage_without_a_line_end_costs_one_line_of_memory() {
        let mut parser = Parser::new();
        for _ in 0..1000 {
            parser.feed(&[b'x'; 4096], &mut |_| panic!("garbage was parsed as a block"));
        }
        assert!(parser.line.capacity() <= 2 * LINE_BYTES);
        let mut ends = 0;
        parser.feed(b"\nprogress=end\n", &mut |block| ends += u32::from(block.end));
        assert_eq!(ends, 1);
    }

    proptest! {
        #[test]
        fn any_split_yields_the_same_blocks(
            lines in prop::collection::vec("(out_time_us=(-?[0-9]{1,9}|N/A)|speed=( ?[0-9]\\.[0-9]x|N/A)|progress=(continue|end)|[a-z]{0,9}=?)", 0..40),
            cuts in prop::collection::vec(1_usize..40, 1..60),
        ) {
            let text = lines.join("\n").into_bytes();
            let mut portions = Vec::new();
            let (mut rest, mut cuts) = (text.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                portions.push(head);
                rest = tail;
            }
            prop_assert_eq!(blocks(&portions), blocks(&[&text]));
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            blocks(&[&bytes]);
        }
    }
}
