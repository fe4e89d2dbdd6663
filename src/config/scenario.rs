//! Scenarios: the same keys as a profile, for what a run is to show rather than how its viewers are.

use hls_swarm_base::built_in::find;
use hls_swarm_base::error::Failure;

/// The scenarios that come with the program: name and text.
pub use hls_swarm_profiles::SCENARIO as BUILT_IN;

/// The text of a scenario that comes with the program.
///
/// # Errors
/// A usage failure that lists those there are.
pub fn built_in(name: &str) -> Result<&'static str, Failure> {
    find(&BUILT_IN, "scenario", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::run::SwarmArgs;
    use crate::config::plan::{Environment, Plan, resolve};
    use crate::config::profile::underlay;
    use crate::load::Load;

    fn plan(name: &str) -> Plan {
        let text = built_in(name).unwrap().to_owned();
        let args = underlay(SwarmArgs::default(), &(name.to_owned(), text)).unwrap();
        let url = args.streams.is_empty().then(|| "http://127.0.0.1/a.m3u8".to_owned());
        let plan = resolve(&SwarmArgs { url, ..args }, &Environment::default());
        plan.unwrap_or_else(|failure| panic!("{name}: {}", failure.chain()))
    }

    fn levels(load: &Load) -> Vec<(u64, u32)> {
        let held = load.stages().into_iter().filter(|(_, from, stage)| *from == stage.target);
        held.map(|(_, _, stage)| (stage.length.as_secs(), stage.target)).collect()
    }

    #[test]
    fn all_of_them_make_a_plan() {
        for (name, _) in BUILT_IN {
            assert!(plan(name).load.most() > 0, "{name}");
        }
        assert!(
            built_in("progresive").unwrap_err().help_text().unwrap().contains("did you mean progressive?")
        );
    }

    #[test]
    fn they_are_what_their_names_promise() {
        let pauses = [
            (300, 50),
            (30, 0),
            (300, 100),
            (30, 0),
            (300, 200),
            (30, 0),
            (300, 300),
            (30, 0),
            (300, 400),
            (30, 0),
            (300, 500),
        ];
        assert_eq!(levels(&plan("progressive").load), pauses);
        let abort_policy = plan("endurance");
        assert_eq!((abort_policy.load.most(), abort_policy.load.length.unwrap().as_secs()), (200, 86_400));
        assert!(abort_policy.viewers.restart_on_stall);
        assert_eq!((plan("lab").load.most(), plan("lab").load.length.unwrap().as_secs()), (10, 30));
        let two = plan("two-streams");
        assert_eq!((two.streams.count(), two.load.most(), two.load.length.unwrap().as_secs()), (2, 600, 600));
    }
}
