//! `hls-swarm`: load tests an HLS stream with real viewers. All of it lives in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    hls_swarm::run::main()
}
