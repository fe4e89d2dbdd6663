//! Comparison of two reports as text, Markdown, and HTML.

mod html;
mod markdown;
mod text;

use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_model::comparison::condition::{Checked, Condition, Outcome};
use hls_swarm_model::comparison::{Comparison, Judgement, NOTICEABLE, Row, compare};
use hls_swarm_model::report::Report;

use super::figures::{bytes, count, percent};

/// Two reports with the names of their files, and what their comparison shows.
pub struct Compared<'a> {
    sides: [(&'a str, &'a Report); 2],
    comparison: Comparison,
    conditions: Vec<Checked>,
}

/// A line of a table: name, first value, second value, change, judgement.
type Line = [String; 5];

impl<'a> Compared<'a> {
    /// Compares the second report with the first, and checks the conditions of `--fail-if`.
    #[must_use]
    pub fn new(before: (&'a str, &'a Report), after: (&'a str, &'a Report), fail_if: &[Condition]) -> Self {
        Self {
            sides: [before, after],
            comparison: compare(before.1, after.1),
            conditions: fail_if.iter().map(|condition| condition.check(before.1, after.1)).collect(),
        }
    }

    /// The exit that the conditions lead to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let any = |outcome| self.conditions.iter().any(|checked| checked.outcome == outcome);
        if any(Outcome::Holds) {
            Exit::Criteria
        } else if any(Outcome::Unknown) {
            Exit::Invalid
        } else {
            Exit::Pass
        }
    }

    /// The word for [`Self::exit`].
    fn verdict(&self) -> &'static str {
        match self.exit() {
            Exit::Criteria => "FAIL",
            Exit::Invalid => "INVALID",
            _ => "PASS",
        }
    }

    /// Renders the comparison for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// What the comparison shows, in one sentence.
    fn sentence(&self) -> String {
        let count = |judgement| self.comparison.count(judgement);
        let (worse, better) = (count(Judgement::Worse), count(Judgement::Better));
        let judged = worse + better + count(Judgement::Same) + count(Judgement::Different);
        let figures = |number: usize| match number {
            1 => "1 figure".to_owned(),
            _ => format!("{number} figures"),
        };
        match (judged, worse, better) {
            (0, ..) => "No figure could be judged.".to_owned(),
            (_, 0, 0) => format!("No figure of {judged} is better or worse in B."),
            (_, 0, _) => format!("B is better in {} of {judged}, and worse in none.", figures(better)),
            (_, _, 0) => format!("B is worse in {} of {judged}, and better in none.", figures(worse)),
            _ => format!("B is worse in {} of {judged}, and better in {better}.", figures(worse)),
        }
    }

    /// The figures of the catalogue, without those that are 0 in both reports.
    fn lines(&self) -> Vec<Line> {
        let rows = self.comparison.rows.iter();
        rows.filter(|row| row.before != Some(0.0) || row.after != Some(0.0)).map(line).collect()
    }

    /// Figures that say what the runs were, and are not judged.
    fn facts(&self) -> Vec<Line> {
        let [left, right] = self.sides.map(|(_, report)| facts(report));
        let only_right = right.iter().filter(|(name, _)| left.iter().all(|(known, _)| known != name));
        let names = left.iter().chain(only_right).map(|(name, _)| name);
        let find = |facts: &[Fact], name: &str| {
            let found = facts.iter().find(|(known, _)| known == name);
            found.map_or_else(|| "-".to_owned(), |(_, text)| text.clone())
        };
        names
            .map(|name| [name.clone(), find(&left, name), find(&right, name), String::new(), String::new()])
            .collect()
    }

    /// The rule, in one sentence.
    fn rule() -> String {
        format!(
            "A figure counts as changed if the 99.9 % confidence intervals of both runs do not overlap, and if the change \
             is at least {} % of the first value and, for durations, more than 1 ms.",
            NOTICEABLE * 100.0
        )
    }
}

fn line(row: &Row) -> Line {
    let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| row.unit.text(value));
    [row.name.clone(), value(row.before), value(row.after), change(row), row.judgement.as_str().to_owned()]
}

/// The change in percent; empty where there is none to compute.
fn change(row: &Row) -> String {
    row.change().map(|change| format!("{:+.1} %", change * 100.0)).unwrap_or_default()
}

/// What became of a condition, in words.
fn explained(checked: &Checked) -> String {
    let [_, before, after, change, _] = line(&checked.row);
    let change = if change.is_empty() { change } else { format!(" ({change})") };
    let values = format!("{before} in A, {after} in B{change}");
    match checked.outcome {
        Outcome::Holds | Outcome::No => values,
        Outcome::Noise => format!("{values}, which noise explains"),
        Outcome::Unknown => format!("{values}; not measured in both runs, or a run proves nothing"),
    }
}

/// A figure that is not judged: its name, and its value.
type Fact = (String, String);

fn facts(report: &Report) -> Vec<Fact> {
    let snapshot = &report.snapshot;
    let seconds = snapshot.elapsed_seconds;
    let mut facts = vec![
        ("seconds", format!("{seconds:.1}")),
        ("planned viewers", count(snapshot.target_clients)),
        ("requests", count(snapshot.requests.total())),
        ("requests per second", format!("{:.2}", snapshot.requests.total() as f64 / seconds.max(0.001))),
        ("body bytes", bytes(snapshot.bytes.total())),
    ];
    facts.extend(snapshot.generator.cpu_percent.map(|busy| ("processors busy", percent(busy / 100.0))));
    let mut facts: Vec<Fact> = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, factor, gauge) in snapshot.origin.iter().flat_map(|origin| origin.gauges()) {
        facts.push((format!("origin {name}, p95"), format!("{:.1}", gauge.p95 * factor)));
    }
    facts
}

/// The format of a comparison in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As on a terminal.
    Text,
    /// A comment in a review.
    Markdown,
    /// One page with drawings of both runs.
    Html,
}

impl Format {
    /// Each path with its format.
    ///
    /// # Errors
    /// A usage failure that lists the extensions.
    pub fn of_all(paths: &[PathBuf]) -> Result<Vec<(Self, PathBuf)>, Failure> {
        paths.iter().map(|path| Ok((Self::of(path)?, path.clone()))).collect()
    }

    fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("txt") => Ok(Self::Text),
            Some("md") => Ok(Self::Markdown),
            Some("html") => Ok(Self::Html),
            _ => Err(Failure::usage(format!("--report {}: a comparison has no such format", path.display()))
                .help("use one of the extensions .html, .md or .txt")),
        }
    }

    /// Renders a comparison.
    #[must_use]
    pub fn render(self, compared: &Compared<'_>) -> String {
        match self {
            Self::Text => text::render(compared),
            Self::Markdown => markdown::render(compared),
            Self::Html => html::render(compared),
        }
    }
}
