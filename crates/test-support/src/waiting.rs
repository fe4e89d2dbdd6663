//! Waiting for a condition with a timeout.

use std::time::{Duration, Instant};

/// Calls `ask` until it returns a value; panics with `what` after `time`.
pub fn eventually<T>(what: &str, time: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < time, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
