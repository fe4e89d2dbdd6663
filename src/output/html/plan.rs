//! The plan of the run: how it was started, and on what host.

use maud::{Markup, html};

use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;

use crate::output::figures::{bytes, length};

/// The command line, where values come from, and the host.
pub(super) fn plan(run: &Run, snapshot: &Snapshot) -> Markup {
    let Some(setup) = &run.setup else { return html! {} };
    let planned = snapshot.planned_seconds.map_or_else(|| "until stopped".to_owned(), length);
    let memory =
        setup.memory_bytes.map_or_else(String::new, |memory| format!(", {} of memory", bytes(memory)));
    let host = format!("{}, Linux {}, {} processors{memory}", setup.host, setup.kernel, setup.processors);
    let mut rows = vec![
        ("Viewers", format!("{} planned, variant {}", snapshot.target_clients, run.variant_name())),
        ("Length", planned),
        ("Player", run.player_name()),
        ("Host of the viewers", host),
    ];
    rows.extend(setup.profile.clone().map(|profile| ("Profile", profile)));
    rows.extend(setup.scenario.clone().map(|scenario| ("Scenario", scenario)));
    let thresholds = setup.thresholds_from.clone();
    rows.push(("Thresholds", thresholds.unwrap_or_else(|| "none; the built-in criteria apply".to_owned())));
    html! {
        h2 { "Plan" }
        div.table {
            pre { (setup.command_line) }
            table {
                tbody {
                    @for (name, value) in rows {
                        tr { th scope="row" { (name) } td.text.wide { (value) } }
                    }
                }
            }
        }
    }
}
