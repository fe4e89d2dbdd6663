//! The comparison as one HTML page, with both runs in the same drawings.

use maud::{Markup, html};

use hls_swarm_model::comparison::condition::Outcome;

use super::{Compared, explained};
use crate::output::drawings::overlaid;
use crate::output::html::{document, zoom};

/// Renders the comparison.
pub(super) fn render(compared: &Compared<'_>) -> String {
    let [before, after] = compared.sides;
    let body = html! {
        (header(compared))
        main {
            (conditions(compared))
            (zoom())
            (overlaid(before.1, after.1))
            h2 { "Figures" }
            (table(&compared.lines()))
            h2 { "The runs" }
            (table(&compared.facts()))
        }
        footer { p { (Compared::rule()) } }
    };
    document(&format!("Comparison: hls-swarm, {}", after.1.run.url), &html! { body { (body) } }, "")
}

fn header(compared: &Compared<'_>) -> Markup {
    let judged = !compared.conditions.is_empty();
    // Without conditions there is no verdict, and no color of one.
    let (class, word) =
        if judged { (compared.verdict(), compared.verdict()) } else { ("aborted", "A and B") };
    html! {
        header {
            div class={ "verdict " (class.to_lowercase()) } {
                strong { (word) }
                p { (compared.sentence()) }
                @for note in &compared.comparison.notes { p { (note) } }
            }
            @for (letter, (name, report)) in ["A", "B"].iter().zip(compared.sides) {
                h1 { (letter) ": " (name) }
                p.soft { (report.verdict.kind.as_str()) ", " (report.run.url) }
            }
        }
    }
}

fn conditions(compared: &Compared<'_>) -> Markup {
    html! {
        @if !compared.conditions.is_empty() {
            h2 { "Fails if" }
            div.table {
                table {
                    tbody {
                        @for checked in &compared.conditions {
                            tr {
                                th scope="row" { (checked.condition) }
                                @match checked.outcome {
                                    Outcome::Holds => { td.unmet { "✗ failed" } },
                                    Outcome::No | Outcome::Noise => { td.met { "✓ passed" } },
                                    Outcome::Unknown => { td { "? not judged" } },
                                }
                                td.text { (explained(checked)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(lines: &[super::Line]) -> Markup {
    let class = |judgement: &str| match judgement {
        "worse" => Some("unmet"),
        "better" => Some("met"),
        _ => None,
    };
    html! {
        div.table {
            table {
                thead {
                    tr { @for name in ["", "A", "B", "Change", ""] { th scope="col" { (name) } } }
                }
                tbody {
                    @for [name, before, after, change, judgement] in lines {
                        tr {
                            th scope="row" { (name) }
                            td { (before) }
                            td { (after) }
                            td { (change) }
                            td class=[class(judgement)] { (judgement) }
                        }
                    }
                }
            }
        }
    }
}
