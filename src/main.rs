//! `hls-swarm`: load tests an HLS stream with real viewers. The code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    hls_swarm::run::main()
}
