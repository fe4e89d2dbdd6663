//! Flags of `hls-origin` that are not keys of a profile: faults, and serving without other programs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// Faults, and serving without other programs.
#[derive(Args, Clone, Debug, Default)]
pub struct ServiceArgs {
    /// Serve a synthetic stream from memory: neither FFmpeg nor nginx is needed
    #[arg(long, help_heading = "Faults and testing")]
    pub embedded: bool,

    /// Enable this fault from the start, for example status=503,rate=5%; may be repeated
    #[arg(long = "fault", value_name = "FAULT", help_heading = "Faults and testing")]
    pub fault: Vec<String>,

    /// Allow faults to be enabled while the origin runs (see `hls-origin fault`); --fault implies this
    #[arg(long, help_heading = "Faults and testing")]
    pub faults: bool,

    /// Seed of random faults: the same seed and the same requests give the same faults; by default a random one
    #[arg(long, value_name = "NUMBER", help_heading = "Faults and testing")]
    pub fault_seed: Option<u64>,

    /// Port on loopback to enable and disable faults; 0 uses a free one. By default 17081, or a free one with
    /// --port 0
    #[arg(long, value_name = "PORT", help_heading = "Faults and testing")]
    pub control_port: Option<u16>,
}

impl ServiceArgs {
    /// Whether faults were enabled.
    #[must_use]
    pub const fn faulty(&self) -> bool {
        self.faults || !self.fault.is_empty()
    }
}

/// The origin, and the command for its faults.
#[derive(Args, Clone, Debug)]
pub struct FaultArgs {
    /// Address of the origin's fault control, as its READY line shows it
    #[arg(
        long,
        global = true,
        env = "HLS_ORIGIN_CONTROL",
        default_value = "127.0.0.1:17081",
        value_name = "ADDRESS:PORT"
    )]
    pub control: String,

    /// The command.
    #[command(subcommand)]
    pub action: FaultAction,
}

/// The commands for faults.
#[derive(Clone, Debug, Subcommand)]
pub enum FaultAction {
    /// List the faults that are enabled, and how often each was applied
    List,
    /// Enable faults
    Add {
        /// Fault with its value and options, for example delay=200ms,path=*.m3u8
        #[arg(required = true, value_name = "FAULT")]
        faults: Vec<String>,
    },
    /// Disable faults
    Remove {
        /// Id of a fault, as `list` shows it
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
    },
    /// Disable all faults
    Clear,
}

/// A port, or none. In a profile: a number or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberOrText")]
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

impl JsonSchema for MetricsPort {
    fn schema_name() -> Cow<'static, str> {
        "MetricsPort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535}, {"const": "off"}]})
    }
}

/// A port as TOML may have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

/// The text is neither a port nor off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPort(String);

impl fmt::Display for InvalidPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a port (0 to 65535) or off, not {:?}", self.0)
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

impl TryFrom<NumberOrText> for MetricsPort {
    type Error = InvalidPort;

    fn try_from(value: NumberOrText) -> Result<Self, InvalidPort> {
        match value {
            NumberOrText::Number(number) => number.to_string().parse(),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_port_is_a_number_or_off() {
        assert_eq!("9100".parse(), Ok(MetricsPort::On(9100)));
        assert_eq!("0".parse(), Ok(MetricsPort::On(0)));
        assert_eq!("off".parse(), Ok(MetricsPort::Off));
        let error = "70000".parse::<MetricsPort>().unwrap_err();
        assert_eq!(error.to_string(), "expected a port (0 to 65535) or off, not \"70000\"");
    }
}
