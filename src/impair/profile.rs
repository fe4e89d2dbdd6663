//! Impairments of a link: the keys of a TOML file, and the arguments of tc that follow from them.
//!
//! netem affects what a device sends, so a delay applies to one direction: round trips, connection setup, and times to first
//! byte all grow by it once.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use hls_swarm_base::built_in::find;
use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;
use hls_swarm_base::profile_text;

/// The built-in impairments: name and text.
pub use hls_swarm_profiles::IMPAIRMENT as BUILT_IN;

/// Packets that may wait in netem: its own 1000 are less than 50 ms of a fast link and would drop.
const QUEUE_PACKETS: u32 = 20_000;

/// An impairment of a link.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Impairment {
    /// A description in one line.
    pub description: String,
    /// Delay of each packet.
    pub delay: Option<GoDuration>,
    /// Variation of the delay, in both directions.
    pub jitter: Option<GoDuration>,
    /// Packets that are dropped, in percent.
    pub loss_percent: Option<f64>,
    /// Rate of the link, in 1000 bit/s.
    pub rate_kbps: Option<u32>,
    /// Packets that may wait; more are dropped.
    pub queue_packets: Option<u32>,
}

/// Returns the text of a built-in impairment.
///
/// # Errors
/// A usage failure that lists the built-in impairments.
pub fn built_in(name: &str) -> Result<&'static str, Failure> {
    find(&BUILT_IN, "impairment", name)
}

/// Parses an impairment and checks that netem supports it.
///
/// # Errors
/// A usage failure that names the file, the key and the value.
pub fn parse(name: &str, text: &str) -> Result<Impairment, Failure> {
    let what = format!("impairment {name}");
    let keys = "the keys are description, delay, jitter, loss_percent, rate_kbps, queue_packets";
    let read: Impairment = profile_text::read(&what, text, keys)?;
    let wrong = |key: &str, help: &str| Err(Failure::usage(format!("{what}: {key}")).help(help));
    let delay = read.delay.unwrap_or_default();
    if let Some(jitter) = read.jitter.filter(|jitter| *jitter > delay) {
        return wrong(
            &format!("jitter {jitter} is more than the delay {delay}"),
            "no packet can arrive before it was sent; lower jitter or raise delay",
        );
    }
    if let Some(loss) = read.loss_percent.filter(|loss| !(0.0..=100.0).contains(loss)) {
        return wrong(&format!("loss_percent {loss}"), "give a share between 0 and 100");
    }
    for (key, value) in [("rate_kbps", read.rate_kbps), ("queue_packets", read.queue_packets)] {
        if value == Some(0) {
            return wrong(&format!("{key} 0"), "leave the key out, or give more than 0");
        }
    }
    Ok(read)
}

impl Impairment {
    /// Whether the impairment has no effect.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self { description: self.description.clone(), ..Self::default() }
    }

    /// The arguments with which tc sets the impairment of `device`, replacing the current one; `None` if it has no
    /// effect.
    #[must_use]
    pub fn tc(&self, device: &str) -> Option<Vec<String>> {
        if self.is_clean() {
            return None;
        }
        let mut argv: Vec<String> =
            ["qdisc", "replace", "dev", device, "root", "netem", "limit"].map(str::to_owned).to_vec();
        argv.push(self.queue_packets.unwrap_or(QUEUE_PACKETS).to_string());
        if let Some(delay) = self.delay {
            argv.extend(["delay".to_owned(), microseconds(delay.0)]);
            argv.extend(self.jitter.map(|jitter| microseconds(jitter.0)));
        }
        if let Some(loss) = self.loss_percent {
            argv.extend(["loss".to_owned(), format!("{loss}%")]);
        }
        if let Some(rate) = self.rate_kbps {
            argv.extend(["rate".to_owned(), format!("{rate}kbit")]);
        }
        Some(argv)
    }
}

/// The arguments with which tc removes the impairment of `device`.
#[must_use]
pub fn tc_clean(device: &str) -> Vec<String> {
    ["qdisc", "delete", "dev", device, "root"].map(str::to_owned).to_vec()
}

/// The arguments with which tc shows the settings of `device`.
#[must_use]
pub fn tc_ask(device: &str) -> Vec<String> {
    ["qdisc", "show", "dev", device, "root"].map(str::to_owned).to_vec()
}

/// Whether tc's output for [`tc_ask`] shows an impairment.
#[must_use]
pub fn is_impaired(answer: &str) -> bool {
    answer.lines().any(|line| line.starts_with("qdisc netem "))
}

/// Formats a time for all versions of tc.
fn microseconds(time: Duration) -> String {
    format!("{}us", time.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tc(name: &str) -> Option<String> {
        parse(name, built_in(name).unwrap()).unwrap().tc("eth0").map(|argv| argv.join(" "))
    }

    fn refused(text: &str) -> String {
        let failure = parse("mine.toml", text).unwrap_err();
        format!("{} -> {}", failure.chain(), failure.help_text().unwrap())
    }

    #[test]
    fn the_built_in_impairments_have_the_expected_arguments() {
        let netem = "qdisc replace dev eth0 root netem limit";
        assert_eq!(tc("clean"), None);
        assert_eq!(tc("50ms").unwrap(), format!("{netem} 20000 delay 50000us 10000us rate 10000000kbit"));
        assert_eq!(tc("3g").unwrap(), format!("{netem} 70 delay 150000us 20000us loss 0.5% rate 1600kbit"));
        assert_eq!(tc("lossy").unwrap(), format!("{netem} 20000 delay 10000us loss 2%"));
    }

    #[test]
    fn impairments_that_netem_does_not_support_are_refused() {
        assert!(refused("delay = '5ms'\njitter = '6ms'").contains("jitter 6ms is more than the delay 5ms"));
        assert!(refused("jitter = '1ms'").contains("is more than the delay 0s"));
        assert!(refused("loss_percent = 101.0").contains("loss_percent 101 -> give a share"));
        assert!(refused("loss_percent = nan").contains("loss_percent NaN"));
        assert!(refused("rate_kbps = 0").contains("rate_kbps 0"));
        assert!(refused("dely = '5ms'").contains("did you mean `delay`?"));
        assert!(refused("delay = 5").contains("mine.toml, line 1"));
    }

    #[test]
    fn the_error_for_an_unknown_name_lists_the_known_ones() {
        let failure = built_in("50").unwrap_err();
        assert!(failure.help_text().unwrap().contains("clean, 50ms, 3g, lossy"), "{failure:?}");
    }

    #[test]
    fn only_netem_counts_as_impaired() {
        assert!(is_impaired("qdisc netem 8001: root refcnt 3 limit 20000 delay 50ms  10ms\n"));
        assert!(!is_impaired("qdisc mq 0: root \nqdisc fq_codel 0: parent :2 limit 10240p\n"));
    }
}
