//! An exchange on a stream of a shared connection.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};
use url::Url;

use hls_swarm_os::clock::now_ns;

use super::Multiplexed;
use super::carrier::{Carrier, Incoming, Lost};
use crate::client::{Arrived, Client, FetchError};
use crate::head::{self, Framing, Head};
use crate::request::Request;
use crate::response::Sink as _;
use crate::transfer::{End, Observer, Transfer};

/// How often a request is sent again because the server has not processed it.
const MOST_REPEATS: u32 = 3;

impl<O: Observer> Client<O> {
    /// One exchange on a stream, repeated while servers close connections without having processed it; `None` = the
    /// origin speaks HTTP/1.1.
    pub(crate) async fn exchange_on_stream(
        &self,
        multiplexed: &Rc<Multiplexed<O>>,
        request: &Request,
        url: &Url,
        tag: &O::Tag,
        sink: &mut O::Sink,
    ) -> Result<Option<Arrived>, FetchError> {
        for repeats in 0.. {
            let Some(connection) = self.shared(multiplexed, url).await? else { return Ok(None) };
            let flight = StreamFlight {
                client: self,
                request,
                url,
                tag,
                sink,
                head: None,
                connection: Some((Rc::clone(&connection), None)),
                may_repeat: repeats < MOST_REPEATS,
                streams: 0,
                body_bytes: 0,
                started_ns: 0,
                first_byte_ns: None,
                last_ns: 0,
            };
            let landed = flight.fly().await;
            if !matches!(landed, Ok(Some(_))) && !connection.is_open() {
                multiplexed.retire(&connection);
            }
            match landed {
                Ok(Some(arrived)) => return Ok(Some(arrived)),
                Ok(None) => {}
                Err(error) => {
                    if error == FetchError::TimedOut {
                        // It may be dead without anyone knowing.
                        multiplexed.retire(&connection);
                    }
                    return Err(error);
                }
            }
        }
        Err(FetchError::Broken("the server takes no request".into()))
    }
}

/// An exchange under way. Dropped before its end, it reports that the viewer gave it up, and cancels the stream.
struct StreamFlight<'a, O: Observer> {
    client: &'a Client<O>,
    request: &'a Request,
    url: &'a Url,
    tag: &'a O::Tag,
    sink: &'a mut O::Sink,
    head: Option<Box<Head>>,
    /// The connection and the response, once the request was sent; `None` once the exchange has ended.
    connection: Option<(Rc<Carrier<O>>, Option<Incoming>)>,
    /// Whether the request is sent again if the server has not processed it.
    may_repeat: bool,
    /// Requests under way on the connection, with this one.
    streams: u32,
    body_bytes: u64,
    started_ns: u64,
    first_byte_ns: Option<u64>,
    /// When the last byte arrived, or the request was sent.
    last_ns: u64,
}

impl<O: Observer> StreamFlight<'_, O> {
    /// Sends the request and reads the response; `None` = the server has not processed it.
    async fn fly(mut self) -> Result<Option<Arrived>, FetchError> {
        match self.send().await {
            Ok(()) => {}
            Err(Sending::Unsendable(why)) => return Err(FetchError::Broken(why)),
            Err(Sending::Lost(lost)) => return self.lost(lost),
        }
        loop {
            let limit = self.client.shard.settings.timeout;
            let idle = Duration::from_nanos(now_ns().saturating_sub(self.last_ns));
            let next = timeout(limit.saturating_sub(idle), self.next());
            let piece = match next.await {
                Err(_) => {
                    self.end(End::TimedOut);
                    return Err(FetchError::TimedOut);
                }
                Ok(Err(Receiving::Lost(lost))) => return self.lost(lost),
                Ok(Err(Receiving::Malformed(why))) => {
                    self.end(End::Malformed);
                    return Err(FetchError::Malformed(why));
                }
                Ok(Ok(Next::Head)) => {
                    self.arrived();
                    continue;
                }
                Ok(Ok(Next::Data(piece))) => piece,
                Ok(Ok(Next::End)) => return self.whole(),
            };
            self.take(&piece);
            let debt = self.client.pace.debt_ns();
            if debt > 0 {
                sleep(Duration::from_nanos(debt)).await;
                // That nothing was asked for is not the fault of the server.
                self.last_ns = now_ns();
            }
        }
    }

    async fn send(&mut self) -> Result<(), Sending> {
        let Some((connection, incoming)) = &mut self.connection else { return Ok(()) };
        let head = self.client.stream_head_of(self.request, self.url).map_err(Sending::Unsendable)?;
        (self.started_ns, self.last_ns) = (now_ns(), now_ns());
        let sent = timeout(self.client.shard.settings.timeout, connection.send(head)).await;
        let timed_out = || Lost {
            end: End::TimedOut,
            why: "the server allows no further request on the connection".into(),
            is_unprocessed: false,
            is_of_connection: false,
        };
        *incoming = Some(sent.unwrap_or_else(|_| Err(timed_out())).map_err(Sending::Lost)?);
        self.streams = u32::try_from(connection.under_way()).unwrap_or(u32::MAX);
        if let Some(progress) = &self.request.progress {
            progress.started_ns.set(self.started_ns);
        }
        Ok(())
    }

    /// Waits for what comes next.
    async fn next(&mut self) -> Result<Next, Receiving> {
        let Some((connection, Some(incoming))) = &mut self.connection else { return Ok(Next::End) };
        if self.head.is_none() {
            let (status, fields) = connection.head(incoming).await.map_err(Receiving::Lost)?;
            let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let head =
                head::of_stream(status, fields).map_err(|error| Receiving::Malformed(error.to_string()))?;
            self.sink.begin(&head);
            self.head = Some(Box::new(head));
            return Ok(Next::Head);
        }
        let piece = connection.data(incoming).await.map_err(Receiving::Lost)?;
        Ok(piece.map_or(Next::End, Next::Data))
    }

    /// Notes that something has arrived.
    fn arrived(&mut self) {
        self.last_ns = now_ns();
        self.first_byte_ns.get_or_insert(self.last_ns);
        if let Some(progress) = &self.request.progress {
            progress.body_bytes.set(self.body_bytes);
            progress.length.set(self.head.as_ref().and_then(|head| head.announced).unwrap_or(0));
            progress.first_byte_ns.set(self.first_byte_ns.unwrap_or(0));
        }
    }

    fn take(&mut self, piece: &Bytes) {
        self.body_bytes = self.body_bytes.saturating_add(piece.len() as u64);
        self.arrived();
        self.client.pace.pay(piece.len() as u64);
        let mut rest: &[u8] = piece;
        while !rest.is_empty() {
            let most = usize::try_from(self.sink.discardable()).unwrap_or(usize::MAX).min(rest.len());
            if most == 0 {
                // What follows may be discardable again, which is asked with the next piece.
                return self.sink.take(rest);
            }
            self.sink.discarded(most as u64);
            rest = rest.get(most..).unwrap_or_default();
        }
    }

    fn whole(&mut self) -> Result<Option<Arrived>, FetchError> {
        let length = self.head.as_ref().map(|head| head.framing);
        if let Some(Framing::Length(length)) = length
            && length != self.body_bytes
        {
            let why = format!("{} bytes arrived, and {length} were announced", self.body_bytes);
            return self.lost(Lost {
                end: End::ClosedByPeer,
                why,
                is_unprocessed: false,
                is_of_connection: false,
            });
        }
        let (started_ns, ended_ns, body_bytes) = (self.started_ns, self.last_ns, self.body_bytes);
        let first_byte_ns = self.first_byte_ns.unwrap_or(ended_ns);
        match self.end(End::Complete) {
            Some(head) => Ok(Some(Arrived { head, started_ns, first_byte_ns, ended_ns, body_bytes })),
            None => Err(FetchError::Malformed("a response without a head".into())),
        }
    }

    /// The response is lost. A request that the server has not processed is sent again, as is one on a kept connection
    /// that turned out to be closed.
    fn lost(&mut self, lost: Lost) -> Result<Option<Arrived>, FetchError> {
        let is_kept = self.connection.as_ref().is_some_and(|(connection, _)| connection.is_kept());
        let is_stale = lost.is_unprocessed || (is_kept && lost.is_of_connection && self.head.is_none());
        if is_stale && self.may_repeat {
            self.end(End::Stale);
            return Ok(None);
        }
        let has_begun = self.head.is_some();
        self.end(lost.end);
        match lost.end {
            End::TimedOut => Err(FetchError::TimedOut),
            End::Malformed => Err(FetchError::Malformed(lost.why)),
            _ if has_begun => Err(FetchError::Cut(lost.why)),
            _ => Err(FetchError::Broken(lost.why)),
        }
    }

    /// Reports the end of the exchange, once; returns the head of the response.
    fn end(&mut self, end: End) -> Option<Box<Head>> {
        let (connection, incoming) = self.connection.take()?;
        let facts = connection.facts();
        if facts.received_bytes > 0 {
            self.client.observer.received(facts.received_bytes, true);
        }
        let incoming = incoming?;
        // What has arrived and was not taken belongs to no exchange, as what stays in the socket of HTTP/1.1.
        let head_bytes = match self.head {
            Some(_) => connection.head_bytes(&incoming, self.body_bytes),
            None => 0,
        };
        connection.forget(&incoming);
        if end == End::Complete {
            connection.keep();
        }
        let now = now_ns();
        let since = |at: u64| at.saturating_sub(self.started_ns);
        let mut transfer = Transfer {
            url: self.url.clone(),
            through_proxy: false,
            version: facts.version,
            connection: facts.connection,
            streams: self.streams,
            peer: facts.peer,
            local_port: facts.local_port,
            tls: true,
            started_ns: self.started_ns,
            dns_ns: facts.times.dns_ns,
            connect_ns: facts.times.connect_ns,
            tls_ns: facts.times.tls_ns,
            quic_ns: facts.times.quic_ns,
            first_byte_ns: self.first_byte_ns.map(since),
            last_byte_ns: self.first_byte_ns.map(|_| since(self.last_ns)),
            idle_ns: now.saturating_sub(self.last_ns),
            end,
            head: self.head.take(),
            head_bytes,
            body_bytes: self.body_bytes,
            excess_bytes: 0,
            received_bytes: None,
            retransmits: facts.retransmits,
            lost_packets: facts.lost_packets,
            rtt_us: facts.rtt_us,
            min_rtt_us: facts.min_rtt_us,
        };
        self.client.observer.transfer(self.tag, self.sink, &transfer);
        transfer.head.take()
    }
}

impl<O: Observer> Drop for StreamFlight<'_, O> {
    fn drop(&mut self) {
        self.end(End::ClosedByViewer);
    }
}

/// What comes next of a response.
enum Next {
    Head,
    Data(Bytes),
    End,
}

enum Sending {
    Unsendable(String),
    Lost(Lost),
}

enum Receiving {
    Lost(Lost),
    Malformed(String),
}
