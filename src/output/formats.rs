//! The formats of a report; the file ending selects one.

use hls_swarm_base::error::Failure;
use hls_swarm_model::report::{Format, Report};

use super::{csv, html, junit, markdown};

/// Renders a report in `format`.
///
/// # Errors
/// An internal failure if the report cannot be expressed in the format.
pub fn render(format: Format, report: &Report) -> Result<String, Failure> {
    Ok(match format {
        Format::Json => report
            .to_json()
            .map_err(|error| Failure::internal("cannot express the report as JSON").caused_by(error))?,
        Format::Html => html::render(report),
        Format::Xml => junit::render(report)?,
        Format::Markdown => markdown::render(report),
        Format::Csv => csv::render(report),
    })
}
