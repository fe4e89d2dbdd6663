//! Runs a real program under the probe and collects its records.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use hls_swarm::engine::probe::object::ProbeObject;
use hls_swarm_probe::record::{ENVIRONMENT, Frame, Record, kind};

/// Descriptors in the child.
const OBJECT_FD: i32 = 200;
const PIPE_FD: i32 = 201;

pub const VIEWER: u32 = 7;
pub const GENERATION: u32 = 3;

/// A piece of a body.
pub struct Piece {
    /// Process, connection and request.
    pub of: (u32, u32, u32),
    pub offset: u32,
    pub bytes: Vec<u8>,
}

/// The pipe that records go through.
pub struct Pipe {
    pub reader: File,
    pub writer: OwnedFd,
}

impl Pipe {
    pub fn new() -> Self {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
        Self { reader: File::from(reader), writer }
    }

    /// Everything in the pipe, without waiting.
    pub fn drain(&self) -> Vec<u8> {
        let mut all = Vec::new();
        match (&self.reader).read_to_end(&mut all) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => all,
            other => panic!("reading the pipe: {other:?}"),
        }
    }

    pub fn records(&self) -> Vec<Record> {
        self.frames().0
    }

    /// Records and pieces of bodies, each in their order.
    pub fn frames(&self) -> (Vec<Record>, Vec<Piece>) {
        Self::read(&self.drain())
    }

    /// The records and pieces in bytes that were drained.
    pub fn read(mut rest: &[u8]) -> (Vec<Record>, Vec<Piece>) {
        let (mut records, mut pieces) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            let Some((frame, size)) = Frame::first(rest).unwrap() else { panic!("frames are whole") };
            match frame {
                Frame::Record(record) => records.push(record),
                Frame::Body(piece) => {
                    assert_eq!((piece.viewer, piece.generation), (VIEWER, GENERATION));
                    let of = (piece.pid, piece.connection, piece.request);
                    pieces.push(Piece { of, offset: piece.offset, bytes: piece.bytes.to_vec() });
                }
            }
            rest = &rest[size..];
        }
        (records, pieces)
    }
}

/// The viewer in this test binary (see `viewer` in tests/probe/mod.rs), for behavior that no other program has.
pub fn own_viewer(act: &str, port: u16) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "probe::viewer", "--test-threads=1"]);
    command.env("VIEWER_ACT", act).env("VIEWER_PORT", port.to_string());
    command
}

/// Runs `command` with the probe loaded and records going into `pipe`.
pub fn run_into(command: &mut Command, pipe: &Pipe) -> Output {
    run_with(command, pipe.writer.as_raw_fd(), format!("{PIPE_FD}:{VIEWER}:{GENERATION}"))
}

/// Runs `command` with the probe loaded, `fd` as its pipe and this value in its environment.
pub fn run_with(command: &mut Command, fd: i32, environment: impl AsRef<OsStr>) -> Output {
    let object = ProbeObject::new().unwrap();
    let object_fd = std::os::fd::AsRawFd::as_raw_fd(&object.fd());
    command.env("LD_PRELOAD", object.preload(OBJECT_FD, None)).env(ENVIRONMENT, environment);
    // SAFETY: between fork and exec only dup2 is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            for (from, to) in [(object_fd, OBJECT_FD), (fd, PIPE_FD)] {
                if libc::dup2(from, to) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    command.output().unwrap()
}

/// Output and records of one run.
pub struct Run {
    pub output: Output,
    pub records: Vec<Record>,
    pub pieces: Vec<Piece>,
}

/// Runs `command` under the probe; checks what holds for the records of every run of one process.
pub fn run(command: &mut Command) -> Run {
    let pipe = Pipe::new();
    let output = run_into(command, &pipe);
    let (records, pieces) = pipe.frames();
    let hello = records.first().unwrap_or_else(|| panic!("no record of {command:?}: {output:?}"));
    assert_eq!(hello.kind, kind::HELLO);
    for (sequence, record) in (0..).zip(&records) {
        assert_eq!((record.viewer, record.generation, record.pid), (VIEWER, GENERATION, hello.pid));
        assert_eq!((record.sequence, record.lost), (sequence, 0));
    }
    Run { output, records, pieces }
}

impl Run {
    pub fn of(&self, kind: u8) -> Vec<Record> {
        self.records.iter().filter(|record| record.kind == kind).copied().collect()
    }

    /// The finished exchanges, in order.
    pub fn exchanges(&self) -> Vec<Record> {
        self.of(kind::EXCHANGE)
    }

    /// The body that an exchange passed on, preceded by the requested URL.
    pub fn body_of(&self, exchange: &Record) -> Vec<u8> {
        let of = (exchange.pid, exchange.connection, exchange.request);
        let mut body = Vec::new();
        for piece in self.pieces.iter().filter(|piece| piece.of == of) {
            assert_eq!(piece.offset as usize, body.len(), "pieces follow each other");
            body.extend_from_slice(&piece.bytes);
        }
        body
    }

    /// The only exchange.
    pub fn exchange(&self) -> Record {
        let all = self.exchanges();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }
}
