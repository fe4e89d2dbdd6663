//! Reports that were damaged on a disk or in an editor: each is refused with the reason, or can be shown,
//! compared, and merged. None causes a panic.

use serde_json::{Value, json};

use hls_swarm::output::comparison::Compared;
use hls_swarm::output::{comparison, formats, summary};
use hls_swarm_base::error::Failure;
use hls_swarm_model::report::merge::merge;
use hls_swarm_model::report::read::read;
use hls_swarm_model::report::{Format, Report};

use super::recorded::report;

const TRIES: usize = 700;

/// JSON pointers of all values in a document.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(at.clone());
        pointers(value, &at, found);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, value)| below(&i.to_string(), value)),
        _ => {}
    }
}

fn without(document: &mut Value, pointer: &str) {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(above).unwrap() {
        Value::Object(map) => drop(map.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Value::Array(list) => drop(list.remove(name.parse().unwrap())),
        _ => unreachable!("values lie in objects and lists"),
    }
}

/// Everything that can be done with a report that was read.
fn use_up(report: &Report, other: &Report) {
    for (_, format) in Format::ENDINGS {
        formats::render(format, report).unwrap();
    }
    let summary = summary::render(report, false);
    let compared = Compared::new(("a", report), ("b", other), &["segment_ttfb:p95>+20%".parse().unwrap()]);
    assert!(!comparison::Format::Html.render(&compared).contains('\x1b'));
    assert!(!comparison::Format::Markdown.render(&compared).contains('\x1b'));
    let compared = compared.text();
    assert!(
        !(summary + &compared).contains('\x1b'),
        "a name cannot write control characters to the terminal"
    );
    let own = Report { run: later(report), ..report.clone() };
    for second in [other.clone(), own] {
        if let Ok(merged) = merge(&[("a".to_owned(), report.clone()), ("b".to_owned(), second)]) {
            formats::render(Format::Json, &merged).unwrap();
        }
    }
}

fn later(report: &Report) -> hls_swarm_model::run::Run {
    let mut run = report.run.clone();
    run.began_unix += 2;
    run
}

fn refusal(failure: &Failure) {
    assert!(failure.to_string().starts_with("m.json: ") && failure.help_text().is_some(), "{failure}");
}

#[test]
fn no_mutated_report_causes_a_panic() {
    let valid = report();
    let other = Report { run: later(&valid), ..valid.clone() };
    let document: Value = serde_json::from_str(&formats::render(Format::Json, &valid).unwrap()).unwrap();
    let mut places = Vec::new();
    pointers(&document, "", &mut places);
    let values = [
        json!(0),
        json!(-1),
        json!(1_u64 << 50),
        json!((1_u64 << 50) + 1),
        json!(u64::MAX),
        json!(1e308),
        json!("\u{1b}[2J\n"),
        json!([]),
        Value::Null,
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let (mut read_again, mut refused) = (0, 0);
    for _ in 0..TRIES {
        let mut mutated = document.clone();
        let place = &places[random.usize(..places.len())];
        match random.usize(..values.len() + 1) {
            0 => without(&mut mutated, place),
            number => *mutated.pointer_mut(place).unwrap() = values[number - 1].clone(),
        }
        match read("m.json", &mutated.to_string()) {
            Ok(report) => {
                use_up(&report, &other);
                read_again += 1;
            }
            Err(failure) => {
                refusal(&failure);
                refused += 1;
            }
        }
    }
    assert!(read_again > TRIES / 10 && refused > TRIES / 10, "{read_again} read, {refused} refused");
}

#[test]
fn a_truncated_report_is_refused() {
    let text = formats::render(Format::Json, &report()).unwrap();
    let text = text.trim_end();
    for length in (0..text.len()).step_by(text.len() / 60).filter(|length| text.is_char_boundary(*length)) {
        refusal(&read("m.json", &text[..length]).unwrap_err());
    }
}

#[test]
fn impossible_numbers_and_empty_steps_are_named() {
    let text = formats::render(Format::Json, &report()).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["seed"] = json!(u64::MAX);
    assert_eq!(read("m.json", &document.to_string()).unwrap().run.seed, Some(u64::MAX));
    document["bytes"]["segment"] = json!(u64::MAX);
    let failure = read("m.json", &document.to_string()).unwrap_err();
    assert!(
        failure.chain().contains("18446744073709551615 is more than any run counts"),
        "{}",
        failure.chain()
    );
    document["bytes"]["segment"] = json!(1);
    document["timeline"]["window_seconds"] = json!(0);
    let failure = read("m.json", &document.to_string()).unwrap_err();
    assert!(failure.chain().contains("windows of 0 s"), "{}", failure.chain());
}
