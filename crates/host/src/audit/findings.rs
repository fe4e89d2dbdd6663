//! What an audit of a streaming server found.

use clap::ValueEnum;
use serde::Serialize;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth doing.
    Low,
    /// It costs quality or room under load.
    Moderate,
    /// The server will not hold its viewers.
    Critical,
}

impl Severity {
    /// All, the gravest first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Moderate, Self::Low];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Moderate => "moderate",
            Self::Low => "low",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check, for programs.
    pub check: String,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, in a line.
    pub title: String,
    /// What was seen, and where.
    pub evidence: Vec<String>,
    /// What it does to so many viewers.
    pub effect: String,
    /// What to do.
    pub fix: String,
    /// Commands that do it, where it is no matter of nginx's files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// A unified diff that does it, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// A check that could not be made, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Name of the check.
    pub check: String,
    /// Why it could not be made.
    pub why: String,
}

/// A limit of the server, in viewers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CapacityLimit {
    /// What runs out.
    pub name: String,
    /// Viewers that fit; absent where it is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<u64>,
    /// How it is computed, with the numbers.
    pub formula: String,
}

/// How many viewers the server holds by arithmetic, in the worst moment: no measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// As it is.
    pub before: Vec<CapacityLimit>,
    /// With every fix.
    pub after: Vec<CapacityLimit>,
}

impl Capacity {
    /// The nearest of some walls.
    #[must_use]
    pub fn lowest(limits_of: &[CapacityLimit]) -> Option<(&CapacityLimit, u64)> {
        limits_of
            .iter()
            .filter_map(|capacity_limit| Some((capacity_limit, capacity_limit.viewers?)))
            .min_by_key(|(_, viewers)| *viewers)
    }
}

/// An audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// What was audited.
    pub subject: String,
    /// Viewers that it is to hold.
    pub viewers: u32,
    /// Findings, the gravest first.
    pub findings: Vec<Finding>,
    /// Checks that found nothing wrong, with what they saw.
    pub good: Vec<(String, String)>,
    /// Checks that could not be made.
    pub unknown: Vec<Unknown>,
    /// The arithmetic.
    pub capacity: Capacity,
    /// All fixes of nginx's files as one unified diff; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

impl Audit {
    /// The gravest finding.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
