//! Looks at a stream as a player would: what there is to play, and whether a live stream has ended.
//! Only looks: what is measured never passes through here.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::pure::ffmpeg::argv::Play;
use crate::pure::plan::Stream;
use crate::pure::playlist::{self, Media, Playlist, choice};
use crate::system::fetch::{self, without_secrets};
use crate::words::failure::Failure;

/// Bad input has to show within seconds, however patient viewers are.
const LONGEST_FETCH: Duration = Duration::from_secs(10);
/// A viewer that asks whether the stream has ended waits to be started again.
const SHORT_FETCH: Duration = Duration::from_secs(3);
/// How long the answer to "has it ended?" holds; a thousand viewers may ask at once.
const FRESH: Duration = Duration::from_secs(2);

/// Looks at the stream as a player would, and says what will be played.
///
/// # Errors
/// A preflight failure: the stream cannot be fetched, or is no playlist.
pub async fn look(stream: &Stream) -> Result<(Play, String), Failure> {
    let (at, found) = fetch_playlist(stream, &stream.url).await?;
    let (url, media, chosen) = match found {
        Playlist::Media(media) => (stream.url.clone(), media, "one rendition".to_owned()),
        Playlist::Master(master) => {
            let choice = choice::choose(&master, stream.variant);
            let of = format!("{} variants of {}", master.variants.len(), at.path());
            let look_at = choice.or(master.variants.first()).ok_or_else(|| nothing_listed(&stream.url))?;
            let (_, media) = fetch_playlist(stream, &look_at.url).await?;
            let Playlist::Media(media) = media else { return Err(nothing_listed(&look_at.url)) };
            let url = choice.map_or_else(|| stream.url.clone(), |variant| variant.url.clone());
            let chosen = match choice {
                Some(variant) => format!("{} bit/s of {of}", variant.bandwidth),
                None => format!("all {of}"),
            };
            (url, media, chosen)
        }
    };
    Ok((play(url, &media, stream), describe(&media, &chosen)))
}

fn play(url: Url, media: &Media, stream: &Stream) -> Play {
    let promised = Some(media.target_duration).filter(|seconds| *seconds > 0.0);
    let target_duration = promised.unwrap_or(stream.target_duration.as_secs_f64());
    Play { url, live: media.live, target_duration }
}

fn describe(media: &Media, chosen: &str) -> String {
    if media.live {
        format!("live, segments of up to {} s, {chosen}", media.target_duration)
    } else {
        format!("VOD of {:.0} s, {} segments, {chosen}", media.duration(), media.segments.len())
    }
}

fn nothing_listed(url: &Url) -> Failure {
    Failure::preflight(format!("{} leads to no media playlist", without_secrets(url)))
        .cure("check the master playlist")
}

async fn fetch_playlist(stream: &Stream, url: &Url) -> Result<(Url, Playlist), Failure> {
    let response = fetch::get(fetch::Request {
        url: url.clone(),
        headers: stream.headers.clone(),
        user_agent: stream.preflight_user_agent(),
        timeout: stream.timeout.min(LONGEST_FETCH),
        verify_tls: stream.verify_tls,
    })
    .await?;
    let text = String::from_utf8_lossy(&response.body);
    let found = playlist::parse(&text, &response.url).map_err(|error| {
        Failure::preflight(format!("{} is no playlist that can be played", without_secrets(url)))
            .because(error)
            .cure("pass the URL of an HLS playlist (.m3u8) that lists segments or variants")
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
    pub async fn reached(&self, stream: &Stream) -> bool {
        let mut known = self.known.lock().await;
        match *known {
            // What has ended stays ended.
            Some((_, true)) => return true,
            Some((asked, ended)) if asked.elapsed() < FRESH => return ended,
            _ => {}
        }
        let hurried = Stream { timeout: stream.timeout.min(SHORT_FETCH), ..stream.clone() };
        let ended = look(&hurried).await.is_ok_and(|(play, _)| !play.live);
        *known = Some((Instant::now(), ended));
        ended
    }
}
