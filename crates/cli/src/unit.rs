//! The parts of a systemd unit that both programs print: quoted command lines, and what confines the service.

use toml::{Table, Value};

use hls_swarm_base::error::Failure;
use hls_swarm_profiles::SYSTEMD;

/// Ports below this number can be bound only with `CAP_NET_BIND_SERVICE`.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// A word on a command line in a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A text that systemd must pass on as it is.
    Text(String),
    /// A text with specifiers such as `%S`, which systemd replaces.
    Specifiers(String),
}

/// Returns a command line as systemd reads it.
#[must_use]
pub fn command_line(words: &[Word]) -> String {
    let shown: Vec<String> = words
        .iter()
        .map(|word| match word {
            Word::Text(text) => quoted(text),
            Word::Specifiers(text) => text.clone(),
        })
        .collect();
    shown.join(" ")
}

/// Returns an `Environment=` line for each variable.
#[must_use]
pub fn environment(variables: &[(String, String)]) -> String {
    variables
        .iter()
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect()
}

/// Returns the settings that confine a service which listens on `ports`, one per line, from `profiles/systemd.toml`.
///
/// # Errors
/// An internal failure: the built-in file is not valid. A test checks that it is.
pub fn hardening(ports: &[u16]) -> Result<String, Failure> {
    let invalid = |why: String| Failure::internal(format!("profiles/systemd.toml: {why}"));
    let tables: Table = SYSTEMD.parse().map_err(|error: toml::de::Error| invalid(error.to_string()))?;
    let table = |name: &str| {
        tables.get(name).and_then(Value::as_table).ok_or_else(|| invalid(format!("no table {name}")))
    };
    let mut settings = table("hardening")?.clone();
    if ports.iter().any(|&port| (1..FIRST_UNPRIVILEGED_PORT).contains(&port)) {
        settings.extend(table("low_ports")?.clone());
    }
    let mut text = String::new();
    for (key, value) in &settings {
        for value in
            values(value).ok_or_else(|| invalid(format!("{key} has a value that a unit cannot have")))?
        {
            text.push_str(&format!("{key}={value}\n"));
        }
    }
    Ok(text)
}

/// The values of a setting; a list is a setting that is repeated.
fn values(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::Boolean(set) => Some(if *set { "yes" } else { "no" }.to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        value => one(value).map(|value| vec![value]),
    }
}

/// Quotes a word for systemd if necessary, and escapes `%` and `$`.
fn quoted(word: &str) -> String {
    let escaped = word.replace('%', "%%").replace('$', "$$");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%$+".contains(&byte);
    if !escaped.is_empty() && escaped.bytes().all(plain) {
        return escaped;
    }
    format!("\"{}\"", escaped.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_systemd() {
        assert_eq!(quoted("100%"), "100%%");
        assert_eq!(quoted("a $HOME \"b\""), "\"a $$HOME \\\"b\\\"\"");
        assert_eq!(quoted(""), "\"\"");
        let words = [Word::Text("a b".to_owned()), Word::Specifiers("%S/x".to_owned())];
        assert_eq!(command_line(&words), "\"a b\" %S/x");
    }

    #[test]
    fn a_low_port_needs_a_capability_and_no_other_port_has_it() {
        let usual = hardening(&[17080]).unwrap();
        assert!(
            usual.contains("CapabilityBoundingSet=\n") && usual.contains("PrivateUsers=yes\n"),
            "{usual}"
        );
        assert!(
            usual.contains("SystemCallFilter=@system-service\nSystemCallFilter=~@privileged\n"),
            "{usual}"
        );
        let low = hardening(&[17080, 443]).unwrap();
        assert!(low.contains("CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n"), "{low}");
        assert!(low.contains("PrivateUsers=no\n"), "{low}");
        assert_eq!(hardening(&[0]).unwrap(), usual, "port 0 is any free port");
    }
}
