//! From what the client measured to the events of a run, and to what the player has to know.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use hls_swarm_client::head::CacheResult;
use hls_swarm_client::{ConnectFailure, End, Observer, Transfer};
use hls_swarm_model::content::{Content, Defect};
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Cache, Exchange, Kind, Outcome};
use hls_swarm_model::listed::{Rendition, SegmentId, VariantLabel};
use hls_swarm_probe::record::url_hash;
use url::{Position, Url};

use super::body::Body;
use super::outbox::Outbox;
use super::playlists::{Known, Playlists};
use crate::engine::Session;

/// errno of what is not HTTP.
const EPROTO: u16 = 71;

/// What a viewer knows of a request, and gets to know of its response.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    pub(super) rendition: Rendition,
    pub(super) segment: Option<SegmentId>,
    pub(super) variant: Option<Arc<VariantLabel>>,
    pub(super) is_blocking_reload: bool,
    /// Whether the player gave it up.
    pub(super) is_abandoned: Cell<bool>,
    /// The playlist in the body, and the hash of its address.
    pub(super) playlist: RefCell<Option<(Known, u64)>>,
    /// What is wrong with the body.
    pub(super) defect: Cell<Option<Defect>>,
}

/// The observer of one session.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) session: Session,
    pub(super) outbox: Rc<Outbox>,
    pub(super) playlists: Rc<RefCell<Playlists>>,
    /// Of the process, since viewers have none of their own.
    pub(super) pid: u32,
}

impl Observer for Recorder {
    type Tag = Rc<Tag>;
    type Sink = Body;

    fn transfer(&self, tag: &Rc<Tag>, body: &Body, transfer: &Transfer) {
        let hash = hash(&transfer.url, transfer.through_proxy);
        let is_whole = transfer.end == End::Complete && body.is_served;
        let kept = body.kept.as_ref().filter(|kept| is_whole && !kept.is_cut);
        let known = kept
            .and_then(|kept| self.playlists.borrow_mut().take(hash, &transfer.url, &kept.body, body.coding));
        let exchange = self.exchange(tag, body, transfer, hash, known.as_ref());
        tag.defect.set(exchange.defect());
        if let Some(known) = known {
            self.outbox.push(Event::Playlist {
                viewer: self.session.viewer,
                generation: self.session.generation,
                playlist: hash,
                rendition: tag.rendition,
                said: known.playlist.clone(),
                at_ns: transfer.started_ns.saturating_add(transfer.last_byte_ns.unwrap_or(0)),
            });
            tag.playlist.replace(Some((known, hash)));
        }
        self.outbox.push(Event::Exchange(Box::new(exchange)));
    }

    fn connect_failed(&self, failure: ConnectFailure) {
        let ConnectFailure { reason, timed_out, given_up_after_ns, handshake_left } = failure;
        let viewer = self.session.viewer;
        self.outbox.push(Event::ConnectFailed {
            viewer,
            reason,
            timed_out,
            given_up_after_ns,
            handshake_left,
        });
    }

    fn received(&self, bytes: u64, tls: bool) {
        self.outbox.push(Event::Received { viewer: self.session.viewer, bytes, tls });
    }
}

impl Recorder {
    fn exchange(
        &self,
        tag: &Tag,
        body: &Body,
        transfer: &Transfer,
        url_hash: u64,
        known: Option<&Known>,
    ) -> Exchange {
        let is_complete = transfer.end == End::Complete;
        let head = transfer.head.as_deref();
        let content = match known {
            Some(_) => Some(Content::Playlist),
            None if is_complete && transfer.body_bytes == 0 && body.is_served => Some(Content::Empty),
            None => body.content(),
        };
        let name = transfer.url.path().rsplit('/').next().unwrap_or_default();
        Exchange {
            viewer: self.session.viewer,
            generation: self.session.generation,
            pid: self.pid,
            connection: transfer.connection,
            kind: tag.kind,
            name: name.into(),
            url_hash,
            status: head.map(|head| head.status),
            outcome: outcome(transfer.end, tag.is_abandoned.get()),
            started_ns: transfer.started_ns,
            dns_ns: transfer.dns_ns,
            connect_ns: transfer.connect_ns,
            tls_ns: transfer.tls_ns,
            first_byte_ns: transfer.first_byte_ns,
            download_ns: transfer
                .last_byte_ns
                .zip(transfer.first_byte_ns)
                .filter(|_| is_complete)
                .map(|(last, first)| last.saturating_sub(first)),
            idle_ns: (!is_complete).then_some(transfer.idle_ns),
            head_bytes: transfer.head_bytes,
            body_bytes: transfer.body_bytes,
            content,
            cut_short: is_complete && body.is_cut_short(),
            announced_bytes: head.and_then(|head| head.announced),
            unknown_body: false,
            excess_bytes: transfer.excess_bytes,
            segment: tag.segment,
            // Native viewers do not request them.
            gap: false,
            variant: tag.variant.clone(),
            blocking_reload: tag.is_blocking_reload,
            received_bytes: transfer.received_bytes,
            tls: transfer.tls,
            retransmits: transfer.retransmits,
            rtt_us: transfer.rtt_us,
            min_rtt_us: transfer.min_rtt_us,
            cache: head.and_then(|head| head.cache).map(|cache| match cache {
                CacheResult::Hit => Cache::Hit,
                CacheResult::Miss => Cache::Miss,
                CacheResult::Other => Cache::Other,
            }),
            age_s: head.and_then(|head| head.age_s),
            edge: head.and_then(|head| head.edge.clone()),
            playlist: known.and_then(|known| known.state),
            peer: Some((transfer.peer.ip(), transfer.peer.port())),
            local_port: transfer.local_port,
        }
    }
}

fn outcome(end: End, is_abandoned: bool) -> Outcome {
    match end {
        End::Complete => Outcome::Complete,
        End::ClosedByViewer if is_abandoned => Outcome::Abandoned,
        // A viewer that waited for as long as it does counts as timed out by its idle time.
        End::ClosedByViewer | End::TimedOut => Outcome::ClosedByViewer,
        End::ClosedByPeer => Outcome::ClosedByPeer,
        End::SocketError(errno) => Outcome::SocketError(errno),
        End::Malformed => Outcome::SocketError(EPROTO),
        End::Stale => Outcome::Stale,
    }
}

/// The hash of a request, as for any other viewer.
fn hash(url: &Url, through_proxy: bool) -> u64 {
    let target = if through_proxy {
        &url[..Position::AfterQuery]
    } else {
        &url[Position::BeforePath..Position::AfterQuery]
    };
    url_hash(target.as_bytes(), url[Position::BeforeHost..Position::AfterPort].as_bytes())
}
