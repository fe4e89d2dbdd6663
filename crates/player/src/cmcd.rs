//! Common Media Client Data, version 1 (CTA-5004): what a player reports to a CDN with each request.

use std::borrow::Cow;

use hls_swarm_hls::query::encoded;
use url::Url;

/// The identifiers of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CmcdSession {
    /// `sid`: a UUID.
    pub session: String,
    /// `cid`: the content; empty for none.
    pub content: String,
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
    /// `ot`.
    pub object: Option<ObjectType>,
    /// `pr`: playback rate. 1 is not sent.
    pub rate: Option<f64>,
    /// `rtp`: the most throughput that is asked for, kb/s.
    pub requested_throughput: Option<f64>,
    /// `st`: whether the stream is live.
    pub live: Option<bool>,
    /// `su`: whether the object is needed at once, to begin or to resume.
    pub startup: bool,
    /// `tb`: the highest bitrate, kb/s.
    pub top_bitrate: Option<f64>,
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

impl Cmcd {
    /// The pairs of a request for `url`, in alphabetical order, each as it is written. `v` is left out, because 1 is the
    /// default; values of false and a playback rate of 1 are, too.
    fn pairs(&self, session: &CmcdSession, url: &Url) -> Vec<(Header, String)> {
        use Header::{Object, Request, Session, Status};
        let whole =
            |name: &str, value: Option<f64>| value.map(|value| format!("{name}={}", value.max(0.0).round()));
        let hundreds = |name: &str, value: Option<f64>| {
            value.map(|value| format!("{name}={}", (value.max(0.0) / 100.0).round() * 100.0))
        };
        let text = |name: &str, value: &str| {
            (!value.is_empty())
                .then(|| format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
        };
        let flag = |name: &str, is: bool| is.then(|| name.to_owned());
        let next = self.next.as_ref().map(|next| format!("nor=\"{}\"", encoded(&relative(url, next))));
        let rate = self.rate.filter(|rate| (rate - 1.0).abs() > f64::EPSILON);
        let live = self.live.map(|live| format!("st={}", if live { 'l' } else { 'v' }));
        let pairs = [
            (Request, hundreds("bl", self.buffer)),
            (Object, whole("br", self.bitrate)),
            (Status, flag("bs", self.starved)),
            (Session, text("cid", &session.content)),
            (Object, whole("d", self.duration)),
            (Request, hundreds("dl", self.deadline)),
            (Request, hundreds("mtp", self.throughput)),
            (Request, next),
            (Object, self.object.map(|object| format!("ot={}", object.token()))),
            (Session, rate.map(|rate| format!("pr={rate}"))),
            (Status, hundreds("rtp", self.requested_throughput)),
            (Session, Some("sf=h".to_owned())),
            (Session, text("sid", &session.session)),
            (Session, live),
            (Request, flag("su", self.startup)),
            (Object, whole("tb", self.top_bitrate)),
        ];
        pairs.into_iter().filter_map(|(header, pair)| Some((header, pair?))).collect()
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
        CmcdSession { session: "6e2fb550-c457-11e9-bb97-0800200c9a66".into(), content: String::new() }
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
        let fast = Cmcd { rate: Some(1.5), live: Some(true), ..Cmcd::default() };
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
        let session = CmcdSession { session: "s".into(), content: "demo".into() };
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
