//! A small HTTP client that returns responses without checking them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Sends a request on its own connection.
pub fn ask(port: u16, method: &str, path: &str) -> std::io::Result<Answer> {
    Connection::open(port)?.ask(method, path)
}

/// A keep-alive connection, as players use; one worker of nginx answers all of its requests.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(port: u16) -> std::io::Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(BufReader::new(socket)))
    }

    pub fn ask(&mut self, method: &str, path: &str) -> std::io::Result<Answer> {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: origin\r\nUser-Agent: test\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let status =
            self.line()?.split(' ').nth(1).ok_or(std::io::ErrorKind::UnexpectedEof)?.parse().unwrap();
        let mut headers = HashMap::new();
        while let Some((name, value)) = self.line()?.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").filter(|_| method != "HEAD");
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body)?;
        if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            body = self.chunks()?;
        }
        Ok(Answer { status, headers, body })
    }

    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.0.read_exact(&mut chunk)?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
