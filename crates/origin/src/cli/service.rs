//! Flags of `hls-origin` for what surrounds the stream: metrics for Prometheus, faults, and serving
//! without other programs.

use std::fmt;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize, Serializer};

/// What surrounds the stream.
#[derive(Args, Clone, Debug, Default)]
pub struct ServiceArgs {
    /// Port of the host's metrics, with the names of node_exporter; 0 chooses a free port, `off` disables them
    /// [default: 9100, or a free one with --port 0]
    #[arg(long, env = "HLS_ORIGIN_NODE_METRICS_PORT", value_name = "PORT|off", help_heading = "Metrics")]
    pub node_metrics_port: Option<MetricsPort>,

    /// Port of nginx's metrics and the origin's own (hls_origin_…); 0 chooses a free port, `off` disables them
    /// [default: 9113, or a free one with --port 0]
    #[arg(long, env = "HLS_ORIGIN_NGINX_METRICS_PORT", value_name = "PORT|off", help_heading = "Metrics")]
    pub nginx_metrics_port: Option<MetricsPort>,

    /// Serve a synthetic stream from memory, without FFmpeg and nginx
    #[arg(long, help_heading = "Stream")]
    pub embedded: bool,

    /// Inject this fault once the origin is ready, for example status=503,rate=5% (may be repeated)
    #[arg(long = "fault", value_name = "FAULT", help_heading = "Faults")]
    pub fault: Vec<String>,

    /// Allow faults to be added while it runs (see `hls-origin fault`); --fault implies it
    #[arg(long, help_heading = "Faults")]
    pub faults: bool,

    /// Seed of the random decisions; the same seed and requests give the same faults
    /// [default: random]
    #[arg(long, value_name = "NUMBER", help_heading = "Faults")]
    pub fault_seed: Option<u64>,

    /// Port of the fault control API on loopback; 0 chooses a free port
    /// [default: 17081, or a free one with --port 0]
    #[arg(long, value_name = "PORT", help_heading = "Faults")]
    pub control_port: Option<u16>,
}

impl ServiceArgs {
    /// Whether faults are enabled.
    #[must_use]
    pub const fn faulty(&self) -> bool {
        self.faults || !self.fault.is_empty()
    }
}

/// Add and remove faults of a running origin, which must run with --faults or --fault.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-origin fault", version, max_term_width = 100)]
pub struct FaultArgs {
    /// Address of the origin's fault control API, as printed in its READY message
    #[arg(
        long,
        global = true,
        env = "HLS_ORIGIN_CONTROL",
        default_value = "127.0.0.1:17081",
        value_name = "ADDRESS:PORT"
    )]
    pub control: String,

    /// What to do.
    #[command(subcommand)]
    pub action: FaultAction,
}

/// An operation on the faults.
#[derive(Clone, Debug, Subcommand)]
pub enum FaultAction {
    /// List the active faults, and how many times each was injected
    List,
    /// Add faults
    Add {
        /// A kind, its value and options, for example delay=200ms,path=*.m3u8
        #[arg(required = true, value_name = "FAULT")]
        faults: Vec<String>,
    },
    /// Remove faults
    Remove {
        /// Numbers as printed by `list`
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
    },
    /// Remove all faults
    Clear,
}

/// A port, or off. In a profile: a number or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Typed")]
pub enum MetricsPort {
    /// The endpoint is off.
    Off,
    /// The endpoint listens on this port; 0 chooses a free one.
    On(u16),
}

impl Serialize for MetricsPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On(port) => serializer.serialize_u16(*port),
        }
    }
}

/// A port as written in TOML.
#[derive(Deserialize)]
#[serde(untagged)]
enum Typed {
    Number(i64),
    Text(String),
}

/// The error for an invalid port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPort(String);

impl fmt::Display for InvalidPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid port \"{}\": expected 0 to 65535, or off", self.0)
    }
}

impl std::error::Error for InvalidPort {}

impl FromStr for MetricsPort {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        match text {
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::On).map_err(|_| InvalidPort(text.to_owned())),
        }
    }
}

impl TryFrom<Typed> for MetricsPort {
    type Error = InvalidPort;

    fn try_from(typed: Typed) -> Result<Self, InvalidPort> {
        match typed {
            Typed::Number(number) => number.to_string().parse(),
            Typed::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_off_are_parsed() {
        assert_eq!("9100".parse(), Ok(MetricsPort::On(9100)));
        assert_eq!("0".parse(), Ok(MetricsPort::On(0)));
        assert_eq!("off".parse(), Ok(MetricsPort::Off));
        let error = "70000".parse::<MetricsPort>().unwrap_err();
        assert_eq!(error.to_string(), "invalid port \"70000\": expected 0 to 65535, or off");
    }
}
