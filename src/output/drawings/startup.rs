//! The distribution of startup times.

use maud::{Markup, html};

use hls_swarm_model::timeline::buckets::LogBuckets;

use super::axis::{Label, linear, round_up, vertical};
use super::number;
use crate::output::figures::{count, milliseconds};

/// Steps of the curve.
const STEPS: u32 = 120;
const HEIGHT: u32 = 150;

/// The shares of starts whose playback began within a time, as curves with their color and name; nothing if no viewer
/// played. `limit`: that of the startup time, seconds.
pub(super) fn startup(of: &[(&'static str, &str, &LogBuckets)], limit: Option<f64>) -> Option<Markup> {
    let slowest = of.iter().filter_map(|(.., times)| times.quantile(1.0)).reduce(f64::max)?;
    let end = round_up(limit.map_or(slowest, |limit| slowest.max(limit)) * 1.02);
    let at = |step: u32| f64::from(step) / f64::from(STEPS) * end;
    let share = |times: &LogBuckets, seconds: f64| times.share_up_to(seconds).unwrap_or(0.0) * 100.0;
    let path = |times: &LogBuckets| {
        let points = (0..=STEPS)
            .map(|step| format!("{} {}", number(f64::from(step)), number(100.0 - share(times, at(step)))));
        format!("M{}", points.collect::<Vec<_>>().join("L"))
    };
    let values = (0..=STEPS).map(|step| {
        let each = of.iter().map(|(_, name, times)| {
            let name = if of.len() > 1 { format!("{name} ") } else { String::new() };
            format!("{name}{:.1} %", share(times, at(step)))
        });
        format!("{} within {}", each.collect::<Vec<_>>().join(", "), milliseconds(at(step)))
    });
    let values: Vec<String> = values.collect();
    let starts = of.iter().map(|(.., times)| count(times.count())).collect::<Vec<_>>().join(" and ");
    let y: Vec<Label> = linear(100.0, |value| format!("{value:.0} %"));
    let x = |seconds: f64| format!("{}%", number(seconds / end * 100.0));
    Some(html! {
        figure.drawing.half id="startup" tabindex="0" data-values=(values.join("\n")) data-own="" {
            figcaption { "Startup: share of " (starts) " starts whose playback began within …" }
            p.legend { @for (class, name, _) in of { span class=(class) { (name) } " " } }
            output {}
            div.plot {
                (vertical(&y, HEIGHT))
                div.area {
                    svg.shapes viewBox={ "0 0 " (STEPS) " 100" } preserveAspectRatio="none" width="100%"
                        height=(HEIGHT) role="img" aria-label="Startup times" {
                        path.grid d={ "M0 0H" (STEPS) "M0 50H" (STEPS) "M0 100H" (STEPS) } {}
                        @for (class, _, times) in of { path class={ "line " (class) } d=(path(times)) {} }
                        @if let Some(limit) = limit {
                            path.limit d={ "M" (number(limit / end * f64::from(STEPS))) " 0V100" } {}
                        }
                        path.cursor d="" {}
                    }
                    svg.over width="100%" height=(HEIGHT) aria-hidden="true" {
                        @if let Some(limit) = limit {
                            text.limit x=(x(limit)) y="60%" dx="-5" text-anchor="end" {
                                "limit " (milliseconds(limit))
                            }
                        }
                    }
                }
                svg.x width="100%" height="18" aria-hidden="true" {
                    @for part in 0..=4_u32 {
                        @let seconds = end * f64::from(part) / 4.0;
                        @let anchor = match part { 0 => "start", 4 => "end", _ => "middle" };
                        text x=(x(seconds)) y="12" text-anchor=(anchor) { (milliseconds(seconds)) }
                    }
                }
            }
        }
    })
}
