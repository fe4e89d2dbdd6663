//! Findings of an audit.

use clap::ValueEnum;
use serde::Serialize;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An improvement.
    Low,
    /// It reduces quality, security, or headroom under load.
    Moderate,
    /// The server cannot serve its viewers.
    Critical,
}

impl Severity {
    /// All severities, the highest first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Moderate, Self::Low];

    /// Returns the name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Moderate => "moderate",
            Self::Low => "low",
        }
    }
}

/// Phase of the work that a fix belongs to, in the order in which the fixes are best applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Apply `fix.patch` and reload nginx: minutes, and no response changes.
    Patch,
    /// Run commands: an hour, some of them restart a service.
    Commands,
    /// Edit and test nginx's configuration manually: a day, because responses change.
    Configuration,
    /// Change the encoder or the application: days.
    Application,
}

impl Phase {
    /// All phases in their order.
    pub const ALL: [Self; 4] = [Self::Patch, Self::Commands, Self::Configuration, Self::Application];

    /// Returns the description of the phase.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Patch => "minutes: apply fix.patch, reload nginx",
            Self::Commands => "an hour: run the commands",
            Self::Configuration => "a day: edit nginx's configuration manually and test it",
            Self::Application => "days: change the encoder or the application",
        }
    }
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check.
    pub check: String,
    /// Severity.
    pub severity: Severity,
    /// Phase of the work that the fix belongs to.
    pub phase: Phase,
    /// Description in one line.
    pub title: String,
    /// Evidence, with its place.
    pub evidence: Vec<String>,
    /// Effect on the viewers that the audit is for.
    pub effect: String,
    /// What the fix brought in the benchmark; absent if it is not measured there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
    /// Fix in words.
    pub fix: String,
    /// Commands that apply the fix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// Configuration that an operator may adapt; it changes responses, so it is not part of a patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// A unified diff that applies the fix and changes no response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// Files that the finding counted and that can be removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// A check that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Name of the check.
    pub check: String,
    /// Reason why it could not be made.
    pub why: String,
}

/// A capacity limit, in viewers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CapacityLimit {
    /// The resource that is exhausted.
    pub name: String,
    /// Number of viewers that it suffices for; absent where it is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<u64>,
    /// Formula with its numbers.
    pub formula: String,
}

/// Calculated number of viewers in the worst case; it is not a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// Limits of the server as it is.
    pub before: Vec<CapacityLimit>,
    /// Limits after all fixes.
    pub after: Vec<CapacityLimit>,
}

impl Capacity {
    /// Returns the lowest of some limits.
    #[must_use]
    pub fn lowest(limits: &[CapacityLimit]) -> Option<(&CapacityLimit, u64)> {
        limits.iter().filter_map(|limit| Some((limit, limit.viewers?))).min_by_key(|(_, viewers)| *viewers)
    }
}

/// Result of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Subject of the audit.
    pub subject: String,
    /// Notes about the subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Viewers that the server is to serve.
    pub viewers: u32,
    /// Conclusion in one line: for how many viewers the server is ready.
    pub verdict: String,
    /// Findings, the highest severity first.
    pub findings: Vec<Finding>,
    /// Checks without a finding, with what they saw.
    pub good: Vec<(String, String)>,
    /// Checks that could not be made.
    pub unknown: Vec<Unknown>,
    /// Calculated capacity.
    pub capacity: Capacity,
    /// A shell script that applies the patch; absent without a patch.
    #[serde(skip)]
    pub script: Option<String>,
    /// All patches of nginx's files as one unified diff; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

impl Audit {
    /// Returns the highest severity of all findings.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Returns the findings by the phase of the work, in the order in which the fixes are best applied.
    pub fn order(&self) -> impl Iterator<Item = (Phase, Vec<&Finding>)> {
        Phase::ALL.into_iter().filter_map(|phase| {
            let of_phase: Vec<_> = self.findings.iter().filter(|finding| finding.phase == phase).collect();
            (!of_phase.is_empty()).then_some((phase, of_phase))
        })
    }
}
