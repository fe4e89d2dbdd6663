//! Reads a stream's playlists as a player would: what viewers will play, and whether a live stream has ended.
//! Its requests are not measured.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_hls::playlist::{self, Media, Multivariant, Playlist, Variant};
use hls_swarm_hls::selection::{self, Selected, Selection};
use hls_swarm_http::fetch::{self, without_secrets};
use hls_swarm_http::site_rules;
use hls_swarm_http::target_policy::TargetPolicy;

use crate::cli::run::ProbeFailurePolicy;
use crate::config::plan::Stream;

/// Longest fetch. Invalid input has to be reported within seconds, whatever the viewers' time-out is.
const MAX_FETCH: Duration = Duration::from_secs(10);
/// Longest fetch while a viewer waits to be restarted.
const SHORT_FETCH: Duration = Duration::from_secs(3);
/// How long the answer to "has it ended?" is reused; a thousand viewers may ask at the same time.
const FRESH: Duration = Duration::from_secs(2);

/// What was found in a stream's playlists.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The first selection that viewers play; others follow in turn.
    pub first: Selection,
    /// The other selections, where viewers play different variants.
    pub others: Vec<Selection>,
    /// A description for the preflight report.
    pub summary: String,
    /// Why this is not the variant that was asked for.
    pub fallback_reason: Option<String>,
}

/// Fetches the playlists of a stream and selects what viewers play.
///
/// # Errors
/// A preflight failure: the stream cannot be fetched, is not a playlist, leads to a host that may not be
/// loaded, or has no variant that matches while the plan accepts no other.
pub async fn inspect(stream: &Stream, target_policy: &TargetPolicy) -> Result<Inspection, Failure> {
    let (at, found) = fetch_playlist(stream, &stream.url, target_policy).await?;
    let multivariant = match found {
        Playlist::Media(media) => {
            check_hosts(stream, &media, target_policy)?;
            let summary = describe(&media, "one rendition");
            return Ok(Inspection::one(selection_of(stream.url.clone(), None, &media, stream), summary));
        }
        Playlist::Multivariant(multivariant) => multivariant,
    };
    let of = format!("{} variants of {}", multivariant.variants.len(), at.path());
    let selected = match selection::select(&multivariant, stream.variant) {
        Ok(Selected::Multivariant) => return whole(stream, &multivariant, &of, target_policy).await,
        Ok(Selected::Variants(variants)) => {
            chosen(stream, &multivariant, &variants, &of, target_policy).await
        }
        Err(none) => Err(Failure::preflight(format!("--variant {}: {}", stream.variant, none))
            .help("pass one of them, or another --variant")),
    };
    match (selected, stream.no_variant) {
        (Err(failure), ProbeFailurePolicy::Fallback) => {
            let found = whole(stream, &multivariant, &of, target_policy).await?;
            Ok(Inspection { fallback_reason: Some(failure.chain()), ..found })
        }
        (selected, _) => selected,
    }
}

/// Selects the multivariant playlist itself.
async fn whole(
    stream: &Stream,
    multivariant: &Multivariant,
    of: &str,
    target_policy: &TargetPolicy,
) -> Result<Inspection, Failure> {
    let first = multivariant.variants.first().ok_or_else(|| nothing_listed(&stream.url))?;
    let media = media(stream, &first.url, target_policy).await?;
    for url in multivariant.variants.iter().map(|one| &one.url).chain(multivariant.separate_audio()) {
        site_rules::check(target_policy, url, &stream.resolve)?;
    }
    let summary = describe(&media, &format!("all {of}"));
    Ok(Inspection::one(selection_of(stream.url.clone(), None, &media, stream), summary))
}

/// Selects some variants by their media playlists, because FFmpeg would open all variants of a multivariant playlist.
async fn chosen(
    stream: &Stream,
    multivariant: &Multivariant,
    variants: &[&Variant],
    of: &str,
    target_policy: &TargetPolicy,
) -> Result<Inspection, Failure> {
    let mut selections = Vec::new();
    let mut shown = None;
    for variant in variants {
        let media = media(stream, &variant.url, target_policy).await?;
        let audio = multivariant.audio_of(variant).cloned();
        if let Some(url) = &audio {
            self::media(stream, url, target_policy).await?;
        }
        selections.push(selection_of(variant.url.clone(), audio, &media, stream));
        shown.get_or_insert(media);
    }
    let mut selections = selections.into_iter();
    let (Some(first), Some(media)) = (selections.next(), shown) else {
        return Err(nothing_listed(&stream.url));
    };
    let apart = if first.audio.is_some() { " with its separate audio" } else { "" };
    let what = match variants {
        [one] => format!("{}{apart}, of {of}", selection::describe(one)),
        many => format!("one of {} in turn{apart}, of {of}", many.len()),
    };
    let summary = describe(&media, &what);
    Ok(Inspection { others: selections.collect(), ..Inspection::one(first, summary) })
}

impl Inspection {
    const fn one(first: Selection, summary: String) -> Self {
        Self { first, others: Vec::new(), summary, fallback_reason: None }
    }
}

async fn media(stream: &Stream, url: &Url, target_policy: &TargetPolicy) -> Result<Media, Failure> {
    match fetch_playlist(stream, url, target_policy).await? {
        (_, Playlist::Media(media)) => check_hosts(stream, &media, target_policy).map(|()| media),
        _ => Err(nothing_listed(url)),
    }
}

/// Checks the hosts of segments, which may differ from the playlist's.
fn check_hosts(stream: &Stream, media: &Media, target_policy: &TargetPolicy) -> Result<(), Failure> {
    let mut known = None;
    for url in media.segments.iter().map(|segment| &segment.url) {
        if known != url.host_str() {
            site_rules::check(target_policy, url, &stream.resolve)?;
            known = url.host_str();
        }
    }
    Ok(())
}

fn selection_of(url: Url, audio: Option<Url>, media: &Media, stream: &Stream) -> Selection {
    let promised = Some(media.longest_segment()).filter(|seconds| *seconds > 0.0);
    let target_duration = promised.unwrap_or(stream.target_duration.as_secs_f64());
    Selection { url, audio, live: media.is_live(), target_duration }
}

fn describe(media: &Media, chosen: &str) -> String {
    if media.is_live() {
        format!("live, segments of up to {} s, {chosen}", media.target_duration)
    } else {
        format!("VOD of {:.0} s, {} segments, {chosen}", media.duration(), media.segments.len())
    }
}

fn nothing_listed(url: &Url) -> Failure {
    Failure::preflight(format!("{} does not lead to a media playlist", without_secrets(url)))
        .help("check the multivariant playlist")
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
        timeout: stream.timeout.min(MAX_FETCH),
        verify_tls: stream.verify_tls,
        resolve: stream.resolve.clone(),
        target_policy: target_policy.clone(),
    })
    .await?;
    let text = String::from_utf8_lossy(&response.body);
    let found = playlist::parse(&text, &response.url).map_err(|error| {
        Failure::preflight(format!("{} is not a playlist that can be played", without_secrets(url)))
            .caused_by(error)
            .help("pass the URL of an HLS playlist (.m3u8) that lists segments or variants")
    })?;
    Ok((response.url, found))
}

/// Whether a live stream has ended (EXT-X-ENDLIST), with one fetch for all viewers that ask at the same
/// time.
#[derive(Debug, Default)]
pub struct StreamEnd {
    known: Mutex<Option<(Instant, bool)>>,
}

impl StreamEnd {
    /// Whether `stream` has ended. A stream that cannot be fetched has not ended: it has failed.
    pub async fn reached(&self, stream: &Stream, target_policy: &TargetPolicy) -> bool {
        let mut known = self.known.lock().await;
        match *known {
            // An ended stream stays ended.
            Some((_, true)) => return true,
            Some((asked, ended)) if asked.elapsed() < FRESH => return ended,
            _ => {}
        }
        let short = Stream { timeout: stream.timeout.min(SHORT_FETCH), ..stream.clone() };
        let ended = inspect(&short, target_policy).await.is_ok_and(|inspection| !inspection.first.live);
        *known = Some((Instant::now(), ended));
        ended
    }
}
