//! The playhead of a viewer: what a player would have shown of the media that arrived.
//!
//! The media that was played is the media that arrived: whole segments, times their duration. Media that is
//! missing is jumped over as soon as later media has arrived, which costs buffer and, sooner or later, a
//! stall. The model has no clock: the time of everything that happens is passed in.

use crate::preset::BufferRules;
use crate::timeline::{Arrival, Media, Timeline};

/// The shortest interruption that counts as a stall, nanoseconds. Up to version 1.5, hls.js reports a stall after as long
/// without progress (`STALL_MINIMUM_DURATION_MS` of its gap controller; 1.6 waits for 1250 ms by default). Time that is
/// stalled counts however short an interruption is: rebuffering is a share of time, not a number.
pub const SHORTEST_STALL_NS: u64 = 250_000_000;

/// The state of the playhead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing has been played yet.
    Starting,
    /// Media is being shown.
    Playing,
    /// The buffer ran empty.
    Stalled,
    /// The stream's end was shown.
    Ended,
}

/// Playback of a viewer so far. All times are nanoseconds, and all figures only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Viewing {
    /// Time from the viewer's start to its first frame; absent until then.
    pub startup_ns: Option<u64>,
    /// Media that was shown.
    pub played_ns: u64,
    /// Time for which the playhead stood still after the start, for lack of media.
    pub stalled_ns: u64,
    /// The longest of the stalls that are counted.
    pub longest_stall_ns: u64,
    /// The number of stalls of at least [`SHORTEST_STALL_NS`].
    pub stalls: u64,
    /// Media that was jumped over after the first frame because it was missing.
    pub missing_ns: u64,
    /// The number of segments that were jumped over, over all renditions.
    pub skipped: u64,
    /// The part of the missing media that the server did not have.
    pub unavailable_ns: u64,
    /// The number of skipped segments that the server did not have.
    pub unavailable: u64,
}

/// One of the renditions that are played together.
#[derive(Clone, Debug)]
struct Rendition {
    timeline: Timeline,
    /// Whether playback waits for its media.
    needed: bool,
}

/// The playhead of one viewer, over all processes or connections that the viewer had.
#[derive(Clone, Debug)]
pub struct Playhead {
    rules: BufferRules,
    renditions: Vec<Rendition>,
    state: State,
    started_ns: u64,
    now_ns: u64,
    /// The time of the latest arrival.
    arrived_ns: u64,
    position_ns: u64,
    stall_began_ns: u64,
    /// The time that the decoder needs for the first frame, and when it will have it.
    decoding_ns: u64,
    first_frame_ns: Option<u64>,
    viewing: Viewing,
}

impl Playhead {
    /// A viewer that pressed "play" at `started_ns`, and plays this number of renditions together (video with
    /// separate audio: 2).
    #[must_use]
    pub fn new(rules: BufferRules, renditions: usize, started_ns: u64) -> Self {
        Self {
            rules,
            renditions: vec![Rendition { timeline: Timeline::default(), needed: true }; renditions.max(1)],
            state: State::Starting,
            started_ns,
            now_ns: started_ns,
            arrived_ns: started_ns,
            position_ns: 0,
            stall_began_ns: 0,
            decoding_ns: 0,
            first_frame_ns: None,
            viewing: Viewing::default(),
        }
    }

    /// The same viewer with a decoder that needs this time for the first frame.
    #[must_use]
    pub const fn with_decoder(mut self, decoding_ns: u64) -> Self {
        self.decoding_ns = decoding_ns;
        self
    }

    /// When the decoder will have the first frame, if there is media for it and it is not shown yet.
    #[must_use]
    pub fn first_frame_ns(&self) -> Option<u64> {
        self.first_frame_ns.filter(|_| self.state == State::Starting)
    }

    /// The state of the playhead.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The playback of the viewer up to the last time that was passed in.
    #[must_use]
    pub const fn viewing(&self) -> Viewing {
        self.viewing
    }

    /// The place in the media that is shown next, nanoseconds after the first segment that the viewer chose. What was
    /// missing before the first frame counts too, although it was neither played nor skipped.
    #[must_use]
    pub const fn position_ns(&self) -> u64 {
        self.position_ns
    }

    /// Media that could be shown from now on without a break, nanoseconds.
    #[must_use]
    pub fn buffered_ns(&self) -> u64 {
        // A rendition that is over holds the others up no more.
        let going = self.needed().filter(|timeline| !timeline.is_over());
        going.map(|timeline| timeline.playable_ns(self.position_ns)).min().unwrap_or(0)
    }

    /// The number of renditions.
    #[must_use]
    pub fn renditions(&self) -> usize {
        self.renditions.len()
    }

    /// Adds a rendition that is played together with the others from now on. Returns its index.
    pub fn add_rendition(&mut self) -> usize {
        let started = self.state != State::Starting;
        let position_ns = if started { self.position_ns } else { 0 };
        self.renditions.push(Rendition { timeline: Timeline::at(position_ns), needed: true });
        self.renditions.len() - 1
    }

    /// Sets whether playback waits for the media of a rendition: a player may load a playlist and not play it.
    pub fn set_needed(&mut self, at_ns: u64, rendition: usize, needed: bool) {
        self.advance(at_ns);
        if let Some(rendition) = self.renditions.get_mut(rendition) {
            rendition.needed = needed;
        }
        self.start_or_resume();
    }

    fn needed(&self) -> impl Iterator<Item = &Timeline> {
        self.renditions.iter().filter(|rendition| rendition.needed).map(|rendition| &rendition.timeline)
    }

    /// Records the outcome of a segment of a rendition: the last byte of it (or its failure) was at `at_ns`.
    /// Renditions and segments are counted from 0 and from the playlist's media sequence.
    pub fn segment(
        &mut self,
        at_ns: u64,
        rendition: usize,
        sequence: u64,
        duration_ns: u64,
        arrival: Arrival,
    ) {
        self.advance(at_ns);
        let started = self.state != State::Starting;
        self.arrived_ns = self.arrived_ns.max(at_ns);
        if !started {
            // Time may have been passed in that is later than this arrival; nothing was played in it.
            self.now_ns = self.arrived_ns;
        }
        if let Some(Rendition { timeline, .. }) = self.renditions.get_mut(rendition) {
            timeline.insert(sequence, duration_ns, arrival, started);
        }
        // A gap in another rendition may have led beyond this segment.
        self.pass();
        self.start_or_resume();
    }

    /// Records that the media sequence numbers of a rendition restart, as after an encoder's restart: the next
    /// segment follows the last one that is known.
    pub fn sequence_began_anew(&mut self, at_ns: u64, rendition: usize) {
        self.advance(at_ns);
        if let Some(Rendition { timeline, .. }) = self.renditions.get_mut(rendition) {
            timeline.begin_anew();
        }
    }

    /// Records that a rendition has no more segments than those that were requested.
    pub fn end_of_rendition(&mut self, at_ns: u64, rendition: usize) {
        self.advance(at_ns);
        if let Some(Rendition { timeline, .. }) = self.renditions.get_mut(rendition) {
            timeline.end();
        }
        self.start_or_resume();
    }

    /// Records that the segment `sequence` is the last one of a rendition (EXT-X-ENDLIST).
    pub fn ends_after(&mut self, at_ns: u64, rendition: usize, sequence: u64) {
        self.advance(at_ns);
        if let Some(Rendition { timeline, .. }) = self.renditions.get_mut(rendition) {
            timeline.end_after(sequence);
        }
        self.start_or_resume();
    }

    /// Moves the playhead to `at_ns`. A time before the last one changes nothing.
    pub fn advance(&mut self, at_ns: u64) {
        while self.now_ns < at_ns {
            match self.state {
                State::Playing => self.play(at_ns),
                State::Stalled => {
                    self.viewing.stalled_ns += at_ns - self.now_ns;
                    let before_ns = self.now_ns - self.stall_began_ns;
                    let stall_ns = at_ns - self.stall_began_ns;
                    self.now_ns = at_ns;
                    if stall_ns >= SHORTEST_STALL_NS {
                        self.viewing.stalls += u64::from(before_ns < SHORTEST_STALL_NS);
                        self.viewing.longest_stall_ns = self.viewing.longest_stall_ns.max(stall_ns);
                    }
                }
                State::Starting if self.first_frame_ns.is_some_and(|first| first <= at_ns) => {
                    self.now_ns = self.now_ns.max(self.first_frame_ns.unwrap_or(self.now_ns));
                    self.begin();
                }
                State::Starting | State::Ended => self.now_ns = at_ns,
            }
        }
    }

    /// Plays up to the end of the nearest segment, or to `at_ns`.
    fn play(&mut self, at_ns: u64) {
        match self.media() {
            Media::Playable { until_ns } => {
                let step = until_ns.saturating_sub(self.position_ns).min(at_ns - self.now_ns);
                self.position_ns += step;
                self.now_ns += step;
                self.viewing.played_ns += step;
                self.pass();
            }
            Media::Gap { until_ns, unavailable } => self.jump(until_ns, unavailable),
            Media::Awaited if self.is_over() => self.state = State::Ended,
            Media::Awaited => {
                self.state = State::Stalled;
                self.stall_began_ns = self.now_ns;
            }
        }
    }

    /// The media at the playhead: all renditions are needed, so the first that is missing decides.
    fn media(&self) -> Media {
        let mut common = None;
        let mut gap = None;
        for rendition in self.needed() {
            match rendition.at_front() {
                Media::Playable { until_ns } => {
                    common = Some(common.map_or(until_ns, |common: u64| common.min(until_ns)));
                }
                Media::Gap { until_ns, unavailable } => gap = gap.max(Some((until_ns, unavailable))),
                Media::Awaited if rendition.is_over() && !self.is_over() => {}
                Media::Awaited => return Media::Awaited,
            }
        }
        match (gap, common) {
            (Some((until_ns, unavailable)), _) => Media::Gap { until_ns, unavailable },
            (None, Some(until_ns)) => Media::Playable { until_ns },
            (None, None) => Media::Awaited,
        }
    }

    /// Leaves out media that is missing. What comes before the first frame was not chosen to be played.
    fn jump(&mut self, until_ns: u64, unavailable: bool) {
        if self.state != State::Starting {
            let missing_ns = until_ns.saturating_sub(self.position_ns);
            self.viewing.missing_ns += missing_ns;
            self.viewing.unavailable_ns += if unavailable { missing_ns } else { 0 };
        }
        self.position_ns = self.position_ns.max(until_ns);
        self.pass();
    }

    /// Leaves the segments behind that the playhead has passed.
    fn pass(&mut self) {
        for Rendition { timeline, needed } in &mut self.renditions {
            while let Media::Playable { until_ns } | Media::Gap { until_ns, .. } = timeline.at_front() {
                if until_ns > self.position_ns {
                    break;
                }
                let passed = timeline.pass().filter(|_| *needed && self.state != State::Starting);
                let unavailable = passed == Some(Arrival::Unavailable);
                self.viewing.skipped += u64::from(unavailable || passed == Some(Arrival::Missing));
                self.viewing.unavailable += u64::from(unavailable);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.needed().all(Timeline::is_over)
    }

    fn start_or_resume(&mut self) {
        let needed_ns = match self.state {
            State::Starting => self.rules.start_ns,
            State::Stalled => self.rules.resume_ns,
            State::Playing | State::Ended => return,
        };
        while let Media::Gap { until_ns, unavailable } = self.media() {
            self.jump(until_ns, unavailable);
        }
        if self.is_over() {
            if self.state == State::Stalled {
                self.state = State::Ended;
            }
            return;
        }
        // Of a rendition that ends sooner, or before a gap, there will not be more.
        let enough = |timeline: &Timeline| {
            let playable_ns = timeline.playable_ns(self.position_ns);
            timeline.is_over()
                || timeline.playable_to_the_end()
                || playable_ns >= needed_ns.max(1)
                || (playable_ns > 0 && timeline.is_cut_short())
        };
        if !self.needed().all(enough) {
            return;
        }
        if self.state == State::Starting && self.decoding_ns > 0 {
            self.first_frame_ns.get_or_insert(self.now_ns + self.decoding_ns);
            return;
        }
        self.begin();
    }

    fn begin(&mut self) {
        if self.state == State::Starting {
            self.viewing.startup_ns = Some(self.now_ns.saturating_sub(self.started_ns));
        }
        self.state = State::Playing;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::preset::Preset;
    use crate::timeline::Arrival::{Missing, Unavailable, Whole};

    const SECOND: u64 = 1_000_000_000;

    /// Segments of 2 s, by second of arrival and media sequence number.
    fn play(preset: Preset, arrivals: &[(u64, u64, Arrival)], end: u64) -> Playhead {
        let mut playhead = Playhead::new(preset.rules(), 1, 0);
        for &(second, sequence, arrival) in arrivals {
            playhead.segment(second * SECOND, 0, sequence, 2 * SECOND, arrival);
        }
        playhead.advance(end * SECOND);
        playhead
    }

    fn seconds(ns: u64) -> u64 {
        ns / SECOND
    }

    #[test]
    fn a_steady_stream_never_stalls() {
        let playhead = play(Preset::HlsJs, &[(1, 7, Whole), (3, 8, Whole), (5, 9, Whole)], 6);
        let viewing = playhead.viewing();
        assert_eq!(viewing.startup_ns, Some(SECOND));
        assert_eq!((seconds(viewing.played_ns), viewing.stalls, viewing.stalled_ns), (5, 0, 0));
        assert_eq!(seconds(playhead.buffered_ns()), 1);
    }

    #[test]
    fn a_decoder_delays_the_first_frame_and_nothing_else() {
        let mut playhead = Playhead::new(Preset::HlsJs.rules(), 1, 0).with_decoder(SECOND / 4);
        playhead.segment(SECOND, 0, 1, 2 * SECOND, Whole);
        assert_eq!((playhead.state(), playhead.first_frame_ns()), (State::Starting, Some(SECOND * 5 / 4)));
        playhead.segment(SECOND, 0, 2, 2 * SECOND, Whole);
        playhead.advance(8 * SECOND);
        let viewing = playhead.viewing();
        assert_eq!((viewing.startup_ns, viewing.played_ns), (Some(SECOND * 5 / 4), 4 * SECOND));
        playhead.segment(8 * SECOND, 0, 3, 2 * SECOND, Whole);
        assert_eq!((playhead.state(), playhead.first_frame_ns()), (State::Playing, None), "after a stall");
        assert_eq!(playhead.viewing().stalled_ns, SECOND * 11 / 4);
    }

    #[test]
    fn a_late_segment_is_a_stall_of_its_lateness() {
        let viewing = play(Preset::HlsJs, &[(0, 1, Whole), (5, 2, Whole), (6, 3, Whole)], 8).viewing();
        assert_eq!((viewing.stalls, seconds(viewing.stalled_ns), seconds(viewing.played_ns)), (1, 3, 5));
        assert_eq!(seconds(viewing.longest_stall_ns), 3);
    }

    #[test]
    fn an_interruption_that_no_viewer_would_notice_is_stalled_time_but_no_stall() {
        let late_by = |lateness_ns: u64, looked_at_ns: u64| {
            let mut playhead = Playhead::new(Preset::HlsJs.rules(), 1, 0);
            playhead.segment(0, 0, 1, 2 * SECOND, Whole);
            // A look at the playhead meanwhile must not change what is counted.
            playhead.advance(2 * SECOND + looked_at_ns);
            playhead.segment(2 * SECOND + lateness_ns, 0, 2, 2 * SECOND, Whole);
            playhead.advance(4 * SECOND);
            let Viewing { stalls, stalled_ns, longest_stall_ns, .. } = playhead.viewing();
            (stalls, stalled_ns, longest_stall_ns)
        };
        let short = SHORTEST_STALL_NS - 1;
        assert_eq!(late_by(short, short), (0, short, 0));
        assert_eq!(late_by(SHORTEST_STALL_NS, short), (1, SHORTEST_STALL_NS, SHORTEST_STALL_NS));
        let long = 2 * SHORTEST_STALL_NS;
        assert_eq!(late_by(long, SHORTEST_STALL_NS + 1), (1, long, long));
    }

    #[test]
    fn missing_media_is_jumped_over_and_not_played() {
        let arrivals = [(0, 1, Whole), (1, 2, Missing), (1, 3, Whole), (6, 4, Whole)];
        let viewing = play(Preset::HlsJs, &arrivals, 8).viewing();
        // 2 s of segment 1, the jump, 2 s of segment 3, a stall from 4 to 6, 2 s of segment 4.
        assert_eq!((seconds(viewing.played_ns), seconds(viewing.missing_ns), viewing.skipped), (6, 2, 1));
        assert_eq!((viewing.stalls, seconds(viewing.stalled_ns)), (1, 2));
    }

    #[test]
    fn media_that_is_missing_before_the_first_frame_only_delays_it() {
        let viewing = play(Preset::HlsJs, &[(0, 1, Missing), (1, 2, Whole)], 2).viewing();
        assert_eq!((viewing.startup_ns, viewing.missing_ns, viewing.skipped), (Some(SECOND), 0, 0));
    }

    #[test]
    fn a_failed_segment_that_arrives_in_time_after_all_is_played() {
        for failed in [Missing, Unavailable] {
            let viewing = play(Preset::HlsJs, &[(0, 1, Whole), (1, 2, failed), (2, 2, Whole)], 4).viewing();
            assert_eq!((seconds(viewing.played_ns), viewing.missing_ns, viewing.stalls), (4, 0, 0));
        }
    }

    #[test]
    fn what_the_server_did_not_have_is_a_part_of_what_is_missing() {
        let arrivals = [(0, 1, Whole), (1, 2, Unavailable), (1, 3, Missing), (1, 4, Whole)];
        let viewing = play(Preset::HlsJs, &arrivals, 4).viewing();
        assert_eq!((seconds(viewing.missing_ns), viewing.skipped), (4, 2));
        assert_eq!((seconds(viewing.unavailable_ns), viewing.unavailable), (2, 1));
    }

    #[test]
    fn segments_that_were_never_requested_are_missing() {
        // As after an outage of the origin: the viewer comes back at the live edge.
        let viewing = play(Preset::HlsJs, &[(0, 1, Whole), (12, 6, Whole), (12, 7, Whole)], 16).viewing();
        assert_eq!((seconds(viewing.played_ns), seconds(viewing.missing_ns)), (6, 8));
        assert_eq!((viewing.stalls, seconds(viewing.stalled_ns)), (1, 10));
    }

    #[test]
    fn presets_start_and_resume_by_their_own_rules() {
        let mut playhead = Playhead::new(Preset::ExoPlayer.rules(), 1, 0);
        for (at, sequence) in [(0, 1), (SECOND / 2, 2), (5 * SECOND, 3), (6 * SECOND, 4)] {
            playhead.segment(at, 0, sequence, SECOND * 3 / 5, Whole);
        }
        // Starts with 1.2 s at 0.5 s; resumes only with 2 s, which never come.
        playhead.advance(8 * SECOND);
        let viewing = playhead.viewing();
        assert_eq!(viewing.startup_ns, Some(SECOND / 2));
        assert_eq!((viewing.stalls, viewing.stalled_ns), (1, 8 * SECOND - SECOND / 2 - SECOND * 6 / 5));
        // At the end of the stream, a player shows what it has.
        playhead.end_of_rendition(8 * SECOND, 0);
        assert_eq!(playhead.state(), State::Playing);
        playhead.advance(20 * SECOND);
        assert_eq!((playhead.state(), playhead.viewing().played_ns), (State::Ended, 4 * SECOND * 3 / 5));
    }

    #[test]
    fn a_rendition_that_is_over_does_not_empty_the_buffer() {
        let mut playhead = Playhead::new(Preset::HlsJs.rules(), 2, 0);
        playhead.segment(0, 0, 1, 10 * SECOND, Whole);
        playhead.segment(0, 1, 1, 2 * SECOND, Whole);
        playhead.end_of_rendition(0, 1);
        playhead.advance(3 * SECOND);
        assert_eq!((playhead.state(), seconds(playhead.buffered_ns())), (State::Playing, 7));
    }

    #[test]
    fn playback_begins_although_a_rendition_ends_sooner_than_it_takes_to_begin() {
        let mut playhead = Playhead::new(Preset::ExoPlayer.rules(), 2, 0);
        playhead.segment(0, 1, 1, SECOND / 2, Whole);
        playhead.end_of_rendition(0, 1);
        playhead.segment(SECOND, 0, 1, 2 * SECOND, Whole);
        assert_eq!(playhead.viewing().startup_ns, Some(SECOND));
    }

    #[test]
    fn separate_audio_is_needed_to_start_and_to_go_on() {
        let mut playhead = Playhead::new(Preset::HlsJs.rules(), 2, 0);
        playhead.segment(SECOND, 0, 10, 2 * SECOND, Whole);
        assert_eq!(playhead.state(), State::Starting);
        playhead.segment(2 * SECOND, 1, 3, 2 * SECOND, Whole);
        assert_eq!(playhead.viewing().startup_ns, Some(2 * SECOND));
        playhead.segment(3 * SECOND, 0, 11, 2 * SECOND, Whole);
        playhead.advance(6 * SECOND);
        assert_eq!((playhead.state(), playhead.viewing().stalled_ns), (State::Stalled, 2 * SECOND));
        playhead.segment(6 * SECOND, 1, 4, 2 * SECOND, Whole);
        assert_eq!(playhead.state(), State::Playing);
    }

    #[test]
    fn an_encoder_that_counts_anew_does_not_end_playback() {
        // Segment 101 is still to be played when the numbers restart.
        let mut playhead = play(Preset::HlsJs, &[(0, 100, Whole), (1, 101, Whole)], 1);
        playhead.sequence_began_anew(SECOND, 0);
        for (second, sequence) in [(3, 0), (5, 1)] {
            playhead.segment(second * SECOND, 0, sequence, 2 * SECOND, Whole);
        }
        playhead.advance(8 * SECOND);
        let viewing = playhead.viewing();
        assert_eq!((seconds(viewing.played_ns), viewing.stalls, viewing.missing_ns), (8, 0, 0));
    }

    #[test]
    fn a_stream_that_was_shown_to_its_end_does_not_stall() {
        let mut playhead = play(Preset::HlsJs, &[(0, 1, Whole)], 1);
        playhead.ends_after(SECOND, 0, 2);
        playhead.segment(SECOND, 0, 2, 2 * SECOND, Whole);
        playhead.advance(9 * SECOND);
        let viewing = playhead.viewing();
        assert_eq!((playhead.state(), seconds(viewing.played_ns), viewing.stalls), (State::Ended, 4, 0));
        // The player shows what it has, although it has not buffered enough for its rule.
        let mut short = Playhead::new(Preset::ExoPlayer.rules(), 1, 0);
        short.ends_after(0, 0, 1);
        short.segment(SECOND, 0, 1, SECOND / 2, Whole);
        assert_eq!((short.state(), short.viewing().startup_ns), (State::Playing, Some(SECOND)));
    }

    #[test]
    fn a_rendition_that_is_not_played_is_not_awaited() {
        let mut playhead = Playhead::new(Preset::HlsJs.rules(), 1, 0);
        playhead.segment(SECOND, 0, 1, 2 * SECOND, Whole);
        let late = playhead.add_rendition();
        playhead.segment(2 * SECOND, 0, 2, 2 * SECOND, Whole);
        playhead.advance(4 * SECOND);
        assert_eq!((playhead.state(), playhead.viewing().stalled_ns), (State::Stalled, 3 * SECOND));
        playhead.set_needed(4 * SECOND, late, false);
        assert_eq!(playhead.state(), State::Playing);
        playhead.advance(5 * SECOND);
        playhead.set_needed(5 * SECOND, late, true);
        playhead.segment(6 * SECOND, late, 9, 2 * SECOND, Whole);
        assert_eq!(playhead.state(), State::Playing, "its first segment is shown from where playback was");
    }

    #[test]
    fn playback_starts_when_the_media_arrived_however_late_that_is_learned() {
        let mut playhead = Playhead::new(Preset::HlsJs.rules(), 1, SECOND);
        playhead.advance(9 * SECOND);
        playhead.segment(3 * SECOND, 0, 1, 4 * SECOND, Whole);
        playhead.advance(9 * SECOND);
        let viewing = playhead.viewing();
        assert_eq!((viewing.startup_ns, seconds(viewing.stalled_ns)), (Some(2 * SECOND), 2));
    }

    proptest! {
        #[test]
        fn what_is_played_has_arrived_and_all_time_is_accounted_for(
            events in proptest::collection::vec((0_u64..4000, 0_u64..12, 1_u64..6000, any::<bool>(), 0_usize..2), 0..60),
            renditions in 1_usize..3,
            preset in proptest::sample::select(Preset::ALL.to_vec()),
        ) {
            let mut playhead = Playhead::new(preset.rules(), renditions, 5);
            let (mut at, mut whole) = (5, std::collections::BTreeMap::new());
            let mut before = Viewing::default();
            for (wait, sequence, milliseconds, arrived, rendition) in events {
                at += wait * 1_000_000;
                let duration_ns = milliseconds * 1_000_000;
                let arrival = if arrived { Whole } else { Missing };
                playhead.segment(at, rendition, sequence, duration_ns, arrival);
                if arrived && rendition == 0 {
                    let longest = whole.entry(sequence).or_insert(0);
                    *longest = duration_ns.max(*longest);
                }
                let viewing = playhead.viewing();
                prop_assert!(viewing.played_ns >= before.played_ns && viewing.stalled_ns >= before.stalled_ns);
                before = viewing;
            }
            at += 60 * SECOND;
            playhead.advance(at);
            let viewing = playhead.viewing();
            prop_assert!(viewing.played_ns <= whole.values().sum::<u64>());
            prop_assert!(viewing.longest_stall_ns <= viewing.stalled_ns);
            if let Some(startup_ns) = viewing.startup_ns {
                prop_assert_eq!(startup_ns + viewing.played_ns + viewing.stalled_ns, at - 5);
                prop_assert!(playhead.position_ns >= viewing.played_ns + viewing.missing_ns);
            } else {
                prop_assert_eq!((viewing.played_ns, viewing.stalled_ns), (0, 0));
            }
        }
    }
}
