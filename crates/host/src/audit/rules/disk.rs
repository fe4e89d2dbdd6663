//! Disks that hold the segments, held against the origin's profile of settings.

use super::{Found, Outcome};
use crate::audit::case::Case;
use crate::audit::findings::Severity;
use crate::tuning::check::Disk;
use crate::tuning::profile::{self, DiskKind};

/// The disks, or why there is nothing to check.
fn disks<'a>(case: &'a Case<'_>) -> Result<&'a [Disk], Outcome> {
    match &case.facts.disks {
        None => Err(Outcome::Unknown("the disk that holds the segments is not known".into())),
        Some(disks) if disks.is_empty() => Err(Outcome::NotHere),
        Some(disks) => Ok(disks),
    }
}

fn wish<'a>(case: &'a Case<'_>, kind: DiskKind) -> Option<&'a profile::Disk> {
    case.profile.disk.get(&kind)
}

pub(crate) fn scheduler(case: &Case<'_>) -> Outcome {
    let disks = match disks(case) {
        Ok(disks) => disks,
        Err(outcome) => return outcome,
    };
    let (mut wrong, mut commands) = (Vec::new(), Vec::new());
    for disk in disks {
        let Some(wish) = wish(case, disk.kind) else { continue };
        if disk.offers(&wish.scheduler) && disk.scheduler() != Some(wish.scheduler.as_str()) {
            wrong.push(format!("/sys/block/{}/queue/scheduler: {}", disk.name, disk.schedulers));
            commands.push(format!("echo {} > /sys/block/{}/queue/scheduler", wish.scheduler, disk.name));
        }
    }
    verdict(
        case,
        Severity::Low,
        wrong,
        commands,
        "the I/O scheduler does not suit the disk",
        "a reader can wait long behind others",
    )
}

pub(crate) fn read_ahead(case: &Case<'_>) -> Outcome {
    let disks = match disks(case) {
        Ok(disks) => disks,
        Err(outcome) => return outcome,
    };
    let (mut wrong, mut commands) = (Vec::new(), Vec::new());
    for disk in disks {
        let least = wish(case, disk.kind).and_then(|wish| wish.read_ahead_kb);
        if let Some((now, least)) = disk.read_ahead_kb.zip(least).filter(|(now, least)| now < least) {
            wrong.push(format!("/sys/block/{}/queue/read_ahead_kb: {now}", disk.name));
            commands.push(format!("echo {least} > /sys/block/{}/queue/read_ahead_kb", disk.name));
        }
    }
    verdict(
        case,
        Severity::Low,
        wrong,
        commands,
        "the disk reads little ahead",
        "a segment is read in many small pieces, each with a seek",
    )
}

fn verdict(
    case: &Case<'_>,
    severity: Severity,
    wrong: Vec<String>,
    commands: Vec<String>,
    title: &str,
    effect: &str,
) -> Outcome {
    if wrong.is_empty() {
        return Outcome::Good("as recommended for its kind".into());
    }
    Outcome::found(
        Found::new(severity, title)
            .evidence(wrong)
            .effect(format!("what is not in memory: {effect}, and {} viewers read at once", case.viewers))
            .fix("`hls-swarm tune apply --profile origin --only disk.`, `tune persist` for good; or tmpfs for live segments")
            .commands(commands),
    )
}
