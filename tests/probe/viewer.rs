//! A viewer that misbehaves, which the tests run under the probe for behavior that no other program has.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn get(name: &str) -> Vec<u8> {
    format!("GET /{name} HTTP/1.1\r\nHost: viewer\r\n\r\n").into_bytes()
}

/// Does `act` against the server on `port`.
pub fn act(act: &str, port: u16) {
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut buffer = [0; 4096];
    match act {
        "leave-in-flight" => {
            let mut stream = connect();
            stream.write_all(&get("a.ts")).unwrap();
            stream.read_exact(&mut buffer[..50]).unwrap();
            std::mem::forget(stream);
        }
        "close-unread" => {
            let mut stream = connect();
            stream.write_all(&get("a.ts")).unwrap();
            thread::sleep(Duration::from_millis(300));
        }
        "read-late" => {
            let mut stream = connect();
            stream.write_all(&get("a.ts")).unwrap();
            stream.read_exact(&mut buffer[..50]).unwrap();
            thread::sleep(Duration::from_millis(400));
            // The whole response has arrived by now, and the next read takes the rest of it.
            while stream.read(&mut buffer).unwrap() == buffer.len() {}
        }
        "pipeline" => {
            let mut stream = connect();
            stream.write_all(&get("a.ts")).unwrap();
            stream.read_exact(&mut buffer[..10]).unwrap();
            stream.write_all(&get("b.ts")).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        "byte-by-byte" => {
            let mut stream = connect();
            get("a.ts").iter().for_each(|byte| stream.write_all(&[*byte]).unwrap());
            // Peeking at the first byte consumes nothing.
            while stream.peek(&mut buffer[..1]).unwrap() == 1 {
                stream.read_exact(&mut buffer[..1]).unwrap();
            }
        }
        "by-name" => {
            // One name lookup, then one connection; the second connection needs no lookup.
            let mut stream = TcpStream::connect(("localhost", port)).unwrap();
            stream.write_all(&get("a.ts")).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
            let mut stream = TcpStream::connect(stream.peer_addr().unwrap()).unwrap();
            stream.write_all(&get("b.ts")).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        "two-requests" => {
            let mut stream = connect();
            for name in ["a.ts", "b.ts"] {
                stream.write_all(&get(name)).unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"end") {
                    let count = stream.read(&mut buffer).unwrap();
                    assert!(count > 0);
                    answer.extend_from_slice(&buffer[..count]);
                }
            }
        }
        "ask-often" => {
            for _ in 0..1000 {
                let mut stream = connect();
                stream.write_all(&get("a.ts")).unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"end") {
                    let count = stream.read(&mut buffer).unwrap();
                    assert!(count > 0);
                    answer.extend_from_slice(&buffer[..count]);
                }
            }
        }
        "ask-too-late" => {
            let mut stream = connect();
            for (name, pause) in [("a.ts", 0), ("b.ts", 0), ("c.ts", 300)] {
                // The server has closed the connection before the third request, and the viewer has not noticed.
                thread::sleep(Duration::from_millis(pause));
                stream.write_all(&get(name)).unwrap();
                let mut answer = [0; 128];
                while !answer[..].windows(3).any(|bytes| bytes == b"end") {
                    if stream.read(&mut answer).unwrap_or(0) == 0 {
                        return;
                    }
                }
            }
        }
        "start-a-child" => {
            let mut stream = connect();
            stream.write_all(&get("a.ts")).unwrap();
            let url = format!("http://127.0.0.1:{port}/child.ts");
            let child = Command::new("curl").args(["-s", "-o", "/dev/null", &url]).status().unwrap();
            assert!(child.success());
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        "hidden-tls" => {
            let mut stream = connect();
            stream.write_all(b"\x16\x03\x01 /hello \r\n\r\n").unwrap();
            stream.write_all(&get("not-seen")).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        "many-threads" => {
            // Each thread has its own connections; on each connection, one thread writes and another reads.
            let threads = [0; 8].map(|_| {
                thread::spawn(move || {
                    for _ in 0..10 {
                        let stream = Arc::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
                        let writer = Arc::clone(&stream);
                        let writer = thread::spawn(move || (&*writer).write_all(&get("a.ts")).unwrap());
                        (&*stream).read_to_end(&mut Vec::new()).unwrap();
                        writer.join().unwrap();
                    }
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
        other => panic!("no such act: {other}"),
    }
}
