//! Flags of `hls-origin` for what surrounds the stream: metrics for Prometheus, faults, and serving
//! without other programs.

use std::fmt;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize, Serializer};

/// What surrounds the stream.
#[derive(Args, Clone, Debug, Default)]
pub struct ServiceArgs {
    /// Port of the host's metrics, named as node_exporter names them; 0 takes a free one, `off` none
    /// [default: 9100, or a free one with --port 0]
    #[arg(long, env = "HLS_ORIGIN_NODE_METRICS_PORT", value_name = "PORT|off", help_heading = "Metrics")]
    pub node_metrics_port: Option<MetricsPort>,

    /// Port of nginx's metrics and the origin's own (hls_origin_…); 0 takes a free one, `off` none
    /// [default: 9113, or a free one with --port 0]
    #[arg(long, env = "HLS_ORIGIN_NGINX_METRICS_PORT", value_name = "PORT|off", help_heading = "Metrics")]
    pub nginx_metrics_port: Option<MetricsPort>,

    /// Serve a synthetic stream from memory: neither FFmpeg nor nginx is needed
    #[arg(long, help_heading = "Stream")]
    pub embedded: bool,

    /// Make this fault from READY on, for example status=503,rate=5% (may be repeated)
    #[arg(long = "fault", value_name = "FAULT", help_heading = "Faults")]
    pub fault: Vec<String>,

    /// Let faults be turned on while it runs (see `hls-origin fault`); --fault does so, too
    #[arg(long, help_heading = "Faults")]
    pub faults: bool,

    /// What chance begins with; the same seed and the same requests give the same faults
    /// [default: by chance]
    #[arg(long, value_name = "NUMBER", help_heading = "Faults")]
    pub fault_seed: Option<u64>,

    /// Port on loopback by which faults are turned on and off; 0 takes a free one
    /// [default: 17081, or a free one with --port 0]
    #[arg(long, value_name = "PORT", help_heading = "Faults")]
    pub control_port: Option<u16>,
}

impl ServiceArgs {
    /// Whether faults were enabled.
    #[must_use]
    pub const fn faulty(&self) -> bool {
        self.faults || !self.fault.is_empty()
    }
}

/// Turn faults of a running origin on and off. It has to run with --faults or --fault.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-origin fault", version, max_term_width = 100)]
pub struct FaultArgs {
    /// Where the origin's control of faults is, as READY says
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

/// What to do about faults.
#[derive(Clone, Debug, Subcommand)]
pub enum FaultAction {
    /// Show which faults are on, and how often each has struck
    List,
    /// Turn faults on
    Add {
        /// A kind, its value and options, for example delay=200ms,path=*.m3u8
        #[arg(required = true, value_name = "FAULT")]
        faults: Vec<String>,
    },
    /// Turn faults off
    Remove {
        /// Numbers as `list` shows them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
    },
    /// Turn all faults off
    Clear,
}

/// A port, or none at all. In a profile: a number or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Typed")]
pub enum MetricsPort {
    /// Nothing is served.
    Off,
    /// Served on this port; 0 is a free one.
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

/// A port as it may stand in TOML.
#[derive(Deserialize)]
#[serde(untagged)]
enum Typed {
    Number(i64),
    Text(String),
}

/// Why a text is no port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAPort(String);

impl fmt::Display for NotAPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is neither a port (0 to 65535) nor off", self.0)
    }
}

impl std::error::Error for NotAPort {}

impl FromStr for MetricsPort {
    type Err = NotAPort;

    fn from_str(text: &str) -> Result<Self, NotAPort> {
        match text {
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::On).map_err(|_| NotAPort(text.to_owned())),
        }
    }
}

impl TryFrom<Typed> for MetricsPort {
    type Error = NotAPort;

    fn try_from(typed: Typed) -> Result<Self, NotAPort> {
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
    fn a_port_a_free_one_or_none() {
        assert_eq!("9100".parse(), Ok(MetricsPort::On(9100)));
        assert_eq!("0".parse(), Ok(MetricsPort::On(0)));
        assert_eq!("off".parse(), Ok(MetricsPort::Off));
        let error = "70000".parse::<MetricsPort>().unwrap_err();
        assert_eq!(error.to_string(), "\"70000\" is neither a port (0 to 65535) nor off");
    }
}
