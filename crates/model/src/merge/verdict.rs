//! The verdict on merged runs: all criteria judged again over all, and no better than any single run.

use hls_swarm_base::exit::Exit;

use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::verdict::criteria::judge;
use crate::verdict::threshold::Threshold;
use crate::verdict::{Criterion, Verdict, VerdictKind};

/// How bad a verdict is, by the order in which `verdict::criteria` looks for what is wrong.
fn badness(verdict: &Verdict) -> u8 {
    match verdict.word {
        _ if verdict.exit_code == Exit::NeverPlayed.code() => 4,
        VerdictKind::Invalid => 3,
        VerdictKind::Aborted => 2,
        VerdictKind::Fail => 1,
        VerdictKind::Pass => 0,
    }
}

/// Judges `merged`, the sum of `parts`.
pub fn judge_merged(parts: &[(String, Report)], merged: &Snapshot) -> Verdict {
    let mut thresholds = Vec::<Threshold>::new();
    for criterion in parts.iter().flat_map(|(_, report)| &report.verdict.criteria) {
        // The limit of a built-in criterion is no threshold, and judged anyway.
        if let Ok(threshold) = criterion.limit.parse()
            && !thresholds.contains(&threshold)
        {
            thresholds.push(threshold);
        }
    }
    let mut verdict = judge(merged, &thresholds, None);
    let failed = parts.iter().filter(|(_, report)| report.verdict.word != VerdictKind::Pass);
    let failed: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
    let who = if failed.is_empty() { String::new() } else { format!(" (not so: {})", failed.join(", ")) };
    verdict.criteria.push(Criterion {
        name: "merged_runs".to_owned(),
        limit: format!("each of the merged runs passes{who}"),
        value: Some((parts.len() - failed.len()) as f64 / parts.len() as f64),
        met: failed.is_empty(),
    });
    for (name, report) in parts {
        let because = report.verdict.invalid_reasons.iter();
        verdict.invalid_reasons.extend(because.map(|why| format!("{name}: {why}")));
    }
    let verdicts = parts.iter().map(|(_, report)| &report.verdict);
    if let Some(worst) =
        verdicts.max_by_key(|one| badness(one)).filter(|one| badness(one) > badness(&verdict))
    {
        (verdict.word, verdict.exit_code) = (worst.word, worst.exit_code);
    }
    verdict
}
