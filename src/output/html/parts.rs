//! The load in parts: stages, streams, changes by hand.

use std::fmt::{self, Write};

use hls_swarm_model::report::Report;

use super::tables::{cell, first, table};
use crate::output::escape::markup as safe;
use crate::output::load;

/// What there is of them.
pub fn write(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let notes = [load::sessions(&snapshot.lifetimes), load::manual_changes(&snapshot.manual_changes)];
    for note in notes.into_iter().flatten() {
        writeln!(out, "<p>{}</p>", safe(&note))?;
    }
    named(out, "Stages", &load::STAGE, &load::stages(snapshot))?;
    named(out, "Streams", &load::STREAM, &load::streams(snapshot))
}

/// Rows below their heads; nothing if there are none.
fn named<const N: usize>(
    out: &mut String,
    title: &str,
    head: &[&str; N],
    rows: &[[String; N]],
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let marked = |row: &[String; N]| {
        let cells = row.iter().enumerate();
        cells.map(|(column, text)| if column == 0 { first(text) } else { cell(text) }).collect()
    };
    table(out, title, head, &rows.iter().map(marked).collect::<Vec<Vec<String>>>())
}
