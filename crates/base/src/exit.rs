//! Exit codes: the verdict for shells, CI jobs and systemd.

use std::process::ExitCode;

/// The exit code of a program. The numbers are stable, because users' scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: every criterion was met.
    Pass,
    /// 1: a defect of this program, never of the stream.
    Internal,
    /// 2: the command line or the configuration is not valid.
    Usage,
    /// 3: the machine, FFmpeg or the URL cannot be used for the run; nothing was started.
    Preflight,
    /// 4: the run is valid and a criterion was not met.
    Criteria,
    /// 5: the run proves nothing: the load generator was the bottleneck, or measurements were lost.
    Invalid,
    /// 6: no viewer ever played.
    NeverPlayed,
    /// 128 + signal: stopped by a signal before its planned end.
    Signal(u8),
}

impl Exit {
    /// Every exit with a number of its own, for help texts and tests.
    pub const NAMED: [Self; 7] = [
        Self::Pass,
        Self::Internal,
        Self::Usage,
        Self::Preflight,
        Self::Criteria,
        Self::Invalid,
        Self::NeverPlayed,
    ];

    /// The number given to the operating system.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Preflight => 3,
            Self::Criteria => 4,
            Self::Invalid => 5,
            Self::NeverPlayed => 6,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }

    /// Description in one line, for help texts and documentation.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Pass => "pass: every criterion was met",
            Self::Internal => "internal: a defect of this program, or a refusal of the operating system",
            Self::Usage => "usage: the command line or the configuration is not valid",
            Self::Preflight => {
                "preflight: the machine, FFmpeg or the URL cannot be used; nothing was started"
            }
            Self::Criteria => "fail: a threshold or success criterion was not met",
            Self::Invalid => "invalid: the load generator was the bottleneck, or measurements were lost",
            Self::NeverPlayed => "never played: no viewer ever played",
            Self::Signal(_) => "aborted: stopped by a signal before the planned end",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
