//! The choice among variants, and switches between them.

use std::sync::Arc;
use std::time::Duration;

use super::open::audio_of;
use super::track::Source;
use super::*;
use crate::abr::{GivenUp, UnderWay, View};

impl Player {
    /// What adaptation decides on.
    pub(super) fn view(&self) -> View<'_> {
        let live = self.is_live();
        let ahead = self.main().filter(|_| live).and_then(|track| {
            Some(track.next_ns.saturating_add(track.listed_ns()?).saturating_sub(self.position_ns()))
        });
        View {
            now: self.now,
            levels: &self.levels,
            current: self.level,
            buffer: self.playhead.as_ref().map_or(0, Playhead::buffered_ns) as f64 / 1e9,
            duration: self.duration,
            live,
            available: ahead.map(|ns| ns as f64 / 1e9),
        }
    }

    /// Runs something of the algorithm on the present view.
    pub(super) fn adapt<T>(&mut self, decide: impl FnOnce(&mut Abr, &View<'_>) -> T) -> T {
        let mut abr = std::mem::replace(&mut self.abr, Abr::Fixed);
        let decided = decide(&mut abr, &self.view());
        self.abr = abr;
        decided
    }

    /// Chooses the level after a segment has arrived.
    pub(super) fn choose_level(&mut self, outputs: &mut Vec<Output>) {
        // Another variant is continued at the beginning of a segment.
        let between = |main: &Track| main.load.is_none() && main.before_switch.is_none() && main.part == 0;
        let idle = self.main().is_some_and(between);
        if !self.choose || !idle || self.levels.len() < 2 || self.plays_all() {
            return;
        }
        self.choose = false;
        let level = self.adapt(|abr, view| abr.next(view));
        if level != self.level {
            self.switch_to(level, outputs);
        }
    }

    /// When the level is to be chosen anew if nothing arrives until then.
    pub(super) fn choose_at(&self) -> Option<Duration> {
        let main = self.main().filter(|main| main.load.is_none())?;
        let playhead = self.playhead.as_ref().filter(|playhead| playhead.state() == State::Playing)?;
        let below = self.abr.chooses_again_below(&self.view())?;
        let excess = playhead.buffered_ns().checked_sub(list::to_ns(below))?;
        (self.levels.len() > 1 && main.next.is_some()).then(|| self.now + Duration::from_nanos(excess + 1))
    }

    /// Requests the segments of this level from now on.
    pub(super) fn switch_to(&mut self, level: usize, outputs: &mut Vec<Output>) {
        let Some((from, to)) = self.levels.get(self.level).zip(self.levels.get(level)).map(|(a, b)| (*a, *b))
        else {
            return;
        };
        let up = to.bandwidth > from.bandwidth;
        self.level = level;
        if up {
            self.figures.switches_up += 1;
        } else {
            self.figures.switches_down += 1;
        }
        let kind = EventKind::Switched { from: from.variant, to: to.variant, up };
        self.event(self.now, kind, outputs);
        let known = self.ended.iter().find(|(variant, _)| *variant == to.variant);
        let known = known.map(|(_, playlist)| Arc::clone(playlist));
        self.tracks[0].is_another_level = true;
        self.move_track(0, Source::Variant(to.variant), known, outputs);
        let audio = self.list().and_then(|list| audio_of(list, to.variant));
        let track = self.tracks.iter().position(|track| track.role == Role::Audio);
        if let (Some(audio), Some(index)) = (audio, track)
            && self.tracks[index].source != audio
        {
            self.move_track(index, audio, None, outputs);
        }
    }

    /// Decides whether the last segment is loaded again after a switch. A viewer does not know whether the audio of a segment is
    /// shorter than its video: by chance, half of them are.
    pub(super) fn search_after_switch(&mut self, index: usize) {
        let settled = std::mem::take(&mut self.tracks[index].has_settled);
        if !settled || !self.rules.searches_after_switch || self.tracks[index].role != Role::Main {
            return;
        }
        let Some((last, listed)) = self.tracks[index].last_had() else { return };
        self.tracks[index].repeats_last = list::is_found_first(last, listed) && self.chance() < 0.5;
    }

    pub(super) fn move_track(
        &mut self,
        index: usize,
        source: Source,
        known: Option<Arc<Playlist>>,
        outputs: &mut Vec<Output>,
    ) {
        let now = self.now;
        let track = &mut self.tracks[index];
        let load = track.load.take_if(|load| !load.is_given_up).map(|load| load.request);
        outputs.extend(load.into_iter().chain(track.reload.request).map(Output::Abort));
        track.switch(source, known, now);
        self.search_after_switch(index);
    }

    /// Goes to another variant, or else to another pathway, because the present one fails. Returns whether there is one.
    pub(super) fn switch_after_failure(&mut self, outputs: &mut Vec<Output>) -> bool {
        if matches!(self.abr, Abr::Fixed) || self.levels.len() < 2 {
            return self.fail_over(outputs);
        }
        let (now, count) = (self.now, self.levels.len());
        let penalty = self.rules.penalty;
        self.levels[self.level].penalty_until = now.checked_add(penalty).unwrap_or(Duration::MAX);
        // Lower ones first, the next lower one before all; then the highest.
        let others = (1..count).map(|step| (self.level + count - step) % count);
        let next = others.into_iter().find(|level| self.levels[*level].penalty_until <= now);
        match next {
            Some(level) => {
                self.abr.force(level);
                self.switch_to(level, outputs);
            }
            // No variant of this pathway is left.
            None => return self.fail_over(outputs),
        }
        true
    }

    /// Goes on with other media after a rendition has failed: video with another variant or pathway, audio with another
    /// pathway. Returns whether there is any.
    pub(super) fn goes_elsewhere(&mut self, role: Role, outputs: &mut Vec<Output>) -> bool {
        match role {
            Role::Main => self.switch_after_failure(outputs),
            Role::Audio => self.fail_over(outputs),
            Role::Subtitles => false,
        }
    }

    /// Gives all variants another chance, after none of them had a segment.
    pub(super) fn forget_penalties(&mut self) {
        for level in &mut self.levels {
            if level.penalty_until == Duration::MAX {
                level.penalty_until = Duration::ZERO;
            }
        }
    }

    /// The main segment that is under way.
    fn main_load(&self) -> Option<&track::Load> {
        let load = self.main()?.load.as_deref().filter(|load| load.kind == RequestKind::Segment)?;
        let playing = self.playhead.as_ref().is_some_and(|playhead| playhead.state() != State::Starting);
        (playing && self.levels.len() > 1).then_some(load)
    }

    /// What adaptation decides on, for the segment that is under way.
    fn view_of(&self, load: &track::Load) -> View<'_> {
        View { current: load.level, ..self.view() }
    }

    /// When to look at the segment that is under way.
    pub(super) fn look_at(&self) -> Option<Duration> {
        let load = self.main_load()?;
        self.abr.look_at(&self.view_of(load), load.started)
    }

    /// Gives the segment that is under way up for a lower variant, if adaptation decides so. `playlist`: a playlist has
    /// arrived in the meantime.
    pub(super) fn give_up_slow_segment(&mut self, playlist: bool, outputs: &mut Vec<Output>) {
        let Some(load) = self.main_load() else { return };
        let since = |time: Duration| time.saturating_sub(load.started).as_secs_f64();
        let under_way = UnderWay {
            loading: since(self.now),
            ttfb: load.first_byte.map(since),
            bytes: load.bytes,
            length: load.length,
        };
        let (current, was_given_up) = (load.level, load.is_given_up);
        let given_up = self.adapt(|abr, view| {
            let view = View { current, ..*view };
            if playlist {
                abr.abandon_with_playlist(&view, &under_way)
            } else {
                abr.abandon(&view, &under_way)
            }
        });
        let Some(GivenUp { level, immediate }) = given_up.filter(|given_up| given_up.level != current) else {
            return;
        };
        self.figures.abandoned += u32::from(!was_given_up);
        if let Some(load) = &mut self.tracks[0].load {
            load.is_given_up = !immediate;
        }
        if level != self.level {
            self.switch_to(level, outputs);
        } else if immediate && let Some(load) = self.tracks[0].load.take() {
            outputs.push(Output::Abort(load.request));
        }
    }
}
