//! The beginning of a session in which the viewer plays some variants only: it requests the multivariant playlist
//! itself, with its own headers, and selects from its own response. So each viewer has a session of its own where the
//! server gives one to each (by a redirect, a cookie, or addresses that differ), and its request is part of the load.
//!
//! FFmpeg cannot do this: it opens all variants of a multivariant playlist. So this program makes the request, and the
//! player gets the address of the media playlist, with the cookies of the response.

use tokio_util::sync::CancellationToken;

use hls_swarm_client::Transfer;
use hls_swarm_hls::playlist::Playlist;
use hls_swarm_hls::request_target::RequestTarget;
use hls_swarm_hls::selection::Selection;
use hls_swarm_model::content::Content;
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Exchange, Kind};
use hls_swarm_model::listed::Rendition;
use hls_swarm_probe::record::url_hash;

use super::probe::playlists::SharedPlaylists;
use super::viewer::{RunContext, StreamTarget};
use super::{Session, measured};
use crate::stream_check::{self, Choice};

/// The result of opening a session.
#[derive(Debug)]
pub(crate) enum Opening {
    /// The viewer plays this.
    Plays(Box<Selection>),
    /// The viewer was stopped.
    Stopped,
    /// The viewer cannot play, for this reason.
    Failed(String),
}

/// Lets a viewer select what it plays. What the multivariant playlist lists is added to `playlists`.
pub(crate) async fn open(
    context: &RunContext,
    session: Session,
    stop: &CancellationToken,
    playlists: Option<&SharedPlaylists>,
) -> Opening {
    let Session { viewer, generation } = session;
    let target = context.target_of(viewer);
    let StreamTarget { selection, fetcher, .. } = target;
    if selection.turn.is_none() {
        return Opening::Plays(Box::new(selection.clone()));
    }
    let source = context.plan.network.source_of(viewer);
    let ask = stream_check::opening(fetcher, viewer, source, stop.clone());
    let answer = match fetcher.fetch(ask).await {
        Ok(answer) => answer,
        Err(failure) => return Opening::Failed(failure.chain()),
    };
    for failure in &answer.connect_failures {
        for event in measured::connect_failure(viewer, failure.clone()).into_iter().flatten() {
            context.record(event).await;
        }
    }
    for (bytes, tls) in answer.received.into_iter().zip([false, true]).filter(|(bytes, _)| *bytes > 0) {
        context.record(Event::Received { viewer, bytes, tls }).await;
    }
    let transfers = answer.transfers.clone();
    let choice = stream_check::choose(fetcher, selection, answer);
    let is_playlist = choice.is_ok();
    let last = transfers.len().saturating_sub(1);
    for (place, transfer) in transfers.iter().enumerate() {
        let content = (is_playlist && place == last).then_some(Content::Playlist);
        let exchange = Exchange { generation, content, ..exchange(viewer, transfer) };
        context.record(Event::Exchange(Box::new(exchange))).await;
    }
    match choice {
        _ if stop.is_cancelled() => Opening::Stopped,
        Err(failure) => Opening::Failed(failure.chain()),
        Ok(Choice { playlist, selection }) => {
            if let Some((url, multivariant)) = playlist {
                let request = RequestTarget::from(&url);
                let said = Playlist::Multivariant(multivariant);
                if let Some(playlists) = playlists {
                    playlists.learn(&request, &said);
                }
                let at_ns = transfers.last().map_or(0, |one| one.started_ns + one.last_byte_ns.unwrap_or(0));
                context
                    .record(Event::Playlist {
                        viewer,
                        generation,
                        playlist: url_hash(request.target.as_bytes(), request.host.as_bytes()),
                        rendition: Rendition::Main,
                        said: said.into(),
                        at_ns,
                    })
                    .await;
            }
            Opening::Plays(Box::new(selection))
        }
    }
}

/// A measured request for a playlist as an exchange of the statistics.
fn exchange(viewer: u32, transfer: &Transfer) -> Exchange {
    let request = RequestTarget::from(&transfer.url);
    let hash = url_hash(request.target.as_bytes(), request.host.as_bytes());
    // No process of its own made the request.
    let measured = measured::exchange(Session { viewer, generation: 1 }, 0, Kind::Playlist, hash, transfer);
    Exchange {
        // Numbered from the other end, because the player's process numbers its own connections from 1.
        connection: u32::MAX - transfer.connection,
        blocking_reload: request.is_blocking_reload(),
        ..measured
    }
}
