//! Redis servers of this machine, and what they say of their memory. What that means is not known here.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use procfs::process::all_processes;

use crate::audit::facts::Redis;
use crate::audit::redis::{QUESTION, answer, configuration};

const TIMEOUT: Duration = Duration::from_secs(1);

/// Redis at `place`: HOST:PORT, or a redis.conf.
#[must_use]
pub fn at(place: &str) -> Redis {
    let maxmemory = if place.contains('/') || place.ends_with(".conf") {
        fs::read_to_string(place).map_err(|error| error.to_string()).and_then(|text| configuration(&text))
    } else {
        ask(place)
    };
    Redis { place: place.to_owned(), maxmemory }
}

/// Redis servers that run here, by their process titles.
#[must_use]
pub fn running() -> Vec<Redis> {
    let titles = all_processes().into_iter().flatten().flatten().filter_map(|process| {
        let title = process.cmdline().ok()?.join(" ");
        let program = title.split_whitespace().next()?.rsplit('/').next()?.to_owned();
        let address = title.split_whitespace().nth(1).unwrap_or("127.0.0.1:6379").to_owned();
        ["redis-server", "valkey-server"].contains(&program.as_str()).then_some(address)
    });
    titles.map(|address| at(&local(&address))).collect()
}

/// The title names the address that is listened on, which may be a wildcard.
fn local(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("*" | "0.0.0.0" | "[::]" | "", port)) => format!("127.0.0.1:{port}"),
        _ => address.to_owned(),
    }
}

fn ask(address: &str) -> Result<u64, String> {
    let talk = || -> std::io::Result<Vec<u8>> {
        let target = address
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| std::io::Error::other("the name has no address"))?;
        let mut stream = TcpStream::connect_timeout(&target, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(QUESTION)?;
        let (mut said, mut buffer) = (Vec::new(), [0_u8; 512]);
        // Five lines answer it, one is an error.
        while said.len() < 4096 {
            let read = stream.read(&mut buffer)?;
            said.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let lines = said.windows(2).filter(|pair| pair == b"\r\n").count();
            if read == 0 || lines >= 5 || (said.first() != Some(&b'*') && lines >= 1) {
                break;
            }
        }
        Ok(said)
    };
    talk().map_err(|error| error.to_string()).and_then(|said| answer(&said))
}
