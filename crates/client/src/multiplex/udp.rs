//! The UDP socket of one QUIC connection. Each has its own, as the connections of different machines do. Datagrams are
//! received through a buffer that all sockets of a thread share.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::socket::Origin;

/// The most bytes that one system call receives: those of the datagrams that the kernel has joined (UDP_GRO).
const BUFFER_BYTES: usize = 64 << 10;
/// Datagrams per buffer of the library, of which it has 32: as many as the kernel joins.
const DATAGRAMS: usize = 2;

/// The buffer that the sockets of a thread share.
pub(crate) type SharedBuffer = Arc<Mutex<Box<[u8]>>>;

/// A buffer for the sockets of a thread.
pub(crate) fn shared_buffer() -> SharedBuffer {
    Arc::new(Mutex::new(vec![0; BUFFER_BYTES].into()))
}

/// The socket.
#[derive(Debug)]
pub(super) struct Udp {
    io: UdpSocket,
    state: UdpSocketState,
    buffer: SharedBuffer,
    received: AtomicU64,
    /// The errno with which it failed; 0 = it has not.
    errno: AtomicU16,
}

impl Udp {
    /// A socket that exchanges datagrams with `peer` only.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn connect(peer: SocketAddr, origin: Origin, buffer: SharedBuffer) -> io::Result<Arc<Self>> {
        let any = if peer.is_ipv4() { [0, 0, 0, 0].into() } else { SocketAddr::from(([0_u16; 8], 0)).ip() };
        let socket = std::net::UdpSocket::bind((origin.source.unwrap_or(any), 0))?;
        // A port without a server is reported to a connected socket.
        socket.connect(peer)?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        let io = UdpSocket::from_std(socket)?;
        Ok(Arc::new(Self { io, state, buffer, received: AtomicU64::new(0), errno: AtomicU16::new(0) }))
    }

    /// Bytes of the datagrams that were received.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The errno with which it failed, if it has.
    pub(super) fn errno(&self) -> Option<u16> {
        Some(self.errno.load(Ordering::Relaxed)).filter(|errno| *errno != 0)
    }

    /// Waits until the kernel reports that the peer cannot be reached. The library does not ask for it.
    pub(super) async fn unreachable(&self) -> io::Error {
        loop {
            if let Err(error) = self.io.ready(Interest::ERROR).await {
                return error;
            }
            match self.io.take_error() {
                Ok(Some(error)) | Err(error) => return error,
                // Only clears tokio's notion of readiness.
                Ok(None) => {
                    let clear = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = self.io.try_io(Interest::ERROR, clear);
                }
            }
        }
    }

    fn failed(&self, error: io::Error) -> io::Error {
        let errno = error.raw_os_error().and_then(|code| u16::try_from(code).ok());
        self.errno.store(errno.unwrap_or(0), Ordering::Relaxed);
        error
    }
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(context))?;
            let mut shared = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut meta = [RecvMeta::default()];
            let received = self.io.try_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), &mut [IoSliceMut::new(&mut shared)], &mut meta)
            });
            match received {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
            let [meta] = meta;
            self.received.fetch_add(meta.len as u64, Ordering::Relaxed);
            let datagrams = shared.get(..meta.len).unwrap_or_default();
            return Poll::Ready(Ok(distribute(datagrams, &meta, buffers, metas)));
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        DATAGRAMS
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Copies datagrams that the kernel has joined into the buffers of the library; returns how many buffers were used.
/// Those that do not fit are dropped, as the kernel drops datagrams that are larger than a buffer.
fn distribute(
    datagrams: &[u8],
    joined: &RecvMeta,
    buffers: &mut [IoSliceMut<'_>],
    metas: &mut [RecvMeta],
) -> usize {
    let stride = joined.stride.max(1);
    let room = buffers.first().map_or(0, |buffer| buffer.len());
    let part = room / stride * stride;
    if part == 0 {
        return 0;
    }
    let places = datagrams.chunks(part).zip(buffers.iter_mut().zip(metas));
    let mut used = 0;
    for (part, (buffer, meta)) in places {
        if let Some(place) = buffer.get_mut(..part.len()) {
            place.copy_from_slice(part);
            *meta = RecvMeta { len: part.len(), ..*joined };
            used += 1;
        }
    }
    used
}

/// Waits until a socket can send.
#[derive(Debug)]
struct Writable(Arc<Udp>);

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.io.poll_send_ready(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_datagrams_are_divided_at_their_boundaries() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000 * 5 + 300).collect();
        let joined = RecvMeta { len: bytes.len(), stride: 1000, ..RecvMeta::default() };
        let mut room = vec![0; 2500 * 4];
        let mut buffers: Vec<_> = room.chunks_mut(2500).map(IoSliceMut::new).collect();
        let mut metas = [RecvMeta::default(); 4];
        let used = distribute(&bytes, &joined, &mut buffers, &mut metas);
        let lengths: Vec<_> = metas.iter().take(used).map(|meta| (meta.len, meta.stride)).collect();
        assert_eq!(lengths, [(2000, 1000), (2000, 1000), (1300, 1000)]);
        let copied: Vec<u8> =
            buffers.iter().zip(&metas).flat_map(|(buffer, meta)| buffer[..meta.len].to_vec()).collect();
        assert_eq!(copied, bytes);
        let large = RecvMeta { len: 5000, stride: 3000, ..RecvMeta::default() };
        assert_eq!(distribute(&bytes[..5000], &large, &mut buffers, &mut metas), 0);
    }
}
