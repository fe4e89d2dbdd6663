//! Parsing of faults: `KIND[=VALUE][,OPTION=VALUE…]`.

use std::str::FromStr;
use std::time::Duration;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;
use hls_swarm_base::nearest::nearest;

use super::{Fault, FaultKind, KillTarget, PathPattern, Share};

/// The kinds of fault, in the order of the help text.
const KINDS: [&str; 15] = [
    "status",
    "delay",
    "slow-first-byte",
    "bandwidth",
    "stalled-playlist",
    "regressing-playlist",
    "missing-segments",
    "late-parts",
    "missing-parts",
    "dead-hints",
    "unblocked-reloads",
    "drop",
    "truncate",
    "encoder-death",
    "nginx-death",
];
/// Longer than any viewer waits, and short enough that sums of times do not overflow.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

impl FromStr for Fault {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        parse(text).map_err(|SpecError { what, help }| {
            Failure::usage(format!("invalid fault \"{text}\": {what}")).help(help)
        })
    }
}

struct SpecError {
    what: String,
    help: String,
}

fn spec_error(what: impl Into<String>, help: impl Into<String>) -> SpecError {
    SpecError { what: what.into(), help: help.into() }
}

/// The options of a spec that were not consumed yet.
struct SpecOptions<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> SpecOptions<'a> {
    fn take(&mut self, name: &str) -> Result<Option<&'a str>, SpecError> {
        let Some(index) = self.0.iter().position(|(other, _)| *other == name) else { return Ok(None) };
        let (_, value) = self.0.remove(index);
        value.map(Some).ok_or_else(|| spec_error(format!("{name} has no value"), format!("write {name}=…")))
    }
}

fn parse(text: &str) -> Result<Fault, SpecError> {
    let mut options = Vec::new();
    for piece in text.split(',') {
        let (name, value) = piece.split_once('=').map_or((piece, None), |(name, value)| (name, Some(value)));
        if options.iter().any(|(other, _)| *other == name) {
            return Err(spec_error(format!("{name} is given twice"), "give each option once"));
        }
        options.push((name, value));
    }
    let (name, value) = options.remove(0);
    let mut options = SpecOptions(options);
    let kind = kind(name, value, &mut options)?;
    let mut fault = Fault { kind, path: None, rate: Share::ALL, count: None };
    if !matches!(fault.kind, FaultKind::Kill { .. }) {
        if let Some(path) = options.take("path")? {
            let pattern = PathPattern::new(path);
            fault.path = Some(
                pattern
                    .ok_or_else(|| spec_error("path is empty or contains whitespace", "write path=*.ts"))?,
            );
        }
        // A playlist that stalls for some requests only would jump back and forth, which is a different fault.
        if fault.kind != FaultKind::StalledPlaylist
            && let Some(rate) = options.take("rate")?
        {
            fault.rate = share("rate", rate)?;
        }
        if let Some(count) = options.take("count")? {
            let number = count.parse().ok().filter(|number| *number > 0);
            let error = || {
                spec_error(format!("invalid count \"{count}\": expected a number above 0"), "write count=1")
            };
            fault.count = Some(number.ok_or_else(error)?);
        }
    }
    match options.0.first() {
        None => Ok(fault),
        Some((left, _)) => {
            let known = known_options(&fault.kind);
            Err(spec_error(
                format!("{name} has no option \"{left}\""),
                format!("its options are: {}", known.join(", ")),
            ))
        }
    }
}

const fn known_options(kind: &FaultKind) -> &'static [&'static str] {
    match kind {
        FaultKind::Kill { .. } => &["every", "down"],
        FaultKind::StalledPlaylist => &["path", "count"],
        FaultKind::Delay { .. } => &["jitter", "path", "rate", "count"],
        _ => &["path", "rate", "count"],
    }
}

fn kind(name: &str, value: Option<&str>, options: &mut SpecOptions<'_>) -> Result<FaultKind, SpecError> {
    let required = |example: &str| {
        value.ok_or_else(|| spec_error(format!("{name} needs a value"), format!("write {name}={example}")))
    };
    let kind = match name {
        "status" => {
            let text = required("503")?;
            let code = text.parse().ok().filter(|code| (400..600).contains(code));
            let error = || {
                spec_error(format!("invalid status \"{text}\": expected an error status"), "give 400 to 599")
            };
            FaultKind::Status(code.ok_or_else(error)?)
        }
        "delay" => {
            let jitter = options.take("jitter")?.map(|text| time("jitter", text)).transpose()?;
            FaultKind::Delay { time: time(name, required("200ms")?)?, jitter: jitter.unwrap_or_default() }
        }
        "slow-first-byte" => FaultKind::SlowFirstByte(time(name, required("2s")?)?),
        "bandwidth" => FaultKind::Bandwidth(bits(required("500k")?)?),
        "truncate" => FaultKind::Truncate(share(name, value.unwrap_or("50%"))?),
        "regressing-playlist" => {
            let text = value.unwrap_or("3");
            let segments = text.parse().ok().filter(|segments| (1..=1000).contains(segments));
            let error = || spec_error(format!("invalid number of segments \"{text}\""), "give 1 to 1000");
            FaultKind::RegressingPlaylist(segments.ok_or_else(error)?)
        }
        "encoder-death" => kill(KillTarget::Encoder, options)?,
        "nginx-death" => kill(KillTarget::Server, options)?,
        "stalled-playlist" => FaultKind::StalledPlaylist,
        "missing-segments" => FaultKind::MissingSegments,
        "late-parts" => FaultKind::LateParts(time(name, required("1s")?)?),
        "missing-parts" => FaultKind::MissingParts,
        "dead-hints" => FaultKind::DeadHints,
        "unblocked-reloads" => FaultKind::UnblockedReloads,
        "drop" => FaultKind::Drop,
        _ => {
            return Err(spec_error(
                format!("unknown kind of fault \"{name}\""),
                match nearest(name, KINDS) {
                    Some(near) => format!("did you mean {near}? The kinds are: {}", KINDS.join(", ")),
                    None => format!("the kinds are: {}", KINDS.join(", ")),
                },
            ));
        }
    };
    let takes_no_value = matches!(
        kind,
        FaultKind::StalledPlaylist
            | FaultKind::MissingSegments
            | FaultKind::MissingParts
            | FaultKind::DeadHints
            | FaultKind::UnblockedReloads
            | FaultKind::Drop
            | FaultKind::Kill { .. }
    );
    if takes_no_value && value.is_some() {
        return Err(spec_error(format!("{name} takes no value"), format!("write {name}")));
    }
    Ok(kind)
}

fn kill(target: KillTarget, options: &mut SpecOptions<'_>) -> Result<FaultKind, SpecError> {
    let every = options.take("every")?.map(|text| time("every", text)).transpose()?;
    let down = options.take("down")?.map(|text| time("down", text)).transpose()?.unwrap_or_default();
    if every.is_some_and(|every| every < Duration::from_secs(1)) {
        return Err(spec_error(
            "every is below 1s",
            "give 1s or more, so that the process can start in between",
        ));
    }
    Ok(FaultKind::Kill { target, every, down })
}

fn time(name: &str, text: &str) -> Result<Duration, SpecError> {
    let GoDuration(time) = text
        .parse()
        .map_err(|error| spec_error(format!("{name}: {error}"), format!("write {name}=200ms")))?;
    if time > MAX_TIME {
        return Err(spec_error(format!("{name} is longer than 24h"), "give less"));
    }
    Ok(time)
}

/// Parses a percentage such as `5%` or `0.25%`.
fn share(name: &str, text: &str) -> Result<Share, SpecError> {
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
        spec_error(
            format!("invalid {name} \"{text}\": expected a percentage"),
            format!("write {name}=5%, from 0.0001% to 100%"),
        )
    })
}

/// Parses bits per second such as `800000`, `800k` or `2M`.
fn bits(text: &str) -> Result<u64, SpecError> {
    let scales = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
    let (number, scale) = scales
        .iter()
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, *scale)))
        .unwrap_or((text, 1));
    let bits = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    bits.filter(|bits| (8..=1_000_000_000_000).contains(bits)).ok_or_else(|| {
        spec_error(
            format!("invalid bandwidth \"{text}\": expected bits per second"),
            "write for example 800000, 800k or 2M",
        )
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
    fn specs_are_parsed() {
        let all = fault("status=503,path=*.ts,rate=5%,count=3");
        assert_eq!((all.kind.clone(), all.rate, all.count), (FaultKind::Status(503), Share(50_000), Some(3)));
        assert!(all.path.unwrap().matches("/seg_1.ts"));
        assert_eq!(fault("bandwidth=2M").kind, FaultKind::Bandwidth(2_000_000));
        assert_eq!(fault("truncate").kind, FaultKind::Truncate(Share(500_000)));
        assert_eq!(fault("regressing-playlist").kind, FaultKind::RegressingPlaylist(3));
        assert_eq!(
            fault("nginx-death,every=30s,down=2s").kind,
            FaultKind::Kill {
                target: KillTarget::Server,
                every: Some(Duration::from_secs(30)),
                down: Duration::from_secs(2)
            }
        );
        assert_eq!(fault("drop,rate=0.25%").rate, Share(2_500));
    }

    #[test]
    fn errors_name_the_problem_and_the_help() {
        for (text, what, help) in [
            ("statsu=503", "unknown kind of fault \"statsu\"", "did you mean status?"),
            ("", "unknown kind of fault", "kinds are: status"),
            ("status", "status needs a value", "write status=503"),
            ("status=200", "invalid status \"200\"", "give 400 to 599"),
            ("status=503,rate=5", "invalid rate \"5\"", "write rate=5%"),
            ("status=503,rate=0%", "expected a percentage", "0.0001%"),
            ("drop=1", "drop takes no value", "write drop"),
            ("drop,path=", "path is empty", "write path=*.ts"),
            ("drop,rate=1%,rate=2%", "rate is given twice", "once"),
            ("drop,jitter=1s", "drop has no option \"jitter\"", "its options are: path, rate, count"),
            ("stalled-playlist,rate=1%", "has no option \"rate\"", "its options are: path, count"),
            ("encoder-death,rate=1%", "has no option \"rate\"", "its options are: every, down"),
            ("encoder-death,every=1ms", "every is below 1s", "1s or more"),
            ("delay=soon", "delay: ", "write delay=200ms"),
            ("delay=25h", "longer than 24h", "less"),
            ("bandwidth=fast", "invalid bandwidth", "800k"),
            ("bandwidth=99999999999999G", "invalid bandwidth", "800k"),
            ("drop,count", "count has no value", "write count="),
        ] {
            let failure = text.parse::<Fault>().unwrap_err();
            assert!(failure.chain().contains(what), "{text}: {}", failure.chain());
            assert!(failure.help_text().unwrap().contains(help), "{text}: {:?}", failure.help_text());
        }
    }

    fn kinds() -> impl Strategy<Value = FaultKind> {
        let time = || (0_u64..86_400_000).prop_map(Duration::from_millis);
        let target = prop_oneof![Just(KillTarget::Encoder), Just(KillTarget::Server)];
        let every = proptest::option::of((1_u64..86_400).prop_map(Duration::from_secs));
        prop_oneof![
            (400_u16..600).prop_map(FaultKind::Status),
            (time(), time()).prop_map(|(time, jitter)| FaultKind::Delay { time, jitter }),
            time().prop_map(FaultKind::SlowFirstByte),
            (8_u64..1_000_000_000_000).prop_map(FaultKind::Bandwidth),
            Just(FaultKind::StalledPlaylist),
            (1_u32..=1000).prop_map(FaultKind::RegressingPlaylist),
            Just(FaultKind::MissingSegments),
            time().prop_map(FaultKind::LateParts),
            Just(FaultKind::MissingParts),
            Just(FaultKind::DeadHints),
            Just(FaultKind::UnblockedReloads),
            Just(FaultKind::Drop),
            (1_u32..=1_000_000).prop_map(|share| FaultKind::Truncate(Share(share))),
            (target, every, time()).prop_map(|(target, every, down)| FaultKind::Kill { target, every, down }),
        ]
    }

    proptest! {
        #[test]
        fn a_printed_fault_parses_as_the_same_fault(
            kind in kinds(), path in proptest::option::of("[a-z/*?._]{1,9}"), rate in 1_u32..=1_000_000,
            count in proptest::option::of(1_u64..1000),
        ) {
            let mut fault =
                Fault { kind, path: path.as_deref().and_then(PathPattern::new), rate: Share(rate), count };
            if matches!(fault.kind, FaultKind::Kill { .. }) {
                (fault.path, fault.rate, fault.count) = (None, Share::ALL, None);
            }
            if fault.kind == FaultKind::StalledPlaylist {
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
