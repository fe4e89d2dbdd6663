//! The media of one rendition in the order of its media sequence numbers: what arrived, what is missing,
//! and what is still on its way.

use std::collections::VecDeque;

/// The number of segments that a viewer requests at the same time. A segment is missing when a later one than
/// these has been played to its end: viewers request in order, so the segment was left out.
const PARALLEL_REQUESTS: u64 = 2;
/// Segments that are remembered beyond the playhead. More than any live window and buffer hold.
const MAX_SEGMENTS: usize = 100_000;

/// The outcome of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// All of it arrived, and it is media.
    Whole,
    /// It failed, was cut, or was never requested.
    Missing,
    /// The server responded with an error, or with something else than media, although it had just listed the segment.
    Unavailable,
}

/// The media at a position of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// Playable media up to this position.
    Playable {
        /// The end of the playable stretch, nanoseconds.
        until_ns: u64,
    },
    /// Media that will not come, up to this position.
    Gap {
        /// The end of the gap, nanoseconds.
        until_ns: u64,
        /// Whether the server did not have it.
        unavailable: bool,
    },
    /// Nothing yet.
    Awaited,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    duration_ns: u64,
    arrival: Arrival,
}

/// By how many segments the room for them grows. A buffer holds few, and each viewer has one.
const GROWTH: usize = 4;

/// Segments by their media sequence numbers, in ascending order. They arrive at the end and leave at the front, and a map in
/// a tree would take twice the memory.
#[derive(Clone, Debug, Default)]
struct Segments(VecDeque<(u64, Segment)>);

impl Segments {
    /// The index of `sequence`, or the one that it would have.
    fn place(&self, sequence: u64) -> Result<usize, usize> {
        match self.0.back() {
            Some((last, _)) if *last < sequence => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&sequence, |(known, _)| *known),
        }
    }

    fn get(&self, sequence: u64) -> Option<&Segment> {
        self.0.get(self.place(sequence).ok()?).map(|(_, segment)| segment)
    }

    fn last(&self) -> Option<u64> {
        self.0.back().map(|(sequence, _)| *sequence)
    }

    /// The segments from `first` on.
    fn since(&self, first: u64) -> impl Iterator<Item = (u64, &Segment)> {
        let (Ok(place) | Err(place)) = self.place(first);
        self.0.range(place..).map(|(sequence, segment)| (*sequence, segment))
    }

    /// Adds a segment, unless it is known or there is no room. A whole one replaces one that was not.
    fn add(&mut self, sequence: u64, segment: Segment) {
        match self.place(sequence) {
            Ok(place) => {
                if let Some((_, known)) = self.0.get_mut(place)
                    && segment.arrival == Arrival::Whole
                    && known.arrival != Arrival::Whole
                {
                    *known = segment;
                }
            }
            Err(_) if self.0.len() >= MAX_SEGMENTS => {}
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(GROWTH.max(self.0.len() / 4));
                }
                self.0.insert(place, (sequence, segment));
            }
        }
    }

    fn remove(&mut self, sequence: u64) -> Option<Segment> {
        self.0.remove(self.place(sequence).ok()?).map(|(_, segment)| segment)
    }
}

/// One rendition. Positions count from the beginning of the first segment that the viewer chose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    segments: Segments,
    /// The segment at `front_ns`.
    front: Option<u64>,
    front_ns: u64,
    /// The duration of the segment before, for those whose own is not known.
    usual_ns: u64,
    /// Whether the first number after a restart of the media sequence numbers has not been seen yet.
    restarts: bool,
    /// What is added to media sequence numbers since such a restart, modulo 2^64.
    shift: u64,
    /// The last segment of the rendition, if it is known.
    last: Option<u64>,
    ended: bool,
}

impl Timeline {
    /// An empty rendition whose first segment will be shown at `position_ns`.
    pub(crate) fn at(position_ns: u64) -> Self {
        Self { front_ns: position_ns, ..Self::default() }
    }

    /// Records what became of the segment `sequence`. A segment that arrives after all is no longer missing,
    /// unless playback has passed it. Before playback has `started`, the first segments may finish in any order.
    pub(crate) fn insert(&mut self, sequence: u64, duration_ns: u64, arrival: Arrival, started: bool) {
        if std::mem::take(&mut self.restarts)
            && let Some(front) = self.front
        {
            let next = self.segments.last().map_or(front, |last| last.saturating_add(1));
            self.shift = next.max(front).wrapping_sub(sequence);
        }
        let sequence = sequence.wrapping_add(self.shift);
        let front = *self.front.get_or_insert(sequence);
        if sequence < front {
            if started || front - sequence > PARALLEL_REQUESTS {
                return;
            }
            self.front = Some(sequence);
        }
        self.usual_ns = duration_ns;
        self.segments.add(sequence, Segment { duration_ns, arrival });
    }

    /// Restarts the media sequence numbers, as after an encoder's restart: the next segment follows the last
    /// one that is known.
    pub(crate) const fn begin_anew(&mut self) {
        self.restarts = true;
        self.last = None;
    }

    /// No segment will follow those that were requested.
    pub(crate) const fn end(&mut self) {
        self.ended = true;
    }

    /// No segment will follow `sequence`.
    pub(crate) const fn end_after(&mut self, sequence: u64) {
        self.last = Some(sequence.wrapping_add(self.shift));
    }

    /// Whether what is playable at the front will not become more, because a gap or nothing follows it.
    pub(crate) fn is_cut_short(&self) -> bool {
        let Some(front) = self.front else { return false };
        let next = self.segments.since(front).zip(front..).find_map(|((sequence, segment), expected)| {
            let whole = sequence == expected && segment.arrival == Arrival::Whole;
            (!whole).then_some((expected, sequence == expected))
        });
        match next {
            Some((sequence, is_known)) => self.ended || (is_known && self.arrived_after(sequence)),
            None => self.ended,
        }
    }

    /// Whether everything up to the end of the rendition was passed.
    pub(crate) fn is_over(&self) -> bool {
        let passed = |last| self.front.is_some_and(|front| front > last);
        let nothing_left = || self.front.is_none_or(|front| self.segments.since(front).next().is_none());
        self.last.is_some_and(passed) || (self.ended && nothing_left())
    }

    /// The media at the front. A segment that failed is awaited until a later one has arrived: the viewer
    /// may request it again.
    pub(crate) fn at_front(&self) -> Media {
        let Some(front) = self.front else { return Media::Awaited };
        match self.segments.get(front) {
            Some(segment) if segment.arrival == Arrival::Whole => {
                Media::Playable { until_ns: self.front_ns + segment.duration_ns }
            }
            Some(segment) if self.ended || self.arrived_after(front) => {
                let unavailable = segment.arrival == Arrival::Unavailable;
                Media::Gap { until_ns: self.front_ns + segment.duration_ns, unavailable }
            }
            None if self.segments.since(front + PARALLEL_REQUESTS).next().is_some() => {
                Media::Gap { until_ns: self.front_ns + self.usual_ns, unavailable: false }
            }
            _ => Media::Awaited,
        }
    }

    fn arrived_after(&self, front: u64) -> bool {
        self.segments.since(front + 1).any(|(_, segment)| segment.arrival == Arrival::Whole)
    }

    /// Whether all that is left of the rendition is playable.
    pub(crate) fn playable_to_the_end(&self) -> bool {
        let Some(front) = self.front else { return false };
        let whole = |(_, segment): (u64, &Segment)| segment.arrival == Arrival::Whole;
        if self.ended {
            return self.segments.since(front).all(whole);
        }
        self.last.is_some_and(|last| {
            front > last || {
                let to_last = self.segments.since(front).take_while(|(sequence, _)| *sequence <= last);
                to_last.filter(|one| whole(*one)).count() as u64 > last - front
            }
        })
    }

    /// Playable media behind `position_ns` without a break, nanoseconds.
    pub(crate) fn playable_ns(&self, position_ns: u64) -> u64 {
        let mut end_ns = self.front_ns;
        let mut next = self.front;
        while let Some(sequence) = next {
            match self.segments.get(sequence) {
                Some(segment) if segment.arrival == Arrival::Whole => end_ns += segment.duration_ns,
                _ => break,
            }
            next = sequence.checked_add(1);
        }
        end_ns.saturating_sub(position_ns)
    }

    /// Forgets the front segment, because playback has reached its end. Returns its outcome; `None` = there is none.
    pub(crate) fn pass(&mut self) -> Option<Arrival> {
        let front = self.front?;
        let passed = self.segments.remove(front);
        self.front_ns += passed.map_or(self.usual_ns, |segment| segment.duration_ns);
        self.front = front.checked_add(1);
        Some(passed.map_or(Arrival::Missing, |segment| segment.arrival))
    }
}
