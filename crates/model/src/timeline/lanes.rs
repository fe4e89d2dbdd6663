//! Lanes: what single viewers went through, window by window. Of many viewers, the worst ones and a sample are kept.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest number of lanes in a timeline.
pub const MAX_LANES: usize = 40;
/// Of these, those of the viewers with the most problems; the others are a sample.
const WORST: usize = 24;

/// What happened to a viewer within a window: any of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell(u8);

impl Cell {
    /// It played.
    pub const PLAYED: Self = Self(1);
    /// A segment took longer than the limit ([`super::Timeline::slow`]), or than it lasts.
    pub const SLOW: Self = Self(2);
    /// It stalled.
    pub const STALLED: Self = Self(4);
    /// A request or a connection failed.
    pub const FAILED: Self = Self(8);
    /// It was started again.
    pub const RESTARTED: Self = Self(16);
    /// It was starting, or waiting to be started.
    pub const STARTING: Self = Self(32);

    /// Whether it includes `other`.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How bad it is, to find the worst viewers.
    const fn weight(self) -> u64 {
        let Self(bits) = self;
        (bits & Self::SLOW.0 != 0) as u64
            + 3 * (bits & Self::STALLED.0 != 0) as u64
            + 3 * (bits & Self::FAILED.0 != 0) as u64
            + 2 * (bits & Self::RESTARTED.0 != 0) as u64
    }
}

/// One letter per window, the six bits of a [`Cell`] in the alphabet of base64.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The windows of one viewer, from the first window of the timeline on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells(Vec<Cell>);

impl Cells {
    /// The cell of a window.
    #[must_use]
    pub fn get(&self, window: usize) -> Cell {
        self.0.get(window).copied().unwrap_or_default()
    }

    /// The number of windows up to the last one in which something happened.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds to a cell. Returns by how much worse the viewer has become.
    pub(crate) fn add(&mut self, window: usize, cell: Cell) -> u64 {
        if self.0.len() <= window {
            self.0.resize(window + 1, Cell::default());
        }
        let Some(known) = self.0.get_mut(window) else { return 0 };
        let before = known.weight();
        *known = known.and(cell);
        known.weight() - before
    }

    /// The same with the window `place(i)` in place of window i.
    pub(crate) fn moved(&self, place: impl Fn(usize) -> usize) -> Self {
        let mut moved = Self::default();
        for (window, cell) in self.0.iter().enumerate().filter(|(_, cell)| cell.0 != 0) {
            moved.add(place(window), *cell);
        }
        moved
    }

    /// The same in windows twice as long.
    pub(crate) fn halved(&self) -> Self {
        self.moved(|window| window / 2)
    }

    /// How bad it is.
    pub(crate) fn weight(&self) -> u64 {
        self.0.iter().map(|cell| cell.weight()).sum()
    }
}

impl Serialize for Cells {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let letters =
            self.0.iter().map(|cell| char::from(ALPHABET.get(usize::from(cell.0)).copied().unwrap_or(b'A')));
        to.serialize_str(&letters.collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.len() > super::MAX_WINDOWS {
            return Err(D::Error::custom("a lane that is longer than any run has windows"));
        }
        let cell = |letter: u8| {
            let bits = ALPHABET.iter().position(|known| *known == letter)?;
            u8::try_from(bits).ok().map(Cell)
        };
        let cells: Option<Vec<Cell>> = text.bytes().map(cell).collect();
        cells.map(Self).ok_or_else(|| D::Error::custom("a lane that cannot be read"))
    }
}

/// The lane of one viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Viewer number, from 1.
    pub viewer: u64,
    /// Its windows.
    pub cells: Cells,
}

/// The lanes to keep of `lanes`, each with its weight, by viewer number: all of them if there are few, and otherwise the
/// worst ones and a sample of the others.
pub(crate) fn chosen<'a>(lanes: &[(&'a Cells, u64, u64)]) -> Vec<(u64, &'a Cells)> {
    let mut places: Vec<usize> = (0..lanes.len()).collect();
    if lanes.len() > MAX_LANES {
        let weight = |place: &usize| lanes.get(*place).map_or(0, |lane| lane.1);
        places.sort_by_key(|place| (std::cmp::Reverse(weight(place)), *place));
        let worst = places.iter().take(WORST).take_while(|place| weight(place) > 0).count();
        let mut others = places.split_off(worst);
        others.sort_unstable();
        let room = MAX_LANES - worst;
        // The middles of equal parts.
        places.extend((0..room).filter_map(|part| others.get((2 * part + 1) * others.len() / (2 * room))));
        places.sort_unstable();
    }
    places.iter().filter_map(|place| lanes.get(*place)).map(|(cells, _, viewer)| (*viewer, *cells)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_read_as_it_was_written() {
        let mut cells = Cells::default();
        assert_eq!(cells.add(2, Cell::STALLED.and(Cell::PLAYED)), 3);
        assert_eq!(cells.add(2, Cell::STALLED), 0);
        cells.add(3, Cell::STARTING);
        let text = serde_json::to_string(&cells).unwrap();
        assert_eq!(text, "\"AAFg\"");
        assert_eq!(serde_json::from_str::<Cells>(&text).unwrap(), cells);
        assert!(serde_json::from_str::<Cells>("\"A_\"").is_err());
        let halved = cells.halved();
        assert_eq!((halved.len(), halved.get(1)), (2, Cell::PLAYED.and(Cell::STALLED).and(Cell::STARTING)));
    }

    #[test]
    fn of_many_viewers_the_worst_and_a_sample_are_kept() {
        let good = Cells::default();
        let mut bad = Cells::default();
        bad.add(0, Cell::FAILED);
        let lanes: Vec<_> = (1..=1000)
            .map(|viewer| if viewer % 100 == 7 { (&bad, 3, viewer) } else { (&good, 0, viewer) })
            .collect();
        let kept = chosen(&lanes);
        assert_eq!(kept.len(), MAX_LANES);
        assert_eq!(kept.iter().filter(|(_, cells)| **cells == bad).count(), 10, "all of the bad ones");
        assert!(kept.is_sorted_by_key(|(viewer, _)| *viewer));
        assert!(
            kept.first().unwrap().0 < 40 && kept.last().unwrap().0 > 960,
            "over the whole range: {kept:?}"
        );
        assert_eq!(chosen(&lanes[..MAX_LANES]).len(), MAX_LANES);
    }
}
