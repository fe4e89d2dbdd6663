//! Redis servers of this machine and their settings, from their answers or from redis.conf.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use procfs::process::all_processes;

use crate::audit::facts::{Redis, RedisSettings};

const TIMEOUT: Duration = Duration::from_secs(1);
/// Settings that are requested; only the first one is required.
const SETTINGS: [&str; 6] = ["maxmemory", "maxmemory-policy", "save", "appendonly", "tcp-backlog", "timeout"];
/// Longest answer, bytes.
const LONGEST_ANSWER: usize = 16 << 10;

/// Reads the settings of Redis at `place`: HOST:PORT, or a redis.conf.
#[must_use]
pub(crate) fn at(place: &str) -> Redis {
    let settings = if place.contains('/') || place.ends_with(".conf") {
        fs::read_to_string(place).map_err(|error| error.to_string()).and_then(|text| configuration(&text))
    } else {
        ask(place)
    };
    Redis { place: place.to_owned(), settings }
}

/// Returns the Redis servers that run here, by their process titles.
#[must_use]
pub(crate) fn running() -> Vec<Redis> {
    let titles = all_processes().into_iter().flatten().flatten().filter_map(|process| {
        let title = process.cmdline().ok()?.join(" ");
        let program = title.split_whitespace().next()?.rsplit('/').next()?.to_owned();
        let address = title.split_whitespace().nth(1).unwrap_or("127.0.0.1:6379").to_owned();
        ["redis-server", "valkey-server"].contains(&program.as_str()).then_some(address)
    });
    titles.map(|address| at(&local(&address))).collect()
}

/// Returns an address to connect to for the address that a title shows, which may be a wildcard.
fn local(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("*" | "0.0.0.0" | "[::]" | "", port)) => format!("127.0.0.1:{port}"),
        _ => address.to_owned(),
    }
}

fn ask(address: &str) -> Result<RedisSettings, String> {
    let converse = || -> std::io::Result<Vec<u8>> {
        let target = address
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| std::io::Error::other("the name has no address"))?;
        let mut stream = TcpStream::connect_timeout(&target, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        for setting in SETTINGS {
            write!(stream, "*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n${}\r\n{setting}\r\n", setting.len())?;
        }
        let (mut answer, mut buffer) = (Vec::new(), [0_u8; 512]);
        // An array has five lines, an error has one.
        while answer.len() < LONGEST_ANSWER {
            let Ok(read) = stream.read(&mut buffer) else { break };
            answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let lines = answer.windows(2).filter(|pair| pair == b"\r\n").count();
            if read == 0 || lines >= 5 * SETTINGS.len() || (answer.first() != Some(&b'*') && lines >= 1) {
                break;
            }
        }
        Ok(answer)
    };
    converse().map_err(|error| error.to_string()).and_then(|answer| parse_answer(&answer))
}

/// Parses the answers to `CONFIG GET`.
fn parse_answer(bytes: &[u8]) -> Result<RedisSettings, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    while let Some(first) = lines.next() {
        if let Some(error) = first.strip_prefix('-').filter(|_| found.is_empty()) {
            return Err(format!("Redis answers: {error}"));
        }
        if first != "*2" {
            continue;
        }
        // *2, $9, maxmemory, $1, 0
        let (name, value) = (lines.nth(1), lines.nth(1));
        found.extend(name.zip(value).map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let number = |name: &str| found.get(name).and_then(|value| value.parse().ok());
    let text = |name: &str| found.get(name).cloned();
    Ok(RedisSettings {
        maxmemory: number("maxmemory").ok_or("the answer is not Redis'")?,
        policy: text("maxmemory-policy"),
        save: text("save"),
        appendonly: text("appendonly"),
        backlog: number("tcp-backlog"),
        timeout: number("timeout"),
    })
}

/// Parses a redis.conf; a setting that it does not have has Redis' default.
fn configuration(text: &str) -> Result<RedisSettings, String> {
    let mut found = RedisSettings {
        maxmemory: 0,
        policy: Some("noeviction".into()),
        save: Some("3600 1 300 100 60 10000".into()),
        appendonly: Some("no".into()),
        backlog: Some(511),
        timeout: Some(0),
    };
    let mut saves: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
        let name = words.next().unwrap_or_default().to_ascii_lowercase();
        let value = words.collect::<Vec<_>>().join(" ");
        match name.as_str() {
            "maxmemory" => {
                found.maxmemory = size(&value).ok_or_else(|| format!("invalid maxmemory {value:?}"))?
            }
            "maxmemory-policy" => found.policy = Some(value),
            "save" => saves.push(value),
            "appendonly" => found.appendonly = Some(value),
            "tcp-backlog" => found.backlog = value.parse().ok(),
            "timeout" => found.timeout = value.parse().ok(),
            _ => {}
        }
    }
    if !saves.is_empty() {
        found.save = Some(saves.join(" ").trim().to_owned());
    }
    Ok(found)
}

/// Parses a size of Redis: `1k` is 1000 bytes, `1kb` is 1024.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.strip_prefix(digits)? {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let answer = parse_answer(b"*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n*2\r\n$4\r\nsave\r\n$0\r\n\r\n").unwrap();
        assert_eq!(
            (answer.maxmemory, answer.policy.as_deref(), answer.save.as_deref()),
            (0, Some("noeviction"), Some(""))
        );
        assert_eq!(
            parse_answer(b"*2\r\n$9\r\nmaxmemory\r\n$9\r\n268435456\r\n").unwrap().maxmemory,
            268_435_456
        );
        assert_eq!(
            parse_answer(b"-NOAUTH Authentication required.\r\n").unwrap_err(),
            "Redis answers: NOAUTH Authentication required."
        );
        assert!(parse_answer(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(parse_answer(b"").is_err());
    }

    #[test]
    fn redis_conf_is_parsed_with_the_defaults() {
        let read = |text: &str| configuration(text).unwrap();
        assert_eq!(read("# maxmemory 1gb\nport 6379\n").maxmemory, 0);
        assert_eq!(read("maxmemory 256mb\n").maxmemory, 256 << 20);
        assert_eq!(read("MAXMEMORY 1k").maxmemory, 1000);
        assert_eq!(read("save \"\"\nappendonly no").save.as_deref(), Some(""));
        assert_eq!(read("save 900 1\nsave 300 10").save.as_deref(), Some("900 1 300 10"));
        assert!(configuration("maxmemory lots").is_err());
    }
}
