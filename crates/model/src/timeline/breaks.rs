//! Since when a criterion was not met: the sentence at the top of a report names the time.

use super::{Timeline, Window};
use crate::metric::criteria;
use crate::verdict::threshold::{Statistic, Threshold};

/// The share of the windows from its beginning on that a lasting break has to cover.
const LASTING: f64 = 0.7;

/// The time at which a criterion broke.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Break {
    /// Beginning of the first window, seconds of the run.
    pub second: f64,
    /// Whether it was not met in most windows from then on, to the end of the stage or run.
    pub lasting: bool,
}

/// Reads a criterion's value of one window; `None` where there is none.
type Value = Box<dyn Fn(&Window) -> Option<bool>>;

/// Whether a window meets a criterion, given by its name and its limit.
fn rule(name: &str, limit: &str) -> Option<Value> {
    let threshold = limit.parse::<Threshold>().ok();
    let holds = move |value: f64, otherwise: fn(f64) -> bool| {
        threshold.as_ref().map_or_else(|| otherwise(value), |threshold| threshold.holds(value))
    };
    let percentile = |limit: &str| match limit.parse::<Threshold>().ok()?.statistic() {
        Statistic::Percentile(percent) => Some(percent / 100.0),
        Statistic::Max => Some(1.0),
        _ => None,
    };
    Some(match name {
        "segment_total" => {
            let quantile = percentile(limit)?;
            Box::new(move |window| Some(holds(window.segment_total.quantile(quantile)?, |_| true)))
        }
        "segment_ttfb" => {
            let quantile = percentile(limit)?;
            Box::new(move |window| Some(holds(window.segment_ttfb.quantile(quantile)?, |_| true)))
        }
        criteria::ERROR_RATE => {
            Box::new(move |window| Some(holds(window.error_rate()?, |rate| rate <= 0.01)))
        }
        criteria::ACTIVE_RATIO => Box::new(move |window| {
            let viewers = &window.viewers;
            (viewers.wanted > 0.0).then(|| holds(viewers.playing / viewers.wanted, |ratio| ratio >= 0.9))
        }),
        "rebuffering" => Box::new(move |window| Some(holds(window.rebuffering()?, |_| true))),
        "stalls" => Box::new(move |window| Some(window.stalls == 0)),
        _ => return None,
    })
}

impl Timeline {
    /// The time from which the criterion with this name and limit was not met between `from` and `to`, seconds of the run;
    /// `None` if it was met in every window, or windows do not have its figure.
    #[must_use]
    pub fn first_break(&self, name: &str, limit: &str, (from, to): (f64, f64)) -> Option<Break> {
        let rule = rule(name, limit)?;
        let inside = |window: &&Window| window.second as f64 >= from && (window.second as f64) < to;
        let judged: Vec<(f64, bool)> = self
            .windows
            .iter()
            .filter(inside)
            .filter_map(|window| Some((window.second as f64, rule(window)?)))
            .collect();
        let broken = |part: &[(f64, bool)]| part.iter().filter(|(_, met)| !met).count() as f64;
        let first = judged.iter().position(|(_, met)| !met)?;
        let lasting = (first..judged.len()).find(|begin| {
            let rest = judged.get(*begin..).unwrap_or_default();
            let here = rest.first().is_some_and(|(_, met)| !met);
            here && rest.len() > 1 && broken(rest) >= LASTING * rest.len() as f64
        });
        let place = lasting.unwrap_or(first);
        judged.get(place).map(|(second, _)| Break { second: *second, lasting: lasting.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One window per letter: slow segments where it is "s".
    fn timeline(windows: &str) -> Timeline {
        let window = |(place, letter): (usize, char)| {
            let mut window = Window { second: 2 * place as u64, seconds: 2.0, ..Window::default() };
            for _ in 0..10 {
                window.segment_total.add(if letter == 's' { 0.8 } else { 0.1 });
            }
            window
        };
        Timeline { windows: windows.chars().enumerate().map(window).collect(), ..Timeline::default() }
    }

    #[test]
    fn a_break_begins_where_most_of_the_rest_is_broken() {
        let of = |windows: &str| {
            let limit = "segment_total:p95<500ms";
            timeline(windows)
                .first_break("segment_total", limit, (0.0, 1e9))
                .map(|found| (found.second, found.lasting))
        };
        assert_eq!(of("......"), None);
        assert_eq!(of("s.....ssss.sss"), Some((12.0, true)), "the beginning was slow as well");
        assert_eq!(of(".s...s...."), Some((2.0, false)));
        let early = timeline("..ss....").first_break("segment_total", "segment_total:p95<500ms", (0.0, 8.0));
        assert_eq!(early, Some(Break { second: 4.0, lasting: true }), "in the stage that ends there");
        assert_eq!(timeline("ss").first_break("given_up", "no viewer failed", (0.0, 9.0)), None);
    }
}
