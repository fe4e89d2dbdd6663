//! Host names with addresses that override the resolver's, like curl's `--resolve`.

use std::net::IpAddr;

use hls_swarm_base::error::Failure;

/// A host name and its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The host, in lower case.
    pub host: String,
    /// The port that the rule is limited to; `None` = any.
    pub port: Option<u16>,
    /// The addresses; never empty. Viewers use them in turn.
    pub addresses: Vec<IpAddr>,
}

impl Rule {
    /// Whether the rule is about this host and port.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port.is_none_or(|own| own == port)
    }

    /// The rule in the syntax of the probe's settings.
    #[must_use]
    pub fn probe_setting(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!("resolve={}/{}/{}", self.host, self.port.unwrap_or(0), addresses.join(","))
    }
}

/// Parses the values of `--resolve`; an address without a host applies to `hosts`, those of the streams.
///
/// # Errors
/// A usage failure that names the value and suggests a fix.
pub fn rules(typed: &[String], hosts: &[String]) -> Result<Vec<Rule>, Failure> {
    let mut rules = Vec::<Rule>::new();
    for text in typed {
        let (host, port, addresses) = parts(text)?;
        let hosts = host.map_or_else(|| hosts.to_vec(), |host| vec![host.to_ascii_lowercase()]);
        for host in hosts {
            let known = rules.iter_mut().find(|rule| rule.host == host && rule.port == port);
            match known {
                Some(rule) => rule.addresses.extend(&addresses),
                None => rules.push(Rule { host, port, addresses: addresses.clone() }),
            }
        }
    }
    // Rules for one port take precedence over rules for all ports.
    rules.sort_by_key(|rule| rule.port.is_none());
    Ok(rules)
}

type Parts = (Option<String>, Option<u16>, Vec<IpAddr>);

fn parts(text: &str) -> Result<Parts, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("--resolve {text:?}: {why}"))
            .help("write it as 192.0.2.7, cdn.example:192.0.2.7 or cdn.example:443:192.0.2.7")
    };
    if let Some(addresses) = addresses(text) {
        return Ok((None, None, addresses));
    }
    let Some((host, rest)) = text.split_once(':') else {
        return Err(wrong("expected an IP address".to_owned()));
    };
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(in_name) {
        return Err(wrong(format!("invalid host name {host:?}")));
    }
    if let Some(addresses) = addresses(rest) {
        return Ok((Some(host.to_owned()), None, addresses));
    }
    let Some((port, rest)) = rest.split_once(':') else {
        return Err(wrong(format!("invalid IP address {rest:?}")));
    };
    let number = port.parse().ok().filter(|port| *port > 0);
    let number = number.ok_or_else(|| wrong(format!("invalid port {port:?}")))?;
    let addresses = addresses(rest).ok_or_else(|| wrong(format!("invalid IP address {rest:?}")))?;
    Ok((Some(host.to_owned()), Some(number), addresses))
}

/// Addresses between commas, IPv6 with or without brackets.
fn addresses(text: &str) -> Option<Vec<IpAddr>> {
    let bare = |text: &str| {
        let text = text.trim();
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
    };
    text.split(',').map(bare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &[&str]) -> Result<Vec<Rule>, Failure> {
        let typed: Vec<String> = typed.iter().map(|text| (*text).to_owned()).collect();
        rules(&typed, &["cdn.example".to_owned()])
    }

    #[test]
    fn every_notation_is_parsed() {
        for (typed, expected) in [
            ("192.0.2.7", "resolve=cdn.example/0/192.0.2.7"),
            ("2001:db8::7", "resolve=cdn.example/0/2001:db8::7"),
            ("192.0.2.7,192.0.2.8", "resolve=cdn.example/0/192.0.2.7,192.0.2.8"),
            ("Other.example:192.0.2.7", "resolve=other.example/0/192.0.2.7"),
            ("other.example:443:[2001:db8::7]", "resolve=other.example/443/2001:db8::7"),
        ] {
            let rules = read(&[typed]).unwrap();
            assert_eq!(rules.iter().map(Rule::probe_setting).collect::<Vec<_>>(), [expected], "{typed}");
        }
    }

    #[test]
    fn repeated_flags_add_up_and_a_rule_for_one_port_takes_precedence() {
        let rules = read(&["192.0.2.7", "192.0.2.8", "cdn.example:8443:192.0.2.9"]).unwrap();
        let settings: Vec<String> = rules.iter().map(Rule::probe_setting).collect();
        assert_eq!(
            settings,
            ["resolve=cdn.example/8443/192.0.2.9", "resolve=cdn.example/0/192.0.2.7,192.0.2.8"]
        );
        assert!(rules[0].matches("CDN.example", 8443) && !rules[0].matches("cdn.example", 443));
    }

    #[test]
    fn invalid_parts_are_named() {
        for (typed, message) in [
            ("edge", "expected an IP address"),
            ("cdn.example:edge", "invalid IP address \"edge\""),
            ("cdn.example:99999:192.0.2.7", "invalid port \"99999\""),
            ("cdn example:192.0.2.7", "invalid host name \"cdn example\""),
            (":192.0.2.7", "invalid host name \"\""),
            ("192.0.2.7,", "expected an IP address"),
        ] {
            let failure = read(&[typed]).unwrap_err();
            assert!(failure.to_string().contains(message), "{failure}");
            assert_eq!(failure.exit().code(), 2);
        }
    }
}
