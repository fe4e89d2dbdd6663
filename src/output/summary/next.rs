//! What to do after a run, whatever its verdict.

use hls_swarm_base::exit::Exit;
use hls_swarm_model::metric::criteria;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::{Criterion, Verdict, VerdictKind};

/// The part of a load that a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A load of one run.
    Whole,
    /// A shard (`--shard`) whose report a collector takes.
    CollectedShard,
    /// A shard without a collector.
    Shard,
    /// The sum of several reports.
    Sum,
}

/// The next step, as a sentence.
pub(super) fn step(snapshot: &Snapshot, verdict: &Verdict, part: Part) -> String {
    let viewers = snapshot.peak_clients.max(1);
    match verdict.kind {
        _ if part == Part::CollectedShard => {
            "this is one shard; read the verdict on the whole load in the summary of the collector".to_owned()
        }
        _ if part == Part::Shard => {
            "this is one shard; add up the JSON reports (-o) of all of them: hls-swarm report merge A.json B.json"
                .to_owned()
        }
        _ if verdict.exit_code == Exit::NeverPlayed.code() => {
            "find out why with one viewer: hls-swarm check URL".to_owned()
        }
        VerdictKind::Pass if part == Part::Sum => format!(
            "raise the load: run all shards with --clients {}",
            viewers.saturating_mul(2)
        ),
        VerdictKind::Invalid if part == Part::Sum => {
            "a machine was the bottleneck: divide the load over more of them (--shard), or use native viewers \
             (--engine native)"
                .to_owned()
        }
        VerdictKind::Pass => format!(
            "raise the load (--clients {}), or search for the limit (--find-limit)",
            viewers.saturating_mul(2)
        ),
        VerdictKind::Invalid => {
            "this machine was the bottleneck: close other programs, run fewer viewers (--clients), native ones \
             (--engine native), or use several machines (docs/kubernetes.md)"
                .to_owned()
        }
        VerdictKind::Aborted => {
            "run it again to its planned end; the figures above cover only the time until the signal".to_owned()
        }
        VerdictKind::Fail => failed(verdict.criteria.iter().find(|criterion| !criterion.met), viewers),
    }
}

fn failed(criterion: Option<&Criterion>, viewers: u64) -> String {
    let name = criterion.map_or("", |criterion| criterion.name.as_str());
    let fewer = (viewers / 2).max(1);
    match name {
        criteria::ALLOWED_HOSTS => {
            "allow the hosts that the stream leads to (--allow-host), or correct its playlists".to_owned()
        }
        criteria::GIVEN_UP | criteria::VIEWERS_PLAYED => {
            "read why viewers ended above, and docs/troubleshooting.md".to_owned()
        }
        criteria::STAGES | criteria::LIMIT => {
            "find what breaks at that load: -o run.html shows every figure over time".to_owned()
        }
        criteria::ERROR_RATE | criteria::ERROR_STORM => {
            format!(
                "look for these failures in the origin's log; fewer viewers show whether it is the load (--clients {fewer})"
            )
        }
        _ => format!(
            "see over time when it broke (-o run.html), and whether fewer viewers hold (--clients {fewer})"
        ),
    }
}

#[cfg(test)]
mod tests {
    use hls_swarm_test_support::recorded::report;

    use super::*;

    #[test]
    fn every_verdict_has_a_next_step() {
        let limits =
            [criteria::ALLOWED_HOSTS, criteria::GIVEN_UP, criteria::STAGES, criteria::ERROR_RATE, "speed"];
        let steps: std::collections::BTreeSet<String> = limits
            .into_iter()
            .map(|name| {
                let criterion = Criterion {
                    name: name.to_owned(),
                    limit: String::new(),
                    value: None,
                    met: false,
                    certain: false,
                };
                failed(Some(&criterion), 300)
            })
            .collect();
        assert_eq!(steps.len(), limits.len());
        assert!(failed(None, 300).contains("--clients 150"));
    }

    #[test]
    fn the_step_after_a_shard_leads_to_the_whole_load() {
        let verdict = |kind, exit_code| Verdict {
            kind,
            exit_code,
            criteria: Vec::new(),
            invalid_because: Vec::new(),
            warnings: Vec::new(),
        };
        let snapshot = Snapshot { peak_clients: 300, ..report().snapshot };
        for (kind, exit_code) in
            [(VerdictKind::Pass, 0), (VerdictKind::Fail, Exit::NeverPlayed.code()), (VerdictKind::Invalid, 5)]
        {
            let of = |part| step(&snapshot, &verdict(kind, exit_code), part);
            assert!(of(Part::CollectedShard).contains("the collector"), "{kind:?}");
            assert!(of(Part::Shard).contains("report merge"), "{kind:?}");
            assert!(!of(Part::Sum).contains("shard;"), "{kind:?}");
        }
        let passed = step(&snapshot, &verdict(VerdictKind::Pass, 0), Part::Sum);
        assert!(passed.contains("--clients 600") && !passed.contains("--find-limit"), "{passed}");
    }
}
