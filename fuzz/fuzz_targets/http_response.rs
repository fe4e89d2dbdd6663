//! Fuzzes [`hls_swarm_fuzz::http_response`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hls_swarm_fuzz::http_response(data));
