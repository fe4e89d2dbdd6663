//! Disks that hold the segments, compared with the origin's profile.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::tuning::comparison::Disk;
use crate::tuning::profile::{self, DiskKind};

/// Returns the disks, or the outcome where there is nothing to check.
fn disks<'a>(context: &'a Context<'_>) -> Result<&'a [Disk], Outcome> {
    match &context.facts.disks {
        None => Err(Outcome::Unknown("the disk that holds the segments is unknown".into())),
        Some(disks) if disks.is_empty() => Err(Outcome::NotApplicable),
        Some(disks) => Ok(disks),
    }
}

fn recommended<'a>(context: &'a Context<'_>, kind: DiskKind) -> Option<&'a profile::Disk> {
    context.profile.disk.get(&kind)
}

pub(super) fn scheduler(context: &Context<'_>) -> Outcome {
    let disks = match disks(context) {
        Ok(disks) => disks,
        Err(outcome) => return outcome,
    };
    let (mut wrong, mut commands) = (Vec::new(), Vec::new());
    for disk in disks {
        let Some(recommended) = recommended(context, disk.kind) else { continue };
        if disk.offers(&recommended.scheduler) && disk.scheduler() != Some(recommended.scheduler.as_str()) {
            wrong.push(format!("/sys/block/{}/queue/scheduler: {}", disk.name, disk.schedulers));
            commands
                .push(format!("echo {} > /sys/block/{}/queue/scheduler", recommended.scheduler, disk.name));
        }
    }
    verdict(
        context,
        Severity::Low,
        wrong,
        commands,
        "the I/O scheduler does not suit the disk",
        "a reader can wait long behind others",
    )
}

pub(super) fn read_ahead(context: &Context<'_>) -> Outcome {
    let disks = match disks(context) {
        Ok(disks) => disks,
        Err(outcome) => return outcome,
    };
    let (mut wrong, mut commands) = (Vec::new(), Vec::new());
    for disk in disks {
        let least = recommended(context, disk.kind).and_then(|recommended| recommended.read_ahead_kb);
        if let Some((now, least)) = disk.read_ahead_kb.zip(least).filter(|(now, least)| now < least) {
            wrong.push(format!("/sys/block/{}/queue/read_ahead_kb: {now}", disk.name));
            commands.push(format!("echo {least} > /sys/block/{}/queue/read_ahead_kb", disk.name));
        }
    }
    verdict(
        context,
        Severity::Low,
        wrong,
        commands,
        "the disk reads little ahead",
        "a segment is read in many small pieces, each with a seek",
    )
}

fn verdict(
    context: &Context<'_>,
    severity: Severity,
    wrong: Vec<String>,
    commands: Vec<String>,
    title: &str,
    effect: &str,
) -> Outcome {
    if wrong.is_empty() {
        return Outcome::Good("as recommended for its kind".into());
    }
    Draft::new(severity, title)

            .evidence(wrong)
            .effect(format!("for files that are not in memory, {effect}, and {} viewers read at the same time", context.viewers))
            .fix("`hls-swarm tune apply --profile origin --only disk.`, `tune persist` for each boot; or tmpfs for live segments")
            .commands(commands)
            .found()
}
