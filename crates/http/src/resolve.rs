//! Names that lead to other addresses than the resolver would say, as curl's `--resolve` has it.

use std::net::IpAddr;

use hls_swarm_base::error::Failure;

/// One name and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The host, in lower case.
    pub host: String,
    /// For this port only; `None` = any.
    pub port: Option<u16>,
    /// Where it leads; never empty. Viewers take them in turn.
    pub addresses: Vec<IpAddr>,
}

impl Rule {
    /// Whether the rule is about this host and port.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port.is_none_or(|own| own == port)
    }

    /// The rule in the probe's words.
    #[must_use]
    pub fn told(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!("resolve={}/{}/{}", self.host, self.port.unwrap_or(0), addresses.join(","))
    }
}

/// Reads what was typed; an address alone is about `hosts`, those of the streams.
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
    // What is said of one port goes before what is said of all.
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
        return Err(wrong("this is no IP address".to_owned()));
    };
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(in_name) {
        return Err(wrong(format!("{host:?} is no host name")));
    }
    if let Some(addresses) = addresses(rest) {
        return Ok((Some(host.to_owned()), None, addresses));
    }
    let Some((port, rest)) = rest.split_once(':') else {
        return Err(wrong(format!("{rest:?} is no IP address")));
    };
    let number = port.parse().ok().filter(|port| *port > 0);
    let number = number.ok_or_else(|| wrong(format!("{port:?} is no port")))?;
    let addresses = addresses(rest).ok_or_else(|| wrong(format!("{rest:?} is no IP address")))?;
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
    fn every_notation_is_understood() {
        for (typed, told) in [
            ("192.0.2.7", "resolve=cdn.example/0/192.0.2.7"),
            ("2001:db8::7", "resolve=cdn.example/0/2001:db8::7"),
            ("192.0.2.7,192.0.2.8", "resolve=cdn.example/0/192.0.2.7,192.0.2.8"),
            ("Other.example:192.0.2.7", "resolve=other.example/0/192.0.2.7"),
            ("other.example:443:[2001:db8::7]", "resolve=other.example/443/2001:db8::7"),
        ] {
            let rules = read(&[typed]).unwrap();
            assert_eq!(rules.iter().map(Rule::told).collect::<Vec<_>>(), [told], "{typed}");
        }
    }

    #[test]
    fn repeated_flags_add_up_and_a_port_goes_before_all_ports() {
        let rules = read(&["192.0.2.7", "192.0.2.8", "cdn.example:8443:192.0.2.9"]).unwrap();
        let told: Vec<String> = rules.iter().map(Rule::told).collect();
        assert_eq!(told, ["resolve=cdn.example/8443/192.0.2.9", "resolve=cdn.example/0/192.0.2.7,192.0.2.8"]);
        assert!(rules[0].matches("CDN.example", 8443) && !rules[0].matches("cdn.example", 443));
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (typed, said) in [
            ("edge", "this is no IP address"),
            ("cdn.example:edge", "\"edge\" is no IP address"),
            ("cdn.example:99999:192.0.2.7", "\"99999\" is no port"),
            ("cdn example:192.0.2.7", "\"cdn example\" is no host name"),
            (":192.0.2.7", "\"\" is no host name"),
            ("192.0.2.7,", "this is no IP address"),
        ] {
            let failure = read(&[typed]).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert_eq!(failure.exit().code(), 2);
        }
    }
}
