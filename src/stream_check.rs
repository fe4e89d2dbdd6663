//! Reads a stream's playlists as a player would: what viewers will play, and whether a live stream has ended.
//! Its requests are not measured.

use std::mem::Discriminant;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_hls::playlist::warning::Deviation;
use hls_swarm_hls::playlist::{
    Media, Multivariant, Playlist, Reading, RenditionKind, Variant, read, refusal,
};
use hls_swarm_hls::selection::{self, Selected, Selection, VariantSelection};
use hls_swarm_http::fetch::without_secrets;
use hls_swarm_http::site_rules;

use crate::cli::run::ProbeFailurePolicy;
use crate::config::plan::Stream;
use crate::fetch::cookies::Cookies;
use crate::fetch::{self, Answer, Ask, Fetcher, Page};

/// Longest fetch. Invalid input has to be reported within seconds, whatever the viewers' timeout is.
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
    /// What FFmpeg cannot play of it.
    pub unplayable: Vec<String>,
    /// Renditions that cannot be fetched, with the reasons.
    pub missing: Vec<String>,
    /// The number of subtitle renditions that have playlists of their own.
    pub subtitles: usize,
    /// The steering server.
    pub steering: Option<Url>,
}

impl Inspection {
    const fn one(first: Selection, summary: String) -> Self {
        Self {
            first,
            others: Vec::new(),
            summary,
            fallback_reason: None,
            unplayable: Vec::new(),
            missing: Vec::new(),
            subtitles: 0,
            steering: None,
        }
    }
}

/// Fetches the playlists of a stream and selects what viewers play.
///
/// # Errors
/// A preflight failure: the stream cannot be fetched, is not a playlist, leads to a host that may not be
/// loaded, or has no variant that matches while the plan accepts no other.
pub async fn inspect(fetcher: &Fetcher) -> Result<Inspection, Failure> {
    inspect_within(fetcher, MAX_FETCH).await
}

async fn inspect_within(fetcher: &Fetcher, limit: Duration) -> Result<Inspection, Failure> {
    let mut reader = Reader::new(fetcher, limit);
    let stream = fetcher.stream();
    let (base, found) = reader.playlist(&stream.url, &stream.address).await?;
    let steering = match &found {
        Playlist::Multivariant(multivariant) => multivariant.content_steering.as_ref(),
        Playlist::Media(_) => None,
    };
    let steering = steering.map(|steering| steering.url.clone());
    let found = match found {
        Playlist::Media(media) => reader.single(&media)?,
        Playlist::Multivariant(multivariant) => reader.multivariant(&base, &multivariant).await?,
    };
    Ok(Inspection { unplayable: reader.unplayable, missing: reader.missing, steering, ..found })
}

/// The requests of one inspection, and what they showed.
struct Reader<'a> {
    fetcher: &'a Fetcher,
    limit: Duration,
    cookies: Cookies,
    unplayable: Vec<String>,
    /// The kinds of deviations among them; one line of each is enough.
    kinds: Vec<Discriminant<Deviation>>,
    missing: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(fetcher: &'a Fetcher, limit: Duration) -> Self {
        let limit = fetcher.stream().timeout.min(limit);
        Self {
            fetcher,
            limit,
            cookies: Cookies::default(),
            unplayable: Vec::new(),
            kinds: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn stream(&self) -> &'a Stream {
        self.fetcher.stream()
    }

    /// The selection of a stream whose address is that of a media playlist.
    fn single(&self, media: &Media) -> Result<Inspection, Failure> {
        let stream = self.stream();
        self.check_hosts(media)?;
        let first = Selection { turn: None, ..self.selection(&stream.url, stream.address.clone(), media) };
        let found = Inspection::one(first, describe(media, "one rendition"));
        let by = stream.variant;
        if !matches!(
            by,
            VariantSelection::Height(_) | VariantSelection::AtMost(_) | VariantSelection::AtLeast(_)
        ) {
            return Ok(found);
        }
        let why =
            format!("--variant {by}: {} is a media playlist, without variants", without_secrets(&stream.url));
        match stream.no_variant {
            ProbeFailurePolicy::Fallback => Ok(Inspection { fallback_reason: Some(why), ..found }),
            ProbeFailurePolicy::Fail => Err(Failure::preflight(why)
                .help("pass the URL of a multivariant playlist, or leave out --variant")),
        }
    }

    async fn multivariant(&mut self, base: &Url, multivariant: &Multivariant) -> Result<Inspection, Failure> {
        let stream = self.stream();
        let of = format!("{} variants of {}", multivariant.variants.len(), base.path());
        let selected = match selection::select(multivariant, stream.variant) {
            Ok(Selected::Multivariant) => return self.whole(base, multivariant, &of).await,
            Ok(Selected::Variants(variants)) => self.chosen(base, multivariant, &variants, &of).await,
            Err(none) => Err(Failure::preflight(format!("--variant {}: {none}", stream.variant))
                .help("pass one of them, or another --variant")),
        };
        match (selected, stream.no_variant) {
            (Err(failure), ProbeFailurePolicy::Fallback) => {
                self.missing.clear();
                let found = self.whole(base, multivariant, &of).await?;
                Ok(Inspection { fallback_reason: Some(failure.chain()), ..found })
            }
            (selected, _) => selected,
        }
    }

    /// Selects the multivariant playlist itself. FFmpeg plays the variants that it can open.
    async fn whole(
        &mut self,
        base: &Url,
        multivariant: &Multivariant,
        of: &str,
    ) -> Result<Inspection, Failure> {
        let stream = self.stream();
        let renditions =
            multivariant.variants.iter().map(|one| &one.url).chain(multivariant.separate_audio());
        for url in renditions {
            site_rules::check(self.fetcher.target_policy(), url, &stream.resolve)?;
            stream.header_policy.check_url(url)?;
        }
        let mut failure = None;
        for variant in &multivariant.variants {
            match self.media(base, &variant.uri, &variant.url).await {
                Ok(media) => {
                    let first = Selection {
                        turn: None,
                        ..self.selection(&stream.url, stream.address.clone(), &media)
                    };
                    let found = Inspection::one(first, describe(&media, &format!("all {of}")));
                    let subtitles = multivariant
                        .renditions
                        .iter()
                        .filter(|one| one.kind == RenditionKind::Subtitles && one.url.is_some());
                    return Ok(Inspection { subtitles: subtitles.count(), ..found });
                }
                Err(why) => {
                    self.missing.push(format!("{}: {}", selection::describe(variant), why.chain()));
                    failure.get_or_insert(why);
                }
            }
        }
        Err(failure.unwrap_or_else(|| nothing_listed(&stream.url)))
    }

    /// Selects some variants; FFmpeg would open all variants of a multivariant playlist, so it gets the media playlist.
    async fn chosen(
        &mut self,
        base: &Url,
        multivariant: &Multivariant,
        variants: &[&Variant],
        of: &str,
    ) -> Result<Inspection, Failure> {
        let (mut selections, mut shown, mut failure) = (Vec::new(), None, None);
        for (turn, variant) in variants.iter().enumerate() {
            let media = match self.with_audio(base, multivariant, variant).await {
                Ok(media) => media,
                Err(why) => {
                    // It costs the viewers that would play it, and no other.
                    self.missing.push(format!("{}: {}", selection::describe(variant), why.chain()));
                    failure.get_or_insert(why);
                    Media::default()
                }
            };
            let address = selection::address_in(base, &variant.uri, &variant.url);
            let audio = audio_of(base, multivariant, variant);
            let selected =
                Selection { audio, turn: Some(turn), ..self.selection(&variant.url, address, &media) };
            if !media.segments.is_empty() {
                shown.get_or_insert(media);
            }
            selections.push(selected);
        }
        let (Some(media), false) = (shown, selections.is_empty()) else {
            return Err(failure.unwrap_or_else(|| nothing_listed(&self.stream().url)));
        };
        let first = selections.remove(0);
        let apart = if first.audio.is_some() { " with its separate audio" } else { "" };
        let what = match variants {
            [one] => format!("{}{apart}, of {of}", selection::describe(one)),
            many => format!("one of {} in turn{apart}, of {of}", many.len()),
        };
        let summary = describe(&media, &what);
        Ok(Inspection { others: selections, ..Inspection::one(first, summary) })
    }

    /// The media playlist of a variant, whose separate audio can be fetched as well.
    async fn with_audio(
        &mut self,
        base: &Url,
        multivariant: &Multivariant,
        variant: &Variant,
    ) -> Result<Media, Failure> {
        let media = self.media(base, &variant.uri, &variant.url).await?;
        if let Some((uri, url)) = multivariant
            .audio_rendition_of(variant)
            .and_then(|audio| audio.uri.as_ref().zip(audio.url.as_ref()))
        {
            self.media(base, uri, url).await?;
        }
        Ok(media)
    }

    async fn media(&mut self, base: &Url, uri: &str, url: &Url) -> Result<Media, Failure> {
        let address = selection::address_in(base, uri, url);
        match self.playlist(url, &address).await? {
            (_, Playlist::Media(media)) => self.check_hosts(&media).map(|()| media),
            _ => Err(nothing_listed(url)),
        }
    }

    async fn playlist(&mut self, url: &Url, address: &str) -> Result<(Url, Playlist), Failure> {
        let Answer { page, cookies, .. } = self
            .fetcher
            .fetch(Ask {
                url: url.clone(),
                address: address.to_owned(),
                user_agent: self.stream().preflight_user_agent(),
                source: None,
                turn: 0,
                cookies: std::mem::take(&mut self.cookies),
                limit: self.limit,
                stop: CancellationToken::new(),
            })
            .await?;
        self.cookies = cookies;
        let page = page?;
        let Reading { playlist, warnings, .. } = reading(url, &page)?;
        let has_variables = page.body.windows(2).any(|bytes| bytes == b"{$");
        for warning in warnings.iter().filter(|one| one.deviation.is_unplayable_by_ffmpeg()) {
            if warning.deviation == Deviation::Variables && !has_variables {
                continue;
            }
            let kind = std::mem::discriminant(&warning.deviation);
            if !self.kinds.contains(&kind) {
                self.kinds.push(kind);
                self.unplayable.push(format!("{}: {warning}", without_secrets(url)));
            }
        }
        Ok((page.url, playlist))
    }

    /// Checks the hosts of segments, which may differ from the playlist's.
    fn check_hosts(&self, media: &Media) -> Result<(), Failure> {
        let mut known = None;
        for url in media.segments.iter().map(|segment| &segment.url) {
            if known != url.host_str() {
                site_rules::check(self.fetcher.target_policy(), url, &self.stream().resolve)?;
                self.stream().header_policy.check_url(url)?;
                known = url.host_str();
            }
        }
        Ok(())
    }

    fn selection(&self, url: &Url, address: String, media: &Media) -> Selection {
        let promised = Some(media.longest_segment()).filter(|seconds| *seconds > 0.0);
        let target_duration = promised.unwrap_or(self.stream().target_duration.as_secs_f64());
        let (url, live) = (url.clone(), media.is_live());
        Selection { url, address, audio: None, turn: None, cookies: None, live, target_duration }
    }
}

/// The address of the separate audio that a player of `variant` loads.
fn audio_of(base: &Url, multivariant: &Multivariant, variant: &Variant) -> Option<String> {
    let audio = multivariant.audio_rendition_of(variant)?;
    Some(selection::address_in(base, audio.uri.as_ref()?, audio.url.as_ref()?))
}

/// Reads a response as a playlist that FFmpeg is to play.
fn reading(asked: &Url, page: &Page) -> Result<Reading, Failure> {
    let text = String::from_utf8_lossy(&page.body);
    let found = read(&text, &page.url);
    let refused = match &found {
        Ok(reading) => refusal(reading),
        Err(error) => Some(error.clone()),
    };
    match (found, refused) {
        (Ok(reading), None) => Ok(reading),
        (_, refused) => {
            let refused = refused.map_or_else(String::new, |refused| refused.to_string());
            let what = format!("{} is not a playlist that can be played", without_secrets(asked));
            Err(Failure::preflight(what)
                .caused_by(format!("{refused}{}", fetch::quoted(&page.content_type, &page.body)))
                .help("pass the URL of an HLS playlist (.m3u8) that lists segments or variants"))
        }
    }
}

fn describe(media: &Media, chosen: &str) -> String {
    let gaps = match media.segments.iter().filter(|segment| segment.gap).count() {
        0 => String::new(),
        gaps => format!(
            "; {gaps} of {} segments are announced gaps (EXT-X-GAP): FFmpeg requests them anyway; their failures \
             count as errors only without the probe",
            media.segments.len()
        ),
    };
    if media.is_live() {
        format!("live, segments of up to {} s, {chosen}{gaps}", media.longest_segment())
    } else {
        format!("VOD of {:.0} s, {} segments, {chosen}{gaps}", media.duration(), media.segments.len())
    }
}

fn nothing_listed(url: &Url) -> Failure {
    Failure::preflight(format!("{} does not lead to a media playlist", without_secrets(url)))
        .help("name the address of a media playlist, or correct the addresses in its EXT-X-STREAM-INF tags")
}

/// What a viewer selected from the multivariant playlist that it got.
#[derive(Debug)]
pub struct Choice {
    /// The multivariant playlist, and its URL.
    pub playlist: Option<(Url, Multivariant)>,
    /// What the viewer plays.
    pub selection: Selection,
}

/// Selects what a viewer plays from `answer`, the response that it got. `planned` is the selection of preflight.
///
/// # Errors
/// The reason why the viewer cannot play: the response is not a playlist, or no variant matches.
pub fn choose(fetcher: &Fetcher, planned: &Selection, answer: Answer) -> Result<Choice, Failure> {
    let stream = fetcher.stream();
    let Answer { page, cookies, .. } = answer;
    let page = page?;
    let cookies = cookies.lines();
    let given = |url: &Url, address: &str| Selection {
        url: url.clone(),
        address: address.to_owned(),
        audio: None,
        turn: None,
        cookies: cookies.clone(),
        ..planned.clone()
    };
    let multivariant = match reading(&stream.url, &page)?.playlist {
        Playlist::Multivariant(multivariant) => multivariant,
        // This viewer got a single rendition.
        Playlist::Media(_) => {
            let selection = given(&page.url, page.url.as_str());
            return Ok(Choice { playlist: None, selection });
        }
    };
    let base = &page.url;
    let selection = match (selection::select(&multivariant, stream.variant), stream.no_variant) {
        (Ok(Selected::Variants(variants)), _) => {
            let turn = planned.turn.unwrap_or(0).checked_rem(variants.len()).unwrap_or(0);
            let variant = variants.get(turn).ok_or_else(|| nothing_listed(&stream.url))?;
            let audio = audio_of(base, &multivariant, variant);
            let address = selection::address_in(base, &variant.uri, &variant.url);
            let separate = multivariant.audio_of(variant);
            for url in std::iter::once(&variant.url).chain(separate) {
                site_rules::check(fetcher.target_policy(), url, &stream.resolve)?;
                stream.header_policy.check_url(url)?;
            }
            Selection { audio, ..given(&variant.url, &address) }
        }
        (Ok(Selected::Multivariant), _) | (Err(_), ProbeFailurePolicy::Fallback) => {
            given(&stream.url, &stream.address)
        }
        (Err(none), ProbeFailurePolicy::Fail) => {
            return Err(Failure::preflight(format!("--variant {}: {none}", stream.variant))
                .help("name a variant that the playlist has, or pass --variant all"));
        }
    };
    Ok(Choice { playlist: Some((page.url, multivariant)), selection })
}

/// A viewer's request for the stream's playlist.
#[must_use]
pub fn opening(fetcher: &Fetcher, viewer: u32, source: Option<IpAddr>, stop: CancellationToken) -> Ask {
    let stream = fetcher.stream();
    Ask {
        url: stream.url.clone(),
        address: stream.address.clone(),
        user_agent: stream.user_agent_of(viewer),
        source,
        turn: viewer.saturating_sub(1) as usize,
        cookies: Cookies::default(),
        limit: Duration::MAX,
        stop,
    }
}

/// Whether a live stream has ended (EXT-X-ENDLIST), with one fetch for all viewers that ask at the same
/// time.
#[derive(Debug, Default)]
pub struct StreamEnd {
    known: Mutex<Option<(Instant, bool)>>,
}

impl StreamEnd {
    /// Whether the stream has ended. A stream that cannot be fetched has not ended: it has failed.
    pub async fn reached(&self, fetcher: &Fetcher) -> bool {
        let mut known = self.known.lock().await;
        match *known {
            // An ended stream stays ended.
            Some((_, true)) => return true,
            Some((asked, ended)) if asked.elapsed() < FRESH => return ended,
            _ => {}
        }
        let found = inspect_within(fetcher, SHORT_FETCH).await;
        let ended = found.is_ok_and(|inspection| !inspection.first.live);
        *known = Some((Instant::now(), ended));
        ended
    }

    /// Whether the stream was found to have ended.
    pub async fn is_known(&self) -> bool {
        self.known.lock().await.is_some_and(|(_, ended)| ended)
    }
}
