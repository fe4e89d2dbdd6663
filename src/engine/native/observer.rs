//! From what the client measured to the events of a run, and to what the player needs to know.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use hls_swarm_client::{ConnectFailure, End, Observer, Transfer};
use hls_swarm_hls::playlist::Playlist;
use hls_swarm_hls::steering::{InvalidSteeringManifest, SteeringManifest};
use hls_swarm_model::content::{Content, Defect};
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Exchange, Kind, Outcome};
use hls_swarm_model::listed::{Rendition, SegmentId, VariantLabel};
use hls_swarm_model::metric::counters::Counter;
use hls_swarm_player::cmcd::without_cmcd;
use hls_swarm_probe::record::url_hash;
use url::{Position, Url};

use super::body::Body;
use super::playlists::{self, Known};
use super::shard::Shared;
use crate::engine::{Session, measured};

/// What a viewer knows of a request, and gets to know of its response.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    pub(super) rendition: Rendition,
    pub(super) segment: Option<SegmentId>,
    pub(super) variant: Option<Arc<VariantLabel>>,
    pub(super) is_blocking_reload: bool,
    /// The multivariant playlist, whose variables a media playlist may import.
    pub(super) multivariant: Option<Arc<Playlist>>,
    /// Whether the player gave it up.
    pub(super) is_abandoned: Cell<bool>,
    /// The playlist in the body, and the hash of its address.
    pub(super) playlist: RefCell<Option<(Known, u64)>>,
    /// The steering manifest in the body, or why it is none.
    pub(super) steering: RefCell<Option<Result<Arc<SteeringManifest>, InvalidSteeringManifest>>>,
    /// What is wrong with the body.
    pub(super) defect: Cell<Option<Defect>>,
}

/// The observer of one session.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) session: Session,
    pub(super) shared: Rc<Shared>,
}

impl Observer for Recorder {
    type Tag = Rc<Tag>;
    type Sink = Body;

    fn transfer(&self, tag: &Rc<Tag>, body: &Body, transfer: &Transfer) {
        let hash = hash(&without_cmcd(&transfer.url), transfer.through_proxy);
        let is_whole = transfer.end == End::Complete && body.is_served;
        let kept = body.kept.as_ref().filter(|kept| is_whole && !kept.is_cut);
        let imports = match tag.multivariant.as_deref() {
            Some(Playlist::Multivariant(main)) => main.definitions.as_slice(),
            _ => &[],
        };
        let is_steering = tag.kind == Kind::Steering;
        if let Some(kept) = kept.filter(|_| is_steering) {
            let text = playlists::decoded_body(&kept.body, body.coding);
            let steering = text.map(|text| SteeringManifest::read(&text, &transfer.url).map(Arc::new));
            tag.steering.replace(steering);
        }
        let known = kept.filter(|_| !is_steering).and_then(|kept| {
            self.shared.playlists.borrow_mut().take(hash, &transfer.url, &kept.body, body.coding, imports)
        });
        let exchange = self.exchange(tag, body, transfer, hash, known.as_ref());
        tag.defect.set(exchange.defect());
        if let Some(known) = known {
            self.shared.outbox.push(Event::Playlist {
                viewer: self.session.viewer,
                generation: self.session.generation,
                playlist: hash,
                rendition: tag.rendition,
                said: known.playlist.clone(),
                at_ns: transfer.started_ns.saturating_add(transfer.last_byte_ns.unwrap_or(0)),
            });
            tag.playlist.replace(Some((known, hash)));
        }
        if let Some(reading) = body.reading.as_ref().filter(|_| is_whole && tag.defect.get().is_none()) {
            let variant = tag.variant.clone();
            let mut contents = self.shared.contents.borrow_mut();
            let read = contents.take(reading, body.coding, &exchange.name, variant, transfer);
            if let Some(read) = read {
                self.shared.outbox.push(Event::SegmentRead(Box::new(read)));
            }
        }
        self.shared.outbox.push(Event::Exchange(Box::new(exchange)));
    }

    fn connect_failed(&self, failure: ConnectFailure) {
        let events = measured::connect_failure(self.session.viewer, failure);
        events.into_iter().flatten().for_each(|event| self.shared.outbox.push(event));
    }

    fn alternative_failed(&self, reason: &str) {
        let viewer = self.session.viewer;
        tracing::debug!(viewer, reason, "an announced HTTP/3 connection could not be made");
        self.shared.outbox.push(Event::Counted { viewer, counter: Counter::AlternativesFailed, events: 1 });
    }

    fn received(&self, bytes: u64, tls: bool) {
        self.shared.outbox.push(Event::Received { viewer: self.session.viewer, bytes, tls });
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
        let content = match known {
            Some(_) => Some(Content::Playlist),
            None if is_complete && transfer.body_bytes == 0 && body.is_served => Some(Content::Empty),
            None => body.content(),
        };
        let measured = measured::exchange(self.session, self.shared.pid, tag.kind, url_hash, transfer);
        let is_abandoned = measured.outcome == Outcome::ClosedByViewer && tag.is_abandoned.get();
        Exchange {
            outcome: if is_abandoned { Outcome::Abandoned } else { measured.outcome },
            content,
            cut_short: is_complete && body.is_cut_short(),
            segment: tag.segment,
            // A gap stays false: native viewers do not request announced gaps.
            variant: tag.variant.clone(),
            blocking_reload: tag.is_blocking_reload,
            playlist: known.and_then(|known| known.state),
            ..measured
        }
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
