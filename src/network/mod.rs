//! Changes to the viewers' network: the addresses that names resolve to, source addresses, bandwidth caps and
//! trusted certificates. The probe applies them inside each viewer, according to its settings.

pub(crate) mod certificates;
pub(crate) mod rate;
pub(crate) mod source;

use std::fmt::Write as _;
use std::net::IpAddr;

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_http::target_policy::TargetPolicy;
use hls_swarm_probe::record::NETWORK_BYTES;

pub use hls_swarm_http::resolve::{Rule, rules};

pub use certificates::Certificates;
pub use rate::{MIN_RATE, rates};
pub use source::{MAX_SOURCES, sources};

use crate::config::plan::Stream;

/// Changes to the viewers' network, apart from the streams' rules for names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Addresses that viewers connect from, assigned round-robin; empty = the system's choice.
    pub sources: Vec<IpAddr>,
    /// Bits per second that a viewer may read; `None` = no cap.
    pub caps: Option<WeightedSet<u64>>,
}

impl Network {
    /// The flag for which viewers need the probe, apart from measuring; `None` = there is none.
    #[must_use]
    pub fn needs_probe(&self, rules: &[Rule]) -> Option<&'static str> {
        if !rules.is_empty() {
            Some("--resolve")
        } else if !self.sources.is_empty() {
            Some("--source-ip")
        } else {
            self.caps.is_some().then_some("--bandwidth-cap")
        }
    }

    /// The address that viewer `viewer` (from 1) connects from.
    #[must_use]
    pub fn source_of(&self, viewer: u32) -> Option<IpAddr> {
        let turn = (viewer.saturating_sub(1) as usize).checked_rem(self.sources.len())?;
        self.sources.get(turn).copied()
    }

    /// The settings of the probe in viewer `viewer` (from 1) of `stream`; `None` = the probe changes nothing.
    #[must_use]
    pub fn probe_settings(
        &self,
        stream: &Stream,
        target_policy: &TargetPolicy,
        certificates: Option<Certificates>,
        viewer: u32,
    ) -> Option<String> {
        let mut settings = String::new();
        // Writing to a String cannot fail.
        if let Some(caps) = &self.caps {
            let _ = write!(settings, "cap={} ", caps.of(viewer));
        }
        if let Some(source) = self.source_of(viewer) {
            let _ = write!(settings, "source={source} ");
        }
        if let Some(certificates) = certificates {
            let _ = write!(settings, "{} ", certificates.setting());
        }
        for word in limits(stream, target_policy) {
            let _ = write!(settings, "{word} ");
        }
        (!settings.is_empty()).then(|| settings.trim_end().to_owned())
    }
}

/// The words of the probe's settings that depend on the stream only: addresses of names, and allowed hosts.
fn limits(stream: &Stream, target_policy: &TargetPolicy) -> impl Iterator<Item = String> {
    let rules = stream.resolve.iter().map(Rule::probe_setting);
    rules.chain(target_policy.probe_settings()).chain(stream.header_policy.probe_setting())
}

/// Checks that the rules for names and the allowed hosts fit into the probe's settings.
///
/// # Errors
/// A usage failure: there are too many.
pub fn check_room(stream: &Stream, target_policy: &TargetPolicy) -> Result<(), Failure> {
    /// Room for `cap=`, `source=` and the setting for certificates.
    const OTHERS: usize = 120;
    let bytes: usize = limits(stream, target_policy).map(|word| word.len() + 1).sum();
    if bytes + OTHERS > NETWORK_BYTES {
        return Err(Failure::usage(format!(
            "--resolve and the allowed hosts: {bytes} bytes are too many for one viewer"
        ))
        .help("pass fewer addresses (about 800), or *.example.com in place of many hosts"));
    }
    Ok(())
}
