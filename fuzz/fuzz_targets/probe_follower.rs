//! Fuzzes [`hls_swarm_fuzz::probe_follower`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hls_swarm_fuzz::probe_follower(data));
