//! A TCP server that answers by a script and records exactly what it received and sent: the ground truth.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

/// The fate of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Keep,
    /// FIN.
    Close,
    /// RST.
    Reset,
    /// Nothing for a while, then FIN.
    Hold,
}

/// One answer: pieces are sent one by one, with a pause between them.
pub struct Answer {
    pub pieces: Vec<Vec<u8>>,
    pub pause: Duration,
    pub then: Then,
}

impl Answer {
    pub fn new(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        Self { pieces: vec![bytes.into()], pause: Duration::ZERO, then }
    }

    /// A 200 with a length on a connection that is kept open.
    pub fn ok(kind: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        Self::new([head.as_bytes(), body].concat(), Then::Keep)
    }
}

/// One request as the server saw it, and what it answered.
#[derive(Clone, Debug)]
pub struct Served {
    pub target: String,
    /// The head of the request.
    pub head: String,
    /// Head and body of the answer.
    pub sent: Vec<u8>,
    /// Whether the viewer disconnected before all of it could be passed to the kernel.
    pub unsent: bool,
    /// The viewer's port, which identifies the connection.
    pub port: u16,
}

impl Served {
    pub fn head_bytes(&self) -> u64 {
        let end = self.sent.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        end as u64 + 4
    }

    pub fn body_bytes(&self) -> u64 {
        self.sent.len() as u64 - self.head_bytes()
    }

    /// Last element of the path.
    pub fn name(&self) -> &str {
        let path = self.target.split('?').next().unwrap();
        path.rsplit('/').next().unwrap()
    }
}

type Script = dyn Fn(&str, &str, usize) -> Answer + Send + Sync;

pub struct Server {
    address: Ipv4Addr,
    pub port: u16,
    served: Arc<Mutex<Vec<Served>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the server. `script` returns the answer to a target (path and query) and the number of earlier requests.
    pub fn start(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, script)
    }

    /// The same at another address of this machine.
    pub fn start_at(
        address: Ipv4Addr,
        script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(address, move |target, _, before| script(target, before))
    }

    /// The same, where the answer depends on the head of the request as well: `script` gets it between the two.
    pub fn start_by_head(script: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(Ipv4Addr::LOCALHOST, script)
    }

    fn start_with(
        address: Ipv4Addr,
        script: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (for_thread, stop_thread) = (Arc::clone(&served), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if stop_thread.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, script, served) =
                    (stream.unwrap(), Arc::clone(&script), Arc::clone(&for_thread));
                connections.push(thread::spawn(move || serve(stream, &*script, &served)));
            }
            connections.into_iter().for_each(|connection| connection.join().unwrap());
        });
        Self { address, port, served, stop, thread: Some(thread) }
    }

    pub fn url(&self, target: &str) -> String {
        format!("http://{}:{}{target}", self.address, self.port)
    }

    /// Stops the server and returns the requests that it served, in order.
    pub fn served(mut self) -> Vec<Served> {
        self.end();
        let served = self.served.lock().unwrap();
        served.clone()
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.store(true, Ordering::SeqCst);
            drop(TcpStream::connect((self.address, self.port)));
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server failed");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Serves one connection until either side closes it, or for at most 20 s without data.
fn serve(mut stream: TcpStream, script: &Script, served: &Mutex<Vec<Served>>) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    let port = stream.peer_addr().unwrap().port();
    let mut pending = Vec::new();
    loop {
        let Some(head) = request(&mut stream, &mut pending) else { return };
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let before = served.lock().unwrap().len();
        let answer = script(&target, &head, before);
        let sent = answer.pieces.concat();
        let number = {
            let mut served = served.lock().unwrap();
            served.push(Served { target, head, sent, unsent: false, port });
            served.len() - 1
        };
        for (index, piece) in answer.pieces.iter().enumerate() {
            if index > 0 {
                thread::sleep(answer.pause);
            }
            if stream.write_all(piece).is_err() {
                served.lock().unwrap()[number].unsent = true;
                return;
            }
        }
        match answer.then {
            Then::Keep => {}
            Then::Close => {
                // FIN, without an RST for a request that the viewer may still send.
                drop(stream.shutdown(Shutdown::Write));
                drop(stream.read_to_end(&mut Vec::new()));
                return;
            }
            Then::Reset => {
                // Let the data arrive before the RST overtakes it.
                thread::sleep(Duration::from_millis(300));
                let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&stream.as_fd(), sockopt::Linger, &linger).unwrap();
                return;
            }
            Then::Hold => {
                drop(stream.read_to_end(&mut Vec::new()));
                return;
            }
        }
    }
}

/// The next request head; `None` if the connection has ended.
fn request(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(pending.drain(..end + 4).collect());
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => pending.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
