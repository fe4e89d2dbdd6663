//! How a run was set up, as reports show it: without secrets.

use hls_swarm_base::secrets::{SHOWN, without_secrets};
use hls_swarm_cli::layers::Given;
use hls_swarm_model::run::Setup;

use crate::cli::run::RunArgs;

/// Flags whose values are request headers: only the name of the header is shown.
const HEADERS: [&str; 1] = ["--header"];
/// Flags whose values are words of another program, which may contain anything.
const HIDDEN: [&str; 2] = ["--ffmpeg-arg", "--player"];

/// The setup, without what only the host knows. The command line still has to pass through the registered secrets.
pub(super) fn of(args: &RunArgs, command_line: &[String]) -> Setup {
    Setup {
        title: args.results.title.clone(),
        notes: args.results.notes.clone(),
        command_line: shown(command_line),
        profile: args.action.profile.clone(),
        scenario: args.action.scenario.clone(),
        thresholds_from: (!args.results.thresholds.is_empty()).then(|| {
            format!("{} ({})", args.results.thresholds.join(", "), source(&args.given, "thresholds"))
        }),
        ..Setup::default()
    }
}

/// Where a value comes from.
fn source(given: &Given, id: &str) -> String {
    if given.flags.contains(id) {
        return "from the command line".to_owned();
    }
    match given.environment.get(id) {
        Some(variable) => format!("from the variable {variable}"),
        None => "from the profile or scenario".to_owned(),
    }
}

/// A command line without secrets, quoted for a shell.
fn shown(words: &[String]) -> String {
    let mut before = String::new();
    let mut line = Vec::new();
    for (place, word) in words.iter().enumerate() {
        // How the program was found is of no interest, and shows the folders of its user.
        let word = if place == 0 { word.rsplit('/').next().unwrap_or(word) } else { word };
        line.push(quoted(&shown_word(&before, word)));
        word.clone_into(&mut before);
    }
    line.join(" ")
}

/// A word that follows `before`.
fn shown_word(before: &str, word: &str) -> String {
    let flag = |text: &str| text.strip_prefix('-').map(|flag| format!("--{}", flag.trim_start_matches('-')));
    if let Some((name, value)) = word.split_once('=')
        && let Some(long) = flag(name)
    {
        return format!("{name}={}", shown_value(&long, value));
    }
    shown_value(&flag(before).unwrap_or_default(), word)
}

fn shown_value(flag: &str, value: &str) -> String {
    if HIDDEN.contains(&flag) {
        return SHOWN.to_owned();
    }
    if HEADERS.contains(&flag) {
        // References name their secret and do not contain it.
        let name = value.split(':').next().unwrap_or_default();
        let is_reference = value.contains("{env:") || value.contains("{file:");
        return if is_reference { value.to_owned() } else { format!("{name}: {SHOWN}") };
    }
    match value.find("://") {
        // The scheme is the word before it, behind the weight of a stream.
        Some(end) => {
            let begin =
                value.get(..end).and_then(|before| before.rfind(|c: char| !c.is_ascii_alphanumeric()));
            let (weight, url) = value.split_at(begin.map_or(0, |place| place + 1));
            format!("{weight}{}", without_secrets(url))
        }
        None => value.to_owned(),
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=,@%*".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_shown_without_secrets() {
        let words = |line: &[&str]| line.iter().map(ToString::to_string).collect::<Vec<_>>();
        let line = shown(&words(&[
            "/opt/x/hls-swarm",
            "--clients=5",
            "--header",
            "X-Pass: sesame1",
            "-header=X-Pass: sesame2",
            "--header",
            "Authorization: Bearer {env:TOKEN}",
            "--stream",
            "2:https://user:sesame3@a.example/x.m3u8?token=sesame4",
            "--ffmpeg-arg",
            "sesame5",
            "--title",
            "an evening's test",
            "https://b.example/y.m3u8?sesame6",
        ]));
        assert!(!line.contains("sesame"), "{line}");
        for kept in ["hls-swarm --clients=5 ", "X-Pass: ***", "{env:TOKEN}", "2:https://", "a.example/x.m3u8"]
        {
            assert!(line.contains(kept), "{kept}: {line}");
        }
        assert!(line.contains(r"'an evening'\''s test'") && !line.contains("/opt"), "{line}");
    }
}
