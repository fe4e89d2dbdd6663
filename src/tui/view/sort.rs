//! The orders of the viewers' table: by number, or what deserves a look first.

use std::cmp::Ordering;

use hls_swarm_model::snapshot::{ViewerRow, ViewerState};

/// What viewers are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Number, ascending.
    #[default]
    Number,
    /// State: what does not play first.
    State,
    /// Speed, slowest first.
    Speed,
    /// Drift, farthest behind first.
    Drift,
    /// HTTP errors, most first.
    Errors,
    /// Starts, most first.
    Starts,
    /// Body bytes, most first.
    Bytes,
}

impl Sort {
    /// All orders, in the order in which the key goes through them.
    pub const ALL: [Self; 7] =
        [Self::Number, Self::State, Self::Speed, Self::Drift, Self::Errors, Self::Starts, Self::Bytes];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::State => "state, not playing first",
            Self::Speed => "speed, slowest first",
            Self::Drift => "drift, farthest behind first",
            Self::Errors => "HTTP errors, most first",
            Self::Starts => "starts, most first",
            Self::Bytes => "body bytes, most first",
        }
    }

    /// The order after this one.
    #[must_use]
    pub fn next(self) -> Self {
        let position = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL.get(position + 1).copied().unwrap_or_default()
    }

    fn compare(self, a: &ViewerRow, b: &ViewerRow) -> Ordering {
        match self {
            Self::Number => Ordering::Equal,
            Self::State => urgency(a.state).cmp(&urgency(b.state)),
            Self::Speed => number(a.speed, f64::INFINITY).total_cmp(&number(b.speed, f64::INFINITY)),
            Self::Drift => number(b.drift_seconds, f64::NEG_INFINITY)
                .total_cmp(&number(a.drift_seconds, f64::NEG_INFINITY)),
            Self::Errors => errors(b).cmp(&errors(a)),
            Self::Starts => b.starts.cmp(&a.starts),
            Self::Bytes => b.bytes.total().cmp(&a.bytes.total()),
        }
    }
}

/// The rows in order; equal ones by number.
#[must_use]
pub fn order(rows: &[ViewerRow], sort: Sort) -> Vec<&ViewerRow> {
    let mut order: Vec<&ViewerRow> = rows.iter().collect();
    order.sort_by(|a, b| sort.compare(a, b).then(a.viewer.cmp(&b.viewer)));
    order
}

/// Responses of a viewer with a status of 400 or above.
#[must_use]
pub fn errors(row: &ViewerRow) -> u64 {
    row.http_status.range(400..).map(|(_, count)| count).sum()
}

/// What is unknown goes last.
fn number(value: Option<f64>, last: f64) -> f64 {
    value.unwrap_or(last)
}

const fn urgency(state: ViewerState) -> u8 {
    match state {
        ViewerState::Stalled | ViewerState::Silent => 0,
        ViewerState::Waiting => 1,
        ViewerState::Starting => 2,
        ViewerState::Ended => 3,
        ViewerState::Playing => 4,
    }
}
