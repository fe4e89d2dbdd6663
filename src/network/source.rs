//! The addresses that viewers connect from: lists, ranges, and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hls_swarm_base::error::Failure;

/// Maximum number of addresses; more are probably a typing error.
pub const MAX_SOURCES: u128 = 65_536;

/// Parses `--source-ip` into addresses, in order.
///
/// # Errors
/// A usage failure that names the value and suggests a fix.
pub fn sources(typed: &[String]) -> Result<Vec<IpAddr>, Failure> {
    let mut all = Vec::new();
    for text in typed.iter().flat_map(|text| text.split(',')) {
        all.extend(expand(text.trim())?);
        if all.len() as u128 > MAX_SOURCES {
            return Err(too_many(text));
        }
    }
    Ok(all)
}

fn expand(text: &str) -> Result<Vec<IpAddr>, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!("--source-ip {text:?}: {why}"))
            .help("write addresses as 10.0.0.1, 10.0.0.1-10.0.0.50 or 10.0.0.0/24, with commas between")
    };
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| wrong("this is not an IP address"));
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (address(first.trim())?, address(last.trim())?);
        if first.is_ipv4() != last.is_ipv4() {
            return Err(wrong("both ends of a range must be in one address family"));
        }
        return between(number(first), number(last), first.is_ipv4()).ok_or_else(|| {
            if number(first) > number(last) {
                wrong("the range ends before it begins")
            } else {
                too_many(text)
            }
        });
    }
    let Some((network, length)) = text.split_once('/') else {
        return Ok(vec![address(text)?]);
    };
    let network = address(network)?;
    let bits = if network.is_ipv4() { 32 } else { 128 };
    let length = length.parse::<u32>().ok().filter(|length| *length <= bits);
    let length = length.ok_or_else(|| wrong("the length of the prefix is out of range"))?;
    let hosts = 1_u128.checked_shl(bits - length).unwrap_or(0).wrapping_sub(1);
    let first = number(network) & !hosts;
    // The network and broadcast addresses of an IPv4 network cannot be assigned to hosts, except in a /31 (RFC 3021).
    let inner = u128::from(network.is_ipv4() && bits - length > 1);
    between(first + inner, (first | hosts) - inner, network.is_ipv4()).ok_or_else(|| too_many(text))
}

fn too_many(text: &str) -> Failure {
    Failure::usage(format!("--source-ip {text:?}: more than {MAX_SOURCES} addresses"))
        .help("pass fewer; each of them has to be an address of this machine")
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn between(first: u128, last: u128, v4: bool) -> Option<Vec<IpAddr>> {
    if last < first || last - first >= MAX_SOURCES {
        return None;
    }
    let address = |number: u128| match u32::try_from(number) {
        Ok(number) if v4 => IpAddr::V4(Ipv4Addr::from_bits(number)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(number)),
    };
    Some((first..=last).map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Failure> {
        Ok(sources(&[text.to_owned()])?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lists_ranges_and_networks() {
        assert_eq!(
            read("10.0.0.9, 10.0.0.1-10.0.0.3").unwrap(),
            ["10.0.0.9", "10.0.0.1", "10.0.0.2", "10.0.0.3"]
        );
        assert_eq!(read("10.0.0.8/30").unwrap(), ["10.0.0.9", "10.0.0.10"]);
        assert_eq!(read("10.0.0.8/31").unwrap(), ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(read("10.0.0.8/32").unwrap(), ["10.0.0.8"]);
        assert_eq!(read("2001:db8::/127").unwrap(), ["2001:db8::", "2001:db8::1"]);
        assert_eq!(read("10.1.0.0/16").unwrap().len(), 65_534);
    }

    #[test]
    fn errors_name_the_invalid_part() {
        for (typed, said) in [
            ("eth0", "this is not an IP address"),
            ("", "this is not an IP address"),
            ("10.0.0.1-::2", "one address family"),
            ("10.0.0.2-10.0.0.1", "ends before it begins"),
            ("10.0.0.0/33", "the length of the prefix"),
            ("10.0.0.0/8", "more than 65536 addresses"),
            ("::/0", "more than 65536 addresses"),
            ("0.0.0.0/0", "more than 65536 addresses"),
        ] {
            let failure = read(typed).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert_eq!(failure.exit().code(), 2);
        }
    }
}
