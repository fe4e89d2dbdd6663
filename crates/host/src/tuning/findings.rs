//! Settings of an operating system: what each is, what it should be, and whether anything can be done.

use serde::Serialize;

/// How a setting stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "note")]
pub enum State {
    /// As recommended, or better.
    Good,
    /// It differs, and this program can set it until the next boot.
    Differs,
    /// It differs, and takes effect only through files (`persist`) and a new start; why.
    Elsewhere(String),
    /// It differs, and nothing can be done from here; why.
    Denied(String),
    /// It is not there, or means nothing here; why.
    Skipped(String),
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// A sysctl key, `limit.nofile`, `limit.nproc`, `disk.NAME.scheduler` or `disk.NAME.read_ahead_kb`.
    pub name: String,
    /// What it is; absent where it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// What it should be.
    pub wanted: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// Why it should be so.
    pub reason: String,
}

impl Setting {
    /// Whether it is worse than recommended.
    #[must_use]
    pub const fn differs(&self) -> bool {
        matches!(self.state, State::Differs | State::Elsewhere(_) | State::Denied(_))
    }
}

/// The settings of a machine held against a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Name of the profile, with its variant.
    pub profile: String,
    /// What the profile is for.
    pub description: String,
    /// Viewers that the recommendation is for; absent = all of the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// The kernel, as `uname -r` calls it.
    pub kernel: String,
    /// What has to be known about the place: container, virtual machine, network namespace.
    pub place: Vec<String>,
    /// The settings, in the order of the profile.
    pub settings: Vec<Setting>,
}

/// What became of one setting that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the setting.
    pub name: String,
    /// What it was.
    pub from: String,
    /// What it was to become.
    pub to: String,
    /// Why it did not, if so.
    pub failed: Option<String>,
}
