//! The verdict on a run, as views show it; [`criteria`] makes it.

pub mod abort;
pub mod absent;
pub mod criteria;
pub mod error_rate_limit;
pub(crate) mod figure;
pub mod so_far;
pub mod threshold;
mod validity;

use serde::{Deserialize, Serialize};

use crate::metric::{self, Unit};

/// The verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictKind {
    /// Every criterion was met.
    Pass,
    /// A criterion was not met, or no viewer ever played.
    Fail,
    /// The run proves nothing.
    Invalid,
    /// It was interrupted.
    Aborted,
}

impl VerdictKind {
    /// The name at the end of a summary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Invalid => "INVALID",
            Self::Aborted => "ABORTED",
        }
    }
}

/// One criterion and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// Its name.
    pub name: String,
    /// The requirement, for people.
    pub limit: String,
    /// The measured value; absent if nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Whether it was met.
    pub met: bool,
    /// Whether it failed for a reason that the condition of the load generator cannot have caused. Such a failure
    /// counts even if the run is otherwise invalid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certain: bool,
}

impl Criterion {
    /// The criterion `name` of the catalogue with what was measured.
    pub(crate) fn new(name: &str, limit: impl Into<String>, value: Option<f64>, met: bool) -> Self {
        Self { name: name.to_owned(), limit: limit.into(), value, met, certain: false }
    }

    /// The same criterion, failed for certain if `certain`.
    pub(crate) fn certain(self, certain: bool) -> Self {
        Self { certain: certain && !self.met, ..self }
    }

    /// The measured value, for people.
    #[must_use]
    pub fn value_text(&self) -> String {
        let unit = metric::find(&self.name).map_or(Unit::Count, |metric| metric.unit);
        self.value.map_or_else(|| "nothing measured".to_owned(), |value| unit.text(value))
    }

    /// Its metric; `None` for names that this version does not know.
    #[must_use]
    pub fn meaning(&self) -> Option<&'static str> {
        metric::find(&self.name).map(|metric| metric.help.as_str())
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The verdict in one word.
    #[serde(rename = "verdict")]
    pub kind: VerdictKind,
    /// The exit code.
    pub exit_code: u8,
    /// The criteria.
    pub criteria: Vec<Criterion>,
    /// The reasons why the run proves nothing; empty if it is valid.
    pub invalid_because: Vec<String>,
    /// Observations that make figures less exact, but not invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Whether a criterion failed for a reason that the condition of the load generator cannot have caused.
    #[must_use]
    pub fn has_certain_failure(&self) -> bool {
        self.criteria.iter().any(|criterion| criterion.certain)
    }
}
