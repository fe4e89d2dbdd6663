//! Checks of the media itself, from the segments that viewers read: times against playlists, bodies of one URL against each
//! other, and bit rates against what multivariant playlists announce.

mod bit_rates;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hls_swarm_media::{Times, Unread};

use crate::listed::VariantLabel;
use crate::metric::counters::{Counter, Counters};
use crate::recent::Recent;
use crate::segment_read::SegmentRead;
use crate::snapshot::{ContentChecks, Deviation, DeviationKind, DifferingBodies, SentBody};

use bit_rates::VariantRates;

/// The number of segments that are remembered: hours of a live stream with several variants.
const SEGMENTS: usize = 20_000;
/// The number of different bodies, and of servers of each, that are distinguished.
const BODIES: usize = 4;
/// The number of findings from which the listed ones are chosen.
const FINDINGS: usize = 1000;
/// By how much times may deviate from a playlist, microseconds: a hole of this length is what hls.js jumps over
/// (`maxBufferHole`).
const TOLERANCE_US: u64 = 100_000;
/// The same where durations are rounded to seconds.
const ROUNDED_US: u64 = 500_000;

/// The checks so far.
#[derive(Clone, Debug)]
pub(crate) struct ContentChecker {
    /// The segments, by the hash of their URLs.
    known: Recent<u64, Known>,
    /// By the hash of a segment that was not read yet: the one after it.
    awaited: Recent<u64, u64>,
    segments: u64,
    compared: u64,
    unread: BTreeMap<Unread, u64>,
    deviations: Vec<Deviation>,
    differing: BTreeMap<u64, DifferingBodies>,
    rates: VariantRates,
}

/// A segment that was read.
#[derive(Clone, Debug)]
struct Known {
    name: Box<str>,
    variant: Option<Arc<VariantLabel>>,
    sequence: u64,
    announced_us: u64,
    tolerance_us: u64,
    times: Result<Times, Unread>,
    bodies: Vec<Body>,
}

#[derive(Clone, Debug)]
struct Body {
    hash: u64,
    bytes: u64,
    times: u64,
    edges: Vec<IpAddr>,
}

impl Default for ContentChecker {
    fn default() -> Self {
        Self {
            known: Recent::new(SEGMENTS),
            awaited: Recent::new(SEGMENTS),
            segments: 0,
            compared: 0,
            unread: BTreeMap::new(),
            deviations: Vec::new(),
            differing: BTreeMap::new(),
            rates: VariantRates::default(),
        }
    }
}

impl ContentChecker {
    /// Adds a segment that a viewer read, and counts what is found.
    pub(crate) fn add(&mut self, read: SegmentRead, counters: &mut Counters) {
        match self.known.renew(&read.url, |_| 1) {
            Some(known) => {
                let had_times = known.times.is_ok();
                if let (Err(before), true) = (known.times, read.times.is_ok()) {
                    known.times = read.times;
                    if let Some(count) = self.unread.get_mut(&before) {
                        *count = count.saturating_sub(1);
                    }
                }
                if let Some(hash) = read.hash {
                    self.compared += u64::from(!known.bodies.is_empty());
                    let differs = known.sent(hash, &read);
                    counters.add(Counter::BodiesDiffering, u64::from(differs));
                    if known.bodies.len() > 1
                        && (self.differing.len() < FINDINGS || self.differing.contains_key(&read.url))
                    {
                        self.differing.insert(read.url, known.differing());
                    }
                }
                if had_times {
                    return;
                }
            }
            None => {
                self.segments += 1;
                self.rates.add(&read);
                if let Err(reason) = read.times {
                    *self.unread.entry(reason).or_default() += 1;
                }
                self.known.insert(read.url, Known::new(&read), 1);
            }
        }
        if read.times.is_ok() {
            self.check(&read, counters);
        }
    }

    /// Compares the times of a segment with its playlist, and with those of its neighbours.
    fn check(&mut self, read: &SegmentRead, counters: &mut Counters) {
        let mut found: Vec<Deviation> = Vec::new();
        let Some(known) = self.known.get(&read.url) else { return };
        found.extend(known.duration());
        match read.before.map(|before| (before, self.known.get(&before))) {
            Some((_, Some(before))) => found.extend(before.step_to(known)),
            Some((before, None)) => self.awaited.insert(before, read.url, 1),
            None => {}
        }
        if let Some(after) = self.awaited.remove(&read.url) {
            found.extend(self.known.get(&after).and_then(|after| known.step_to(after)));
        }
        for deviation in found {
            let counter = match deviation.kind {
                DeviationKind::Duration => Counter::DurationsWrong,
                DeviationKind::Gap | DeviationKind::Overlap => Counter::TimestampGaps,
            };
            counters.add(counter, 1);
            if self.deviations.len() < FINDINGS {
                self.deviations.push(deviation);
            }
        }
    }

    /// What was found; `None` if no segment was read.
    pub(crate) fn checks(&self) -> Option<ContentChecks> {
        let unread = self.unread.iter().filter(|(_, count)| **count > 0);
        let mut checks = ContentChecks {
            segments: self.segments,
            unread: unread.map(|(reason, count)| (reason.name().to_owned(), *count)).collect(),
            compared: self.compared,
            deviations: self.deviations.clone(),
            differing: self.differing.values().cloned().collect(),
            bit_rates: self.rates.rows(),
        };
        checks.arrange();
        (self.segments > 0).then_some(checks)
    }
}

impl Known {
    fn new(read: &SegmentRead) -> Self {
        let mut known = Self {
            name: read.name.clone(),
            variant: read.variant.clone(),
            sequence: read.sequence,
            announced_us: read.announced_us,
            tolerance_us: if read.whole_seconds { ROUNDED_US } else { TOLERANCE_US },
            times: read.times,
            bodies: Vec::new(),
        };
        if let Some(hash) = read.hash {
            known.sent(hash, read);
        }
        known
    }

    fn label(&self) -> Option<String> {
        self.variant.as_ref().map(|label| label.name.clone())
    }

    /// Adds a body. Returns whether it differs from the first one.
    fn sent(&mut self, hash: u64, read: &SegmentRead) -> bool {
        let place = self.bodies.iter().position(|body| (body.hash, body.bytes) == (hash, read.bytes));
        let differs = place.map_or(!self.bodies.is_empty(), |place| place > 0);
        if place.is_none() && self.bodies.len() < BODIES {
            self.bodies.push(Body { hash, bytes: read.bytes, times: 0, edges: Vec::new() });
        }
        let body = match place {
            Some(place) => self.bodies.get_mut(place),
            None => self.bodies.last_mut().filter(|body| body.hash == hash),
        };
        if let Some(body) = body {
            body.times += 1;
            if let Some(edge) =
                read.edge.filter(|edge| !body.edges.contains(edge) && body.edges.len() < BODIES)
            {
                body.edges.push(edge);
            }
        }
        differs
    }

    fn differing(&self) -> DifferingBodies {
        let body = |body: &Body| SentBody {
            bytes: body.bytes,
            sha256: format!("{:016x}", body.hash),
            times: body.times,
            edges: body.edges.iter().map(ToString::to_string).collect(),
        };
        DifferingBodies {
            name: self.name.to_string(),
            variant: self.label(),
            media_sequence: self.sequence,
            bodies: self.bodies.iter().map(body).collect(),
        }
    }

    fn deviation(&self, kind: DeviationKind, us: i64) -> Deviation {
        Deviation {
            kind,
            name: self.name.to_string(),
            variant: self.label(),
            media_sequence: self.sequence,
            extinf_seconds: self.announced_us as f64 / 1e6,
            deviation_seconds: us as f64 / 1e6,
        }
    }

    /// The deviation of its duration from EXTINF, if it is too large.
    fn duration(&self) -> Option<Deviation> {
        let times = self.times.ok()?;
        let us = i64::try_from(times.duration_us?).ok()? - i64::try_from(self.announced_us).ok()?;
        let is_wrong = us.unsigned_abs() > self.tolerance_us.saturating_add(times.error_us);
        is_wrong.then(|| self.deviation(DeviationKind::Duration, us))
    }

    /// The gap between its end and the beginning of `next`, or their overlap, if it is too large.
    fn step_to(&self, next: &Self) -> Option<Deviation> {
        let (own, other) = (self.times.ok()?, next.times.ok()?);
        let (lasts_us, most) = match own.duration_us {
            Some(duration) => (duration, TOLERANCE_US.saturating_add(own.error_us)),
            None => (self.announced_us, self.tolerance_us),
        };
        let gap = own.gap_us(lasts_us, &other);
        let kind = if gap > 0 { DeviationKind::Gap } else { DeviationKind::Overlap };
        let length = i64::try_from(gap.unsigned_abs()).unwrap_or(i64::MAX);
        (gap.unsigned_abs() > most).then(|| next.deviation(kind, length))
    }
}

#[cfg(test)]
mod tests;
