//! Limits of processes for a number of viewers.

use hls_swarm_base::sizing::Requirements;

use super::profile::Limits;

/// Open files per process for `clients` viewers, or all that the profile asks for.
///
/// It is never less than the preflight asks for: who follows the advice passes.
#[must_use]
pub fn open_files(limits: &Limits, clients: Option<u32>) -> u64 {
    let Some(clients) = clients else { return limits.nofile };
    if limits.step.is_empty() {
        return limits.nofile;
    }
    let step = limits.step.iter().find(|step| clients <= step.up_to_clients);
    let least = step.map_or(limits.nofile, |step| step.nofile);
    least.max(Requirements::of(clients).open_files_limit)
}

/// Processes per user for `clients` viewers; `None` where few viewers ask for none in particular.
#[must_use]
pub fn processes(limits: &Limits, clients: Option<u32>) -> Option<u64> {
    let Some(clients) = clients else { return Some(limits.nproc) };
    if limits.step.iter().any(|step| clients <= step.up_to_clients) {
        return None;
    }
    Some(limits.nproc.max(Requirements::of(clients).processes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::profile::{built_in, parse};

    #[test]
    fn the_steps_of_the_guide_and_what_lies_beyond() {
        let limits = parse("client", built_in("client").unwrap(), None).unwrap().limits.unwrap();
        for (clients, files, processes) in [
            (Some(1), 4096, None),
            (Some(100), 4096, None),
            (Some(101), 16_384, None),
            (Some(500), 16_384, None),
            (Some(1000), 32_768, Some(8192)),
            (Some(10_000), 200_100, Some(10_050)),
            (None, 32_768, Some(8192)),
        ] {
            assert_eq!(open_files(&limits, clients), files, "{clients:?}");
            assert_eq!(super::processes(&limits, clients), processes, "{clients:?}");
        }
        for clients in [1, 100, 500, 3000, 100_000] {
            assert!(open_files(&limits, Some(clients)) >= Requirements::of(clients).open_files);
        }
    }

    #[test]
    fn an_origin_has_one_number() {
        let limits = parse("origin", built_in("origin").unwrap(), None).unwrap().limits.unwrap();
        assert_eq!(open_files(&limits, Some(5)), 100_000);
    }
}
