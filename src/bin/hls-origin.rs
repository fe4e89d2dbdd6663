//! `hls-origin`: the test origin. All of it lives in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    hls_swarm_origin::main()
}
