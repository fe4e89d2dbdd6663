//! Drawings of second rank: requests, the bit rate played, the load generator, and the origin.

use hls_swarm_model::timeline::{Samples, Window};

use super::axis::plain;
use super::curves::{Curve, curves};
use super::{Drawing, Drawn};
use crate::output::figures::bit_rate;

/// The drawings that have data.
pub(super) fn drawings(drawn: &Drawn<'_>) -> [Option<Drawing>; 5] {
    let rate = |count: fn(&Window) -> u64| move |window: &Window| drawn.rate(window, count(window) as f64);
    let of = |samples: fn(&Window) -> &Samples| move |window: &Window| samples(window).average();
    let requests = [
        Curve::new(drawn, "two", "playlists", rate(|window| window.playlists)),
        Curve::new(drawn, "one", "segments", rate(|window| window.segments)),
    ];
    let bitrate = [Curve::new(drawn, "one", "average of the viewers", Window::bitrate_played)];
    let generator = [
        Curve::new(drawn, "three", "all processors busy", of(|window| &window.cpu_percent)),
        Curve::new(drawn, "one", "this program, of one processor", of(|window| &window.own_cpu_percent)),
    ];
    let origin = [Curve::new(drawn, "three", "all processors busy", of(|window| &window.origin_cpu_percent))];
    let sent = [Curve::new(drawn, "one", "sent by its devices", |window| {
        window.origin_transmit_bytes_per_second.average().map(|bytes| bytes * 8.0)
    })];
    [
        curves("requests", "Requests per second", plain, &requests),
        curves("bitrate", "Bit rate played", bit_rate, &bitrate),
        curves("generator", "Load generator", busy, &generator),
        curves("origin", "Origin", busy, &origin),
        curves("origin-sent", "Origin, network", bit_rate, &sent),
    ]
}

/// Percent of a processor's time.
pub(super) fn busy(percent: f64) -> String {
    format!("{} %", plain(percent))
}
