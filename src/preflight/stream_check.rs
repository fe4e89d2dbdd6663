//! Looks at a stream as a player would: what there is to play, and whether a live stream has ended.
//! Only looks: what is measured never passes through here.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_hls as playlist;
use hls_swarm_hls::selection::{Selection, choose, offer};
use hls_swarm_hls::{MediaPlaylist, MultivariantPlaylist, Playlist, Variant};
use hls_swarm_http::fetch::{self, without_secrets};
use hls_swarm_http::site_rules;
use hls_swarm_http::target_policy::TargetPolicy;

use crate::cli::run::ProbeFailurePolicy;
use crate::config::plan::Stream;
use crate::engine::ffmpeg::argv::Play;

/// Bad input has to show within seconds, however patient viewers are.
const LONGEST_FETCH: Duration = Duration::from_secs(10);
/// A viewer that asks whether the stream has ended waits to be started again.
const SHORT_FETCH: Duration = Duration::from_secs(3);
/// How long the answer to "has it ended?" holds; a thousand viewers may ask at once.
const FRESH: Duration = Duration::from_secs(2);

/// What there is to play.
#[derive(Clone, Debug)]
pub struct Found {
    /// What viewers play, in turn.
    pub first: Play,
    /// The rest of it.
    pub others: Vec<Play>,
    /// In words.
    pub finding: String,
    /// Why it is not what was wished for.
    pub instead: Option<String>,
}

/// Looks at the stream as a player would, and says what will be played.
///
/// # Errors
/// A preflight failure: the stream cannot be fetched, is no playlist, leads where it may not, or has no
/// variant as it is wished for and the plan takes no other.
pub async fn look(stream: &Stream, target_policy: &TargetPolicy) -> Result<Found, Failure> {
    let (at, found) = fetch_playlist(stream, &stream.url, target_policy).await?;
    let master = match found {
        Playlist::Media(media) => {
            within(stream, &media, target_policy)?;
            let finding = describe(&media, "one rendition");
            return Ok(Found::one(play(stream.url.clone(), None, &media, stream), finding));
        }
        Playlist::Multivariant(master) => master,
    };
    let of = format!("{} variants of {}", master.variants.len(), at.path());
    let wished = match choose(&master, stream.variant) {
        Ok(Selection::Whole) => return whole(stream, &master, &of, target_policy).await,
        Ok(Selection::Of(variants)) => chosen(stream, &master, &variants, &of, target_policy).await,
        Err(none) => Err(Failure::preflight(format!("--variant {}: {}", stream.variant, none))
            .help("pass one of them, or another --variant")),
    };
    match (wished, stream.no_variant) {
        (Err(failure), ProbeFailurePolicy::Fallback) => {
            let found = whole(stream, &master, &of, target_policy).await?;
            Ok(Found { instead: Some(failure.chain()), ..found })
        }
        (wished, _) => wished,
    }
}

/// Every variant at once, by the master playlist itself.
async fn whole(
    stream: &Stream,
    master: &MultivariantPlaylist,
    of: &str,
    target_policy: &TargetPolicy,
) -> Result<Found, Failure> {
    let first = master.variants.first().ok_or_else(|| nothing_listed(&stream.url))?;
    let media = media(stream, &first.url, target_policy).await?;
    for url in master.variants.iter().map(|one| &one.url).chain(master.separate_audio()) {
        site_rules::check(target_policy, url, &stream.resolve)?;
    }
    let finding = describe(&media, &format!("all {of}"));
    Ok(Found::one(play(stream.url.clone(), None, &media, stream), finding))
}

/// Some variants, by their media playlists: a master playlist would have FFmpeg open all of them.
async fn chosen(
    stream: &Stream,
    master: &MultivariantPlaylist,
    variants: &[&Variant],
    of: &str,
    target_policy: &TargetPolicy,
) -> Result<Found, Failure> {
    let mut plays = Vec::new();
    let mut shown = None;
    for variant in variants {
        let media = media(stream, &variant.url, target_policy).await?;
        let audio = master.audio_of(variant).cloned();
        if let Some(url) = &audio {
            self::media(stream, url, target_policy).await?;
        }
        plays.push(play(variant.url.clone(), audio, &media, stream));
        shown.get_or_insert(media);
    }
    let mut plays = plays.into_iter();
    let (Some(first), Some(media)) = (plays.next(), shown) else { return Err(nothing_listed(&stream.url)) };
    let apart = if first.audio.is_some() { " with its separate audio" } else { "" };
    let what = match variants {
        [one] => format!("{}{apart}, of {of}", offer(one)),
        many => format!("one of {} in turn{apart}, of {of}", many.len()),
    };
    let finding = describe(&media, &what);
    Ok(Found { others: plays.collect(), ..Found::one(first, finding) })
}

impl Found {
    const fn one(first: Play, finding: String) -> Self {
        Self { first, others: Vec::new(), finding, instead: None }
    }
}

async fn media(stream: &Stream, url: &Url, target_policy: &TargetPolicy) -> Result<MediaPlaylist, Failure> {
    match fetch_playlist(stream, url, target_policy).await? {
        (_, Playlist::Media(media)) => within(stream, &media, target_policy).map(|()| media),
        _ => Err(nothing_listed(url)),
    }
}

/// Segments may lie on other hosts than their playlist.
fn within(stream: &Stream, media: &MediaPlaylist, target_policy: &TargetPolicy) -> Result<(), Failure> {
    let mut known = None;
    for url in media.segments.iter().map(|segment| &segment.url) {
        if known != url.host_str() {
            site_rules::check(target_policy, url, &stream.resolve)?;
            known = url.host_str();
        }
    }
    Ok(())
}

fn play(url: Url, audio: Option<Url>, media: &MediaPlaylist, stream: &Stream) -> Play {
    let promised = Some(media.longest_segment()).filter(|seconds| *seconds > 0.0);
    let target_duration = promised.unwrap_or(stream.target_duration.as_secs_f64());
    Play { url, audio, live: media.is_live(), target_duration }
}

fn describe(media: &MediaPlaylist, chosen: &str) -> String {
    if media.is_live() {
        format!("live, segments of up to {} s, {chosen}", media.target_duration)
    } else {
        format!("VOD of {:.0} s, {} segments, {chosen}", media.duration(), media.segments.len())
    }
}

fn nothing_listed(url: &Url) -> Failure {
    Failure::preflight(format!("{} leads to no media playlist", without_secrets(url)))
        .help("check the master playlist")
}

async fn fetch_playlist(
    stream: &Stream,
    url: &Url,
    target_policy: &TargetPolicy,
) -> Result<(Url, Playlist), Failure> {
    let response = fetch::get(fetch::Request {
        url: url.clone(),
        headers: stream.headers.clone(),
        user_agent: stream.preflight_user_agent(),
        timeout: stream.timeout.min(LONGEST_FETCH),
        verify_tls: stream.verify_tls,
        resolve: stream.resolve.clone(),
        target_policy: target_policy.clone(),
    })
    .await?;
    let text = String::from_utf8_lossy(&response.body);
    let found = playlist::parse(&text, &response.url).map_err(|error| {
        Failure::preflight(format!("{} is no playlist that can be played", without_secrets(url)))
            .caused_by(error)
            .help("pass the URL of an HLS playlist (.m3u8) that lists segments or variants")
    })?;
    Ok((response.url, found))
}

/// Answers whether a live stream has come to its end (EXT-X-ENDLIST), with one fetch for all who ask
/// at the same time.
#[derive(Debug, Default)]
pub struct StreamEnd {
    known: Mutex<Option<(Instant, bool)>>,
}

impl StreamEnd {
    /// Whether `stream` has ended. A stream that cannot be fetched has not: it is broken.
    pub async fn reached(&self, stream: &Stream, target_policy: &TargetPolicy) -> bool {
        let mut known = self.known.lock().await;
        match *known {
            // What has ended stays ended.
            Some((_, true)) => return true,
            Some((asked, ended)) if asked.elapsed() < FRESH => return ended,
            _ => {}
        }
        let hurried = Stream { timeout: stream.timeout.min(SHORT_FETCH), ..stream.clone() };
        let ended = look(&hurried, target_policy).await.is_ok_and(|found| !found.first.live);
        *known = Some((Instant::now(), ended));
        ended
    }
}
