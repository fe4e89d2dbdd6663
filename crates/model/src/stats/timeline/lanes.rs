//! The lanes of all viewers, of which a timeline shows some.

use crate::timeline::lanes::{Cell, Cells, Lane, chosen};

/// Viewers that have a lane, those with the lowest numbers. At 240 windows they take 5 MB.
const MAX_VIEWERS: usize = 20_000;

/// A lane by viewer number, and how bad each is. A shard has the numbers of its viewers only.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(Vec<Option<(Cells, u64)>>);

impl Lanes {
    pub(super) fn add(&mut self, viewer: u32, window: usize, cell: Cell) {
        let Some(place) = (viewer as usize).checked_sub(1).filter(|place| *place < MAX_VIEWERS) else {
            return;
        };
        if self.0.len() <= place {
            self.0.resize_with(place + 1, Default::default);
        }
        if let Some(lane) = self.0.get_mut(place) {
            let (cells, weight) = lane.get_or_insert_default();
            *weight += cells.add(window, cell);
        }
    }

    pub(super) fn halve(&mut self) {
        for (cells, weight) in self.0.iter_mut().flatten() {
            *cells = cells.halved();
            *weight = cells.weight();
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().flatten().count() as u64
    }

    /// The lanes to show.
    pub(super) fn chosen(&self) -> Vec<Lane> {
        let numbered = self.0.iter().zip(1..).filter_map(|(lane, viewer)| Some((lane.as_ref()?, viewer)));
        let weighed: Vec<(&Cells, u64, u64)> =
            numbered.map(|((cells, weight), viewer)| (cells, *weight, viewer)).collect();
        let lane = |(viewer, cells): (u64, &Cells)| Lane { viewer, cells: cells.clone() };
        chosen(&weighed).into_iter().map(lane).collect()
    }
}
