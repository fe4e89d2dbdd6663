//! Common Media Client Data (CTA-5004, versions 1 and 2): what a player reports to a CDN with each request.

use std::borrow::Cow;

use hls_swarm_hls::playlist::media::ByteRange;
use hls_swarm_hls::query::encoded;
use url::Url;

/// The version of the standard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CmcdVersion {
    /// CTA-5004.
    #[default]
    V1,
    /// CTA-5004-B, in request mode.
    V2,
}

/// The identifiers of a session, and how it describes its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CmcdSession {
    /// `sid`: a UUID.
    pub session: String,
    /// `cid`: the content; empty for none.
    pub content: String,
    /// `v`.
    pub version: CmcdVersion,
}

/// `ot`: the type of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// A playlist.
    Playlist,
    /// Audio only.
    Audio,
    /// Video only.
    Video,
    /// Audio and video.
    Muxed,
    /// An initialization section.
    Init,
    /// Captions or subtitles.
    Subtitles,
    /// Timed text.
    TimedText,
}

impl ObjectType {
    const fn token(self) -> &'static str {
        match self {
            Self::Playlist => "m",
            Self::Audio => "a",
            Self::Video => "v",
            Self::Muxed => "av",
            Self::Init => "i",
            Self::Subtitles => "c",
            Self::TimedText => "tt",
        }
    }
}

/// `sta`: what the player does, of version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerState {
    /// It has not shown the first frame yet.
    Starting,
    /// It plays.
    Playing,
    /// It waits for media.
    Rebuffering,
    /// It has shown the end of the stream.
    Ended,
}

impl PlayerState {
    const fn token(self) -> &'static str {
        match self {
            Self::Starting => "s",
            Self::Playing => "p",
            Self::Rebuffering => "r",
            Self::Ended => "e",
        }
    }
}

/// `st`: the type of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamType {
    /// All segments are available.
    Vod,
    /// Segments become available over time.
    Live,
    /// The same, in parts. Version 1 has no name of its own for it.
    LowLatency,
}

/// The data of one request. What is `None` is not known, or is not what the player sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cmcd {
    /// `br`: bitrate of the object, kb/s.
    pub bitrate: Option<f64>,
    /// `bl`: length of the buffer, ms.
    pub buffer: Option<f64>,
    /// `bs`: whether the buffer ran empty since the last request.
    pub starved: bool,
    /// `d`: duration of the object, ms.
    pub duration: Option<f64>,
    /// `dl`: the time until the buffer is empty, ms.
    pub deadline: Option<f64>,
    /// `mtp`: measured throughput, kb/s.
    pub throughput: Option<f64>,
    /// `nor`: the object that will be requested next.
    pub next: Option<Url>,
    /// The bytes of `next`, if it is a part of a resource. Version 1 has a key of its own for it (`nrr`).
    pub next_range: Option<ByteRange>,
    /// `ot`.
    pub object: Option<ObjectType>,
    /// `pr`: playback rate. 1 is not sent.
    pub rate: Option<f64>,
    /// `rtp`: the most throughput that is asked for, kb/s.
    pub requested_throughput: Option<f64>,
    /// `st`.
    pub stream: Option<StreamType>,
    /// `su`: whether the object is needed at once, to begin or to resume.
    pub startup: bool,
    /// `tb`: the highest bitrate, kb/s.
    pub top_bitrate: Option<f64>,
    /// What only version 2 has.
    pub more: Option<Box<MoreCmcd>>,
}

/// What only version 2 has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MoreCmcd {
    /// `sn`: the number of the report within the session, from 0.
    pub sequence: u32,
    /// Whether values of inner lists name the type of the object that they are about.
    pub names_types: bool,
    /// `sta`.
    pub state: Option<PlayerState>,
    /// `msd`: the time until the first frame, ms; sent once.
    pub start_delay: Option<f64>,
    /// `ltc`: live latency, ms.
    pub latency: Option<f64>,
    /// `pt`: the position of the playhead, ms.
    pub position: Option<f64>,
    /// `lb`: the lowest bitrate, kb/s.
    pub lowest_bitrate: Option<f64>,
    /// `pb`: bitrate of what is shown, kb/s.
    pub playhead_bitrate: Option<f64>,
    /// `tpb`: the highest bitrate that the player would choose, kb/s.
    pub top_playable: Option<f64>,
    /// `tbl`: the length that the buffer is to have, ms.
    pub target_buffer: Option<f64>,
    /// `bsa`: how often the buffer ran empty.
    pub starvations: Option<u32>,
    /// `bsd`: how long it was empty each time since the last report, ms.
    pub starved: Vec<u32>,
    /// `bsda`: how long it was empty altogether, ms.
    pub starved_total: Option<f64>,
}

/// The header that a key belongs to (CTA-5004, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Object,
    Request,
    Session,
    Status,
}

impl Header {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Object, "CMCD-Object"),
        (Self::Request, "CMCD-Request"),
        (Self::Session, "CMCD-Session"),
        (Self::Status, "CMCD-Status"),
    ];
}

/// A pair as it is written.
type Pair = Option<(Header, String)>;

fn whole(header: Header, name: &str, value: Option<f64>) -> Pair {
    value.map(|value| (header, format!("{name}={}", value.max(0.0).round())))
}

fn hundreds(header: Header, name: &str, value: Option<f64>) -> Pair {
    whole(header, name, value.map(to_hundreds))
}

fn to_hundreds(value: f64) -> f64 {
    (value.max(0.0) / 100.0).round() * 100.0
}

/// A text in quotes; an empty one is not sent.
fn text(header: Header, name: &str, value: &str) -> Pair {
    (!value.is_empty()).then(|| (header, format!("{name}={}", quoted(value))))
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn flag(header: Header, name: &str, is: bool) -> Pair {
    is.then(|| (header, name.to_owned()))
}

impl Cmcd {
    /// The pairs of a request for `url`, in alphabetical order, each as it is written. Values of false and a playback
    /// rate of 1 are left out, and `v` where it is 1, the default.
    fn pairs(&self, session: &CmcdSession, url: &Url) -> Vec<(Header, String)> {
        let mut pairs: Vec<(Header, String)> = match session.version {
            CmcdVersion::V1 => self.pairs_of_1(session, url).into_iter().flatten().collect(),
            CmcdVersion::V2 => self.pairs_of_2(session, url),
        };
        let key = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        pairs.sort_by_key(|(_, pair)| key(pair));
        pairs
    }

    fn pairs_of_1(&self, session: &CmcdSession, url: &Url) -> [Pair; 16] {
        use Header::{Object, Request, Session, Status};
        let next = self.next.as_ref().map(|next| encoded(&relative(url, next)));
        let rate = self.rate.filter(|rate| (rate - 1.0).abs() > f64::EPSILON);
        let stream = self.stream.map(|stream| if stream == StreamType::Vod { "v" } else { "l" });
        [
            hundreds(Request, "bl", self.buffer),
            whole(Object, "br", self.bitrate),
            flag(Status, "bs", self.starved),
            text(Session, "cid", &session.content),
            whole(Object, "d", self.duration),
            hundreds(Request, "dl", self.deadline),
            hundreds(Request, "mtp", self.throughput),
            next.map(|next| (Request, format!("nor=\"{next}\""))),
            self.object.map(|object| (Object, format!("ot={}", object.token()))),
            rate.map(|rate| (Session, format!("pr={rate}"))),
            hundreds(Status, "rtp", self.requested_throughput),
            Some((Session, "sf=h".to_owned())),
            text(Session, "sid", &session.session),
            stream.map(|stream| (Session, format!("st={stream}"))),
            flag(Request, "su", self.startup),
            whole(Object, "tb", self.top_bitrate),
        ]
    }

    /// The same in version 2: many values are inner lists, and there are more keys.
    fn pairs_of_2(&self, session: &CmcdSession, url: &Url) -> Vec<(Header, String)> {
        use Header::{Object, Request, Session, Status};
        let more = self.more.as_deref().cloned().unwrap_or_default();
        let of = self.object.filter(|_| more.names_types).map(ObjectType::token);
        let item = |value: f64| {
            let token = of.map_or_else(String::new, |token| format!(";{token}"));
            format!("{}{token}", value.max(0.0).round())
        };
        let list = |header, name: &str, value: Option<f64>| -> Pair {
            value.map(|value| (header, format!("{name}=({})", item(value))))
        };
        let next = self.next.as_ref().map(|next| {
            let range = self.next_range.map_or_else(String::new, |range| {
                let last = range.offset.saturating_add(range.length).saturating_sub(1);
                format!(";r=\"{}-{last}\"", range.offset)
            });
            (Request, format!("nor=({}{range})", quoted(&relative(url, next))))
        });
        let starved = more.starved.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let rate = self.rate.filter(|rate| (rate - 1.0).abs() > f64::EPSILON);
        let stream = self.stream.map(|stream| match stream {
            StreamType::Vod => "v",
            StreamType::Live => "l",
            StreamType::LowLatency => "ll",
        });
        let pairs = [
            list(Request, "bl", self.buffer.map(to_hundreds)),
            list(Object, "br", self.bitrate),
            flag(Status, "bs", self.starved),
            more.starvations.map(|times| (Status, format!("bsa=({times})"))),
            (!starved.is_empty()).then(|| (Status, format!("bsd=({starved})"))),
            more.starved_total.map(|total| (Status, format!("bsda=({})", total.max(0.0).round()))),
            text(Session, "cid", &session.content),
            whole(Object, "d", self.duration),
            hundreds(Request, "dl", self.deadline),
            list(Object, "lb", more.lowest_bitrate),
            whole(Request, "ltc", more.latency),
            whole(Session, "msd", more.start_delay),
            list(Request, "mtp", self.throughput.map(to_hundreds)),
            next,
            self.object.map(|object| (Object, format!("ot={}", object.token()))),
            list(Request, "pb", more.playhead_bitrate),
            rate.map(|rate| (Status, format!("pr={rate}"))),
            whole(Status, "pt", more.position),
            hundreds(Status, "rtp", self.requested_throughput),
            Some((Session, "sf=h".to_owned())),
            text(Session, "sid", &session.session),
            Some((Request, format!("sn={}", more.sequence))),
            stream.map(|stream| (Session, format!("st={stream}"))),
            more.state.map(|state| (Request, format!("sta={}", state.token()))),
            flag(Request, "su", self.startup),
            list(Object, "tb", self.top_bitrate),
            list(Request, "tbl", more.target_buffer.map(to_hundreds)),
            list(Object, "tpb", more.top_playable),
            Some((Session, "v=2".to_owned())),
        ];
        pairs.into_iter().flatten().collect()
    }

    /// The address with the data in its query.
    #[must_use]
    pub fn in_query(&self, session: &CmcdSession, url: &Url) -> Url {
        let pairs: Vec<String> = self.pairs(session, url).into_iter().map(|(_, pair)| pair).collect();
        let mut with = url.clone();
        let query = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
        let data = format!("CMCD={}", encoded(&pairs.join(",")));
        with.set_query(Some(&query.into_iter().chain([data]).collect::<Vec<_>>().join("&")));
        with
    }

    /// The headers with the data.
    #[must_use]
    pub fn in_headers(&self, session: &CmcdSession, url: &Url) -> Vec<(&'static str, String)> {
        let pairs = self.pairs(session, url);
        let value = |header| {
            let own = pairs.iter().filter(|(of, _)| *of == header);
            own.map(|(_, pair)| pair.as_str()).collect::<Vec<_>>().join(",")
        };
        let all = Header::ALL.into_iter().map(|(header, name)| (name, value(header)));
        all.filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The address without the data in its query.
#[must_use]
pub fn without_cmcd(url: &Url) -> Cow<'_, Url> {
    let Some(query) = url.query().filter(|query| query.contains("CMCD=")) else { return Cow::Borrowed(url) };
    let kept: Vec<&str> = query.split('&').filter(|one| !one.starts_with("CMCD=")).collect();
    let mut without = url.clone();
    without.set_query(Some(kept.join("&").as_str()).filter(|query| !query.is_empty()));
    Cow::Owned(without)
}

/// The address of `next` relative to that of a request; whole if it is on another server.
fn relative(base: &Url, next: &Url) -> String {
    base.make_relative(next).filter(|_| base.origin() == next.origin()).unwrap_or_else(|| next.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn session() -> CmcdSession {
        CmcdSession { session: "6e2fb550-c457-11e9-bb97-0800200c9a66".into(), ..CmcdSession::default() }
    }

    /// Examples of CTA-5004, section 6: the encoding of a query, and the headers.
    #[test]
    fn the_examples_of_the_standard() {
        let at = url("http://cdn/track");
        let query = |data: &Cmcd, session: &CmcdSession| {
            let with = data.in_query(session, &at);
            with.query().unwrap().replace("sf%3Dh%2C", "").replace("%2Csf%3Dh", "")
        };
        let only_sid = Cmcd::default();
        assert_eq!(query(&only_sid, &session()), "CMCD=sid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22");
        let none = CmcdSession::default();
        let throughput =
            Cmcd { throughput: Some(25_400.0), bitrate: Some(3200.0), starved: true, ..Cmcd::default() };
        let throughput = Cmcd {
            duration: Some(4004.0),
            object: Some(ObjectType::Video),
            requested_throughput: Some(15_000.0),
            top_bitrate: Some(6000.0),
            ..throughput
        };
        assert_eq!(
            query(&throughput, &session()),
            "CMCD=br%3D3200%2Cbs%2Cd%3D4004%2Cmtp%3D25400%2Cot%3Dv%2Crtp%3D15000%2C\
             sid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Ctb%3D6000"
        );
        assert_eq!(
            throughput.in_headers(&session(), &at),
            [
                ("CMCD-Object", "br=3200,d=4004,ot=v,tb=6000".to_owned()),
                ("CMCD-Request", "mtp=25400".to_owned()),
                ("CMCD-Session", "sf=h,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\"".to_owned()),
                ("CMCD-Status", "bs,rtp=15000".to_owned()),
            ]
        );
        let flags = Cmcd { starved: true, startup: true, rate: Some(1.0), ..Cmcd::default() };
        assert_eq!(query(&flags, &none), "CMCD=bs%2Csu");
        let fast = Cmcd { rate: Some(1.5), stream: Some(StreamType::LowLatency), ..Cmcd::default() };
        assert_eq!(query(&fast, &none), "CMCD=pr%3D1.5%2Cst%3Dl");
    }

    /// What hls.js 1.6 sent for a segment: `CMCD=bl=2000,br=2238,cid="demo",d=2000,mtp=84800,nor="seg_00459.ts",ot=av,…`.
    #[test]
    fn a_segment_as_hlsjs_describes_it() {
        let data = Cmcd {
            buffer: Some(1983.0),
            bitrate: Some(2237.6),
            duration: Some(2000.0),
            throughput: Some(84_832.0),
            next: Some(url("http://h/live/seg_00459.ts")),
            object: Some(ObjectType::Muxed),
            top_bitrate: Some(2237.6),
            ..Cmcd::default()
        };
        let session = CmcdSession { session: "s".into(), content: "demo".into(), ..CmcdSession::default() };
        let at = url("http://h/live/seg_00458.ts?t=1");
        let with = data.in_query(&session, &at);
        let decoded: Vec<_> = with.query_pairs().collect();
        assert_eq!(decoded[0].1, "1");
        assert_eq!(
            decoded[1].1,
            "bl=2000,br=2238,cid=\"demo\",d=2000,mtp=84800,nor=\"seg_00459.ts\",ot=av,sf=h,sid=\"s\",tb=2238"
        );
        assert_eq!(*without_cmcd(&with), at);
        assert_eq!(*without_cmcd(&data.in_query(&session, &url("http://h/a"))), url("http://h/a"));
    }

    #[test]
    fn the_next_object_is_relative() {
        let at = url("http://h/live/v0/1.ts");
        assert_eq!(relative(&at, &url("http://h/live/v1/2.ts")), "../v1/2.ts");
        assert_eq!(relative(&at, &url("http://cdn/2.ts")), "http://cdn/2.ts");
    }
}
