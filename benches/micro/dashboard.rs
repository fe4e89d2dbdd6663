//! Cost of the dashboard each second, with 500 viewers: of the state, and of a whole frame.

use std::sync::Arc;

use divan::Bencher;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use hls_swarm::tui::view::draw;
use hls_swarm::tui::view::state::State;
use hls_swarm::tui::view::style::Theme;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_test_support::recorded::{SECOND, run};

use crate::statistics::playing;

/// Sizes of a terminal.
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

/// A second of the dashboard: below 10 ms it costs less than 1 % of a processor.
#[divan::bench(args = SIZES, max_time = 2)]
fn frame_of_500_viewers(bencher: Bencher<'_, '_>, size: (u16, u16)) {
    let mut stats = playing(1, 500);
    // Ten minutes, so that the drawings are full.
    let mut last = 0;
    for second in 5..605 {
        last = second * SECOND;
        stats.tick(last);
    }
    let first = stats.snapshot(last);
    let (mut state, run) = (State::default(), run());
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    let mut elapsed = first.elapsed_seconds;
    bencher.bench_local(|| {
        elapsed += 1.0;
        state.update(Arc::new(Snapshot { elapsed_seconds: elapsed, ..first.clone() }));
        terminal.draw(|frame| draw(frame, &state, &run, Theme { color: true })).unwrap();
    });
}
