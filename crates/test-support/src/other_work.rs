//! Other work that keeps processors of this machine busy.

use std::process::{Child, Command};

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
