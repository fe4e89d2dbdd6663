//! The playhead against hls.js: fed with the times at which hls.js had its segments, it must stall when the
//! video element did.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;

use hls_swarm_player::{Arrival, Playhead, Preset, Viewing};

/// Milliseconds that the video needs from its first segment to its first frame; the model has no decoder.
const TOLERANCE_MS: f64 = 150.0;

fn events(log: &str) -> Vec<Value> {
    serde_json::from_str(log).unwrap()
}

fn time(event: &Value) -> f64 {
    event["t"].as_f64().unwrap()
}

/// The playback of the model up to the last event of the log.
fn replay(events: &[Value]) -> Viewing {
    let ns = |event: &Value| (time(event) * 1e6) as u64;
    let pressed_play = events.iter().find(|event| event["k"] == "media:play").map_or(0, ns);
    let mut playhead = Playhead::new(Preset::HlsJs.rules(), 1, pressed_play);
    for event in events.iter().filter(|event| event["k"] == "FRAG_LOADED") {
        let sequence = event["sn"].as_u64().unwrap();
        playhead.segment(ns(event), 0, sequence, 2_000_000_000, Arrival::Whole);
    }
    playhead.advance(ns(events.last().unwrap()));
    playhead.viewing()
}

/// The stalls of the video element after its first frame, in milliseconds.
fn stalls(events: &[Value]) -> Vec<f64> {
    let mut playing = false;
    let mut since = None;
    let mut stalls = Vec::new();
    for event in events {
        match event["k"].as_str().unwrap() {
            "media:waiting" if playing => since = Some(time(event)),
            "media:playing" => {
                playing = true;
                stalls.extend(since.take().map(|since| time(event) - since));
            }
            _ => {}
        }
    }
    stalls
}

fn assert_alike(name: &str, log: &str) {
    let events = events(log);
    let (real, model) = (stalls(&events), replay(&events));
    assert_eq!(model.stalls, real.len() as u64, "{name}: {model:?} beside {real:?}");
    let stalled_ms = model.stalled_ns as f64 / 1e6;
    let real_ms: f64 = real.iter().sum();
    assert!(
        (stalled_ms - real_ms).abs() <= TOLERANCE_MS * real.len() as f64,
        "{name}: {stalled_ms} {real_ms}"
    );
    let first_frame = events.iter().find(|event| event["k"] == "firstframe").map(time).unwrap();
    let pressed_play = events.iter().find(|event| event["k"] == "media:play").map(time).unwrap();
    let startup_ms = model.startup_ns.unwrap() as f64 / 1e6;
    let decoding = (first_frame - pressed_play) - startup_ms;
    assert!(
        (0.0..=300.0).contains(&decoding),
        "{name}: startup {startup_ms} ms, {decoding} before the first frame"
    );
}

#[test]
fn the_model_stalls_when_hlsjs_does() {
    assert_alike("clean", include_str!("hlsjs/log1.json"));
    assert_alike("one segment 8 s late", include_str!("hlsjs/log2.json"));
    assert_alike("a cap for 24 s", include_str!("hlsjs/log3.json"));
}

#[test]
fn the_late_segment_is_the_stall_of_log_2() {
    assert_eq!(stalls(&events(include_str!("hlsjs/log2.json"))).len(), 1, "the log has lost its stall");
}
