//! A TCP socket with what tokio's does not offer: receiving without a copy, the low-water mark, and the kernel's
//! counts of a connection.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::task::{Context, Poll};

use libc::{c_int, c_void, socklen_t};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

/// Below this, a low-water mark saves no wake-up, bytes.
const SMALLEST_MARK: u64 = 8 << 10;
/// The most bytes of one system call that discards, so that other viewers get their turn.
const MAX_DISCARDED: u64 = 4 << 20;

/// How a connection leaves this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// The source address; `None` = the system's choice.
    pub(crate) source: Option<IpAddr>,
    /// The size of the receive buffer, bytes; `None` = the system's choice.
    pub(crate) receive_buffer: Option<u32>,
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// SO_RCVLOWAT as it is set.
    mark: u32,
}

/// The kernel's facts about a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    state: u8,
    /// Bytes received, without the FIN.
    pub(crate) received: u64,
    pub(crate) rtt_us: u32,
    pub(crate) min_rtt_us: u32,
    pub(crate) retransmits: u32,
}

impl Socket {
    /// Connects to `peer`.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) async fn connect(peer: SocketAddr, origin: Origin) -> io::Result<Self> {
        let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = origin.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = origin.source {
            // The port is chosen when the kernel knows the peer: a port serves many peers then.
            set_option(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(peer).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, mark: 1 })
    }

    /// The local port.
    pub(crate) fn local_port(&self) -> Option<u16> {
        self.stream.local_addr().ok().map(|address| address.port())
    }

    /// Waits until as many bytes as the mark asks for, or the end, have arrived.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Waits as [`Self::readable`] does, within a task.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(context)
    }

    /// Waits until more can be sent, within a task.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }

    /// Sends as many of `bytes` as there is room for; returns how many.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; or the connection is broken.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives into `buffer` without waiting; 0 = the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived; or the connection is broken.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (at, length) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the pointer and the length are those of one buffer, which outlives the call.
        self.noting_short(length, || unsafe { receive(self.fd(), at, length, 0) })
    }

    /// Discards up to `most` bytes without waiting, and without a copy of them; 0 = the end.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub(crate) fn discard(&self, most: u64) -> io::Result<u64> {
        let length = usize::try_from(most.min(MAX_DISCARDED)).unwrap_or(usize::MAX);
        // SAFETY: with MSG_TRUNC, the kernel writes nothing for a stream socket (tcp(7)).
        let discarded = self.noting_short(length, || unsafe {
            receive(self.fd(), ptr::null_mut(), length, libc::MSG_TRUNC)
        })?;
        Ok(discarded as u64)
    }

    /// Copies what has arrived into `buffer`, and leaves it in the socket; 0 = the end.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (at, length) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the pointer and the length are those of one buffer, which outlives the call.
        self.noting_short(length, || unsafe { receive(self.fd(), at, length, libc::MSG_PEEK) })
    }

    /// Discards `bytes` that have arrived.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub(crate) fn discard_all(&self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            match self.discard(bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                discarded => bytes = bytes.saturating_sub(discarded),
            }
        }
        Ok(())
    }

    /// Receives, and notes that the socket is empty if fewer than `length` bytes came: another call would only
    /// cost a system call. Readiness is not asked first, since below the mark there may be bytes without it.
    fn noting_short(&self, length: usize, receive: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let result = receive();
        let is_empty = match &result {
            Ok(received) => *received < length,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if is_empty {
            // Only clears tokio's notion of readiness; the end of the stream stays known.
            let clear = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = self.stream.try_io(Interest::READABLE, clear);
        }
        result
    }

    /// Sets the low-water mark for `rest` bytes that are to come, at most `most` and at least `least`, unless it is set so
    /// already.
    pub(crate) fn set_mark(&mut self, rest: u64, most: u32, least: u32) {
        let rest = if rest < SMALLEST_MARK { 1 } else { rest };
        let mark = u32::try_from(rest).unwrap_or(u32::MAX).min(most).max(least);
        if mark != self.mark {
            let value = c_int::try_from(mark).unwrap_or(c_int::MAX);
            // Without a mark there are only more wake-ups.
            if set_option(self.fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, value).is_ok() {
                self.mark = mark;
            }
        }
    }

    /// Whether the socket is still waiting for bytes below its mark.
    pub(crate) const fn has_mark(&self) -> bool {
        self.mark > 1
    }

    /// Whether a connection that is not in use can be used again: it neither ended nor has bytes that were not
    /// asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = 0_u8;
        let quiet = self.stream.try_io(Interest::READABLE, || {
            // SAFETY: the buffer is one byte, and outlives the call.
            unsafe { receive(self.fd(), ptr::from_mut(&mut byte).cast(), 1, libc::MSG_PEEK) }
        });
        quiet.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The kernel's facts; `None` before Linux 4.6.
    ///
    /// The kernel notes the state before it locks the socket to read its counters: a FIN that arrives in between
    /// is counted as a byte while the state does not show it yet. Where the state shows no FIN and a second read
    /// finds the same count, the state is younger than the first count and shows whether it includes one.
    ///
    /// Usually one read is enough: if the count is `expected`, what was received and read, no FIN is among it.
    pub(crate) fn info(&self, expected: u64) -> Option<TcpInfo> {
        const LOOKS: u32 = 4;
        let mut info = TcpInfo::read(self.fd())?;
        for _ in 1..LOOKS {
            if info.has_fin() || info.received == expected {
                break;
            }
            let before = info.received;
            info = TcpInfo::read(self.fd())?;
            if info.received == before {
                break;
            }
        }
        info.received = info.received.saturating_sub(u64::from(info.has_fin()));
        Some(info)
    }

    fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl TcpInfo {
    /// TCP_CLOSE_WAIT, TCP_LAST_ACK and TCP_CLOSING: states that a FIN of the peer leads to.
    const WITH_FIN: [u8; 3] = [8, 9, 11];

    /// Whether the peer has ended the connection.
    pub(crate) fn has_fin(&self) -> bool {
        Self::WITH_FIN.contains(&self.state)
    }

    fn read(fd: RawFd) -> Option<Self> {
        /// Up to tcpi_min_rtt, which Linux 4.6 added.
        const SIZE: usize = 152;
        let mut raw = [0_u8; SIZE];
        let mut length = SIZE as socklen_t;
        // SAFETY: both pointers are valid for the call, and `length` is the size of the buffer.
        let result = unsafe {
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, raw.as_mut_ptr().cast(), &raw mut length)
        };
        if result != 0 || (length as usize) < SIZE {
            return None;
        }
        let word = |at: usize| raw.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let long = |at: usize| raw.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        Some(Self {
            state: raw[0],
            rtt_us: word(68)?,
            retransmits: word(100)?,
            received: long(128)?,
            min_rtt_us: word(148)?,
        })
    }
}

/// # Safety
/// `buffer` is valid for writes of `length` bytes, or is null and `flags` has MSG_TRUNC.
unsafe fn receive(fd: RawFd, buffer: *mut c_void, length: usize, flags: c_int) -> io::Result<usize> {
    loop {
        // SAFETY: the caller vouches for the buffer.
        let received = unsafe { libc::recv(fd, buffer, length, flags | libc::MSG_DONTWAIT) };
        match usize::try_from(received) {
            Ok(received) => return Ok(received),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

fn set_option(fd: RawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer is valid for the length given.
    let result = unsafe {
        libc::setsockopt(fd, level, name, ptr::from_ref(&value).cast(), size_of::<c_int>() as socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
