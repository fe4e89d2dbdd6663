//! What to do after a run, whatever its verdict.

use hls_swarm_base::exit::Exit;
use hls_swarm_model::metric::criteria;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::{Criterion, Verdict, VerdictKind};

/// The next step, as a sentence.
pub(super) fn step(snapshot: &Snapshot, verdict: &Verdict) -> String {
    let viewers = snapshot.peak_clients.max(1);
    match verdict.kind {
        _ if verdict.exit_code == Exit::NeverPlayed.code() => {
            "find out why with one viewer: hls-swarm check URL".to_owned()
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
}
