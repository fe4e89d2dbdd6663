//! The ground truth: the real program with real FFmpeg viewers against servers that log what they
//! served. Every request, byte, and status code in the report and the exchange log is compared with
//! the servers' own logs. ffmpeg, nginx and openssl must be installed: without them these tests fail,
//! they do not skip. `--nocapture` shows what each case compared.

use hls_swarm_test_support::{nginx, origin, program, server, waiting};
mod account;
mod balance;
mod faults;
mod http2;
mod http3;
mod media;
mod native;
mod pairing;
mod secrets;
mod serving;
mod site;
mod steering;
mod streams;
mod swarm;
mod truth;
mod variants;
