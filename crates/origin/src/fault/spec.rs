//! Reading a fault as it is typed: `KIND[=VALUE][,OPTION=VALUE…]`.

use std::str::FromStr;
use std::time::Duration;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;
use hls_swarm_base::nearest::nearest;

use super::{Fault, KillTarget, Kind, Pattern, Share};

/// The kinds, as the help shows them.
const KINDS: [&str; 11] = [
    "status",
    "delay",
    "slow-first-byte",
    "bandwidth",
    "stalled-playlist",
    "regressing-playlist",
    "missing-segments",
    "drop",
    "truncate",
    "encoder-death",
    "nginx-death",
];
/// Longer than any viewer waits; also keeps sums of times far from overflow.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl FromStr for Fault {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        read(text)
            .map_err(|Wrong { what, help }| Failure::usage(format!("fault \"{text}\": {what}")).help(help))
    }
}

struct Wrong {
    what: String,
    help: String,
}

fn wrong(what: impl Into<String>, help: impl Into<String>) -> Wrong {
    Wrong { what: what.into(), help: help.into() }
}

/// The parts of a spec that were not used yet.
struct Parts<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Parts<'a> {
    fn option(&mut self, name: &str) -> Result<Option<&'a str>, Wrong> {
        let Some(place) = self.0.iter().position(|(other, _)| *other == name) else { return Ok(None) };
        let (_, value) = self.0.remove(place);
        value.map(Some).ok_or_else(|| wrong(format!("{name} has no value"), format!("write {name}=…")))
    }
}

fn read(text: &str) -> Result<Fault, Wrong> {
    let mut parts = Vec::new();
    for piece in text.split(',') {
        let (name, value) = piece.split_once('=').map_or((piece, None), |(name, value)| (name, Some(value)));
        if parts.iter().any(|(other, _)| *other == name) {
            return Err(wrong(format!("{name} stands there twice"), "give each option once"));
        }
        parts.push((name, value));
    }
    let (name, value) = parts.remove(0);
    let mut parts = Parts(parts);
    let kind = kind(name, value, &mut parts)?;
    let mut fault = Fault { kind, path: None, rate: Share::ALL, count: None };
    if !matches!(fault.kind, Kind::Death { .. }) {
        if let Some(path) = parts.option("path")? {
            let pattern = Pattern::new(path);
            fault.path =
                Some(pattern.ok_or_else(|| wrong("path is empty or holds blanks", "write path=*.ts"))?);
        }
        // A playlist that stands still only now and then would go back in between: another fault.
        if fault.kind != Kind::StalledPlaylist
            && let Some(rate) = parts.option("rate")?
        {
            fault.rate = share("rate", rate)?;
        }
        if let Some(count) = parts.option("count")? {
            let count = count.parse().ok().filter(|count| *count > 0);
            fault.count = Some(count.ok_or_else(|| wrong("count is no number above 0", "write count=1"))?);
        }
    }
    match parts.0.first() {
        None => Ok(fault),
        Some((left, _)) => {
            let options = options(&fault.kind);
            Err(wrong(
                format!("{name} has no option \"{left}\""),
                if options.is_empty() {
                    "it has none".into()
                } else {
                    format!("it has: {}", options.join(", "))
                },
            ))
        }
    }
}

const fn options(kind: &Kind) -> &'static [&'static str] {
    match kind {
        Kind::Death { .. } => &["every", "down"],
        Kind::StalledPlaylist => &["path", "count"],
        Kind::Delay { .. } => &["jitter", "path", "rate", "count"],
        _ => &["path", "rate", "count"],
    }
}

fn kind(name: &str, value: Option<&str>, parts: &mut Parts<'_>) -> Result<Kind, Wrong> {
    let needed = |example: &str| {
        value.ok_or_else(|| wrong(format!("{name} needs a value"), format!("write {name}={example}")))
    };
    let kind = match name {
        "status" => {
            let code = needed("503")?.parse().ok().filter(|code| (400..600).contains(code));
            Kind::Status(code.ok_or_else(|| wrong("the status is no error", "give 400 to 599"))?)
        }
        "delay" => {
            let jitter = parts.option("jitter")?.map(|text| time("jitter", text)).transpose()?;
            Kind::Delay { time: time(name, needed("200ms")?)?, jitter: jitter.unwrap_or_default() }
        }
        "slow-first-byte" => Kind::SlowFirstByte(time(name, needed("2s")?)?),
        "bandwidth" => Kind::Bandwidth(bits(needed("500k")?)?),
        "truncate" => Kind::Truncate(share(name, value.unwrap_or("50%"))?),
        "regressing-playlist" => {
            let segments = value.unwrap_or("3").parse().ok().filter(|segments| (1..=1000).contains(segments));
            let segments =
                segments.ok_or_else(|| wrong("that is no number of segments", "give 1 to 1000"))?;
            Kind::RegressingPlaylist(segments)
        }
        "encoder-death" => death(KillTarget::Encoder, parts)?,
        "nginx-death" => death(KillTarget::Server, parts)?,
        "stalled-playlist" => Kind::StalledPlaylist,
        "missing-segments" => Kind::MissingSegments,
        "drop" => Kind::Drop,
        _ => {
            return Err(wrong(
                format!("there is no kind \"{name}\""),
                match nearest(name, KINDS) {
                    Some(near) => format!("did you mean {near}? Kinds: {}", KINDS.join(", ")),
                    None => format!("kinds: {}", KINDS.join(", ")),
                },
            ));
        }
    };
    let takes_none =
        matches!(kind, Kind::StalledPlaylist | Kind::MissingSegments | Kind::Drop | Kind::Death { .. });
    if takes_none && value.is_some() {
        return Err(wrong(format!("{name} takes no value"), format!("write {name}")));
    }
    Ok(kind)
}

fn death(victim: KillTarget, parts: &mut Parts<'_>) -> Result<Kind, Wrong> {
    let every = parts.option("every")?.map(|text| time("every", text)).transpose()?;
    let down = parts.option("down")?.map(|text| time("down", text)).transpose()?.unwrap_or_default();
    if every.is_some_and(|every| every < Duration::from_secs(1)) {
        return Err(wrong("every is below 1s", "a process needs a moment to live; give 1s or more"));
    }
    Ok(Kind::Death { victim, every, down })
}

fn time(name: &str, text: &str) -> Result<Duration, Wrong> {
    let GoDuration(time) =
        text.parse().map_err(|error| wrong(format!("{name}: {error}"), format!("write {name}=200ms")))?;
    if time > LONGEST {
        return Err(wrong(format!("{name} is longer than 24h"), "give less"));
    }
    Ok(time)
}

/// `5%`, `0.25%`.
fn share(name: &str, text: &str) -> Result<Share, Wrong> {
    let number = || {
        let (whole, fraction) = text.strip_suffix('%').map(|n| n.split_once('.').unwrap_or((n, "0")))?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 4 {
            return None;
        }
        let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100)?;
        let fraction: u32 = format!("{fraction:0<4}").parse().ok()?;
        Some(Share(whole * 10_000 + fraction)).filter(|share| (1..=1_000_000).contains(&share.0))
    };
    number().ok_or_else(|| {
        wrong(format!("{name} \"{text}\" is no percentage"), format!("write {name}=5%, from 0.0001% to 100%"))
    })
}

/// Bits per second: `800000`, `800k`, `2M`.
fn bits(text: &str) -> Result<u64, Wrong> {
    let scales = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
    let (number, scale) = scales
        .iter()
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, *scale)))
        .unwrap_or((text, 1));
    let bits = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    bits.filter(|bits| (8..=1_000_000_000_000).contains(bits)).ok_or_else(|| {
        wrong(format!("bandwidth \"{text}\" is no rate"), "give bits per second: 800000, 800k, 2M")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        let all = fault("status=503,path=*.ts,rate=5%,count=3");
        assert_eq!((all.kind.clone(), all.rate, all.count), (Kind::Status(503), Share(50_000), Some(3)));
        assert!(all.path.unwrap().fits("/seg_1.ts"));
        assert_eq!(fault("bandwidth=2M").kind, Kind::Bandwidth(2_000_000));
        assert_eq!(fault("truncate").kind, Kind::Truncate(Share(500_000)));
        assert_eq!(fault("regressing-playlist").kind, Kind::RegressingPlaylist(3));
        assert_eq!(
            fault("nginx-death,every=30s,down=2s").kind,
            Kind::Death {
                victim: KillTarget::Server,
                every: Some(Duration::from_secs(30)),
                down: Duration::from_secs(2)
            }
        );
        assert_eq!(fault("drop,rate=0.25%").rate, Share(2_500));
    }

    #[test]
    fn what_is_wrong_is_named_with_help() {
        for (text, what, help) in [
            ("statsu=503", "there is no kind \"statsu\"", "did you mean status?"),
            ("", "there is no kind", "kinds: status"),
            ("status", "status needs a value", "write status=503"),
            ("status=200", "the status is no error", "give 400 to 599"),
            ("status=503,rate=5", "rate \"5\" is no percentage", "write rate=5%"),
            ("status=503,rate=0%", "is no percentage", "0.0001%"),
            ("drop=1", "drop takes no value", "write drop"),
            ("drop,path=", "path is empty", "write path=*.ts"),
            ("drop,rate=1%,rate=2%", "rate stands there twice", "once"),
            ("drop,jitter=1s", "drop has no option \"jitter\"", "it has: path, rate, count"),
            ("stalled-playlist,rate=1%", "has no option \"rate\"", "it has: path, count"),
            ("encoder-death,rate=1%", "has no option \"rate\"", "it has: every, down"),
            ("encoder-death,every=1ms", "every is below 1s", "1s or more"),
            ("delay=soon", "delay: ", "write delay=200ms"),
            ("delay=25h", "longer than 24h", "less"),
            ("bandwidth=fast", "is no rate", "800k"),
            ("bandwidth=99999999999999G", "is no rate", "800k"),
            ("drop,count", "count has no value", "write count="),
        ] {
            let failure = text.parse::<Fault>().unwrap_err();
            assert!(failure.chain().contains(what), "{text}: {}", failure.chain());
            assert!(failure.help_text().unwrap().contains(help), "{text}: {:?}", failure.help_text());
        }
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        let time = || (0_u64..86_400_000).prop_map(Duration::from_millis);
        let victim = prop_oneof![Just(KillTarget::Encoder), Just(KillTarget::Server)];
        let every = proptest::option::of((1_u64..86_400).prop_map(Duration::from_secs));
        prop_oneof![
            (400_u16..600).prop_map(Kind::Status),
            (time(), time()).prop_map(|(time, jitter)| Kind::Delay { time, jitter }),
            time().prop_map(Kind::SlowFirstByte),
            (8_u64..1_000_000_000_000).prop_map(Kind::Bandwidth),
            Just(Kind::StalledPlaylist),
            (1_u32..=1000).prop_map(Kind::RegressingPlaylist),
            Just(Kind::MissingSegments),
            Just(Kind::Drop),
            (1_u32..=1_000_000).prop_map(|share| Kind::Truncate(Share(share))),
            (victim, every, time()).prop_map(|(victim, every, down)| Kind::Death { victim, every, down }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same_fault(
            kind in kinds(), path in proptest::option::of("[a-z/*?._]{1,9}"), rate in 1_u32..=1_000_000,
            count in proptest::option::of(1_u64..1000),
        ) {
            let mut fault =
                Fault { kind, path: path.as_deref().and_then(Pattern::new), rate: Share(rate), count };
            if matches!(fault.kind, Kind::Death { .. }) {
                (fault.path, fault.rate, fault.count) = (None, Share::ALL, None);
            }
            if fault.kind == Kind::StalledPlaylist {
                fault.rate = Share::ALL;
            }
            prop_assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        }

        #[test]
        fn no_text_panics(text in ".*", tail in "[a-z=,%0-9.-]*") {
            drop(text.parse::<Fault>());
            drop(format!("status=503,{tail}").parse::<Fault>());
        }
    }
}
