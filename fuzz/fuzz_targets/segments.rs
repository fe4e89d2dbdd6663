//! Fuzzes [`hls_swarm_fuzz::segments`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hls_swarm_fuzz::segments(data));
