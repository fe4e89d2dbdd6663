//! Every way to write a report, by the format that its file ending asks for.

use hls_swarm_base::error::Failure;
use hls_swarm_model::report::{Format, Report};

use super::{csv, html, junit, markdown};

/// The report as text.
///
/// # Errors
/// A figure cannot be written as JSON, which none of ours does.
pub fn render(format: Format, report: &Report) -> Result<String, Failure> {
    Ok(match format {
        Format::Json => report
            .to_json()
            .map_err(|error| Failure::internal("cannot express the report as JSON").caused_by(error))?,
        Format::Html => html::render(report),
        Format::Xml => junit::render(report),
        Format::Markdown => markdown::render(report),
        Format::Csv => csv::render(report),
    })
}
