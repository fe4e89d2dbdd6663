//! Other work that keeps processors of this machine busy, and how long this process waits for them.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::processes;

/// Time after which the work ends if the test is killed, seconds.
const MAX_SECONDS: &str = "120";

/// Endless loops, which end with this value.
pub struct OtherWork(Vec<Child>);

impl OtherWork {
    /// Starts a loop for each processor, at this niceness.
    pub fn on_all_processors(niceness: u8) -> Self {
        let processors = std::thread::available_parallelism().unwrap().get();
        let niceness = niceness.to_string();
        Self((0..processors).map(|_| endless(&["nice", "-n", &niceness])).collect())
    }

    /// Starts a loop on the first processor, which it shares with the processes that are bound to it.
    pub fn on_the_first_processor() -> Self {
        Self(vec![endless(&["taskset", "-c", "0"])])
    }
}

/// A thread of this process that does nothing but sleep, and measures by how much it wakes up too late.
pub struct Sleeper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<f64>,
}

impl Sleeper {
    pub fn start() -> Self {
        const SLEEP: Duration = Duration::from_millis(10);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (began, mut late) = (Instant::now(), Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let asleep = Instant::now();
                std::thread::sleep(SLEEP);
                late += asleep.elapsed().saturating_sub(SLEEP);
            }
            late.as_secs_f64() / began.elapsed().as_secs_f64()
        });
        Self { stop, thread }
    }

    /// The share of its life in which it should have been awake, and was not.
    pub fn end(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Starts an endless loop with this command in front.
fn endless(with: &[&str]) -> Child {
    let mut command = Command::new(with[0]);
    command.args(&with[1..]).args(["timeout", MAX_SECONDS, "sh", "-c", "while :; do :; done"]);
    command.spawn().unwrap()
}

impl Drop for OtherWork {
    fn drop(&mut self) {
        for one in &mut self.0 {
            // `timeout` passes this signal on; SIGKILL would leave the loop behind.
            processes::send(one.id(), Signal::SIGTERM);
            drop(one.wait());
        }
    }
}
