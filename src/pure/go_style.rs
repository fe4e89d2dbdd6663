//! Flags as Go writes them (`-clients 50`, `-tui=false`), which the field's scripts are full of, as
//! clap reads them (`--clients 50`). Only names that exist are touched; everything else is clap's.

use std::ffi::OsString;

use clap::Command;

/// The arguments with every known `-name` turned into `--name`; the first one is the program's name.
#[must_use]
pub fn translate(typed: impl IntoIterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let mut typed = typed.into_iter();
    let mut translated: Vec<OsString> = typed.next().into_iter().collect();
    let mut value_comes = false;
    while let Some(word) = typed.next() {
        if word == "--" {
            translated.push(word);
            translated.extend(typed);
            break;
        }
        // What a flag takes is left alone, even if it looks like a flag.
        if value_comes {
            value_comes = false;
            translated.push(word);
            continue;
        }
        let Some(text) = word.to_str() else {
            translated.push(word);
            continue;
        };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let long = name.strip_prefix("--").or_else(|| name.strip_prefix('-').filter(|bare| bare.len() > 1));
        let flag = long.and_then(|long| {
            command.get_arguments().find(|argument| argument.get_long().is_some_and(|known| known == long))
        });
        let built_in = matches!(name, "-help" | "-version");
        value_comes = value.is_none()
            && flag.is_some_and(|flag| flag.get_action().takes_values() && !flag.is_require_equals_set());
        let go = (flag.is_some() || built_in) && !name.starts_with("--");
        translated.push(if go { format!("-{text}").into() } else { word });
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::cli::swarm::SwarmArgs;
    use clap::{CommandFactory, Parser};

    fn parse(line: &str) -> SwarmArgs {
        let words = std::iter::once("hls-swarm").chain(line.split_whitespace()).map(OsString::from);
        SwarmArgs::try_parse_from(translate(words, &SwarmArgs::command())).unwrap()
    }

    #[test]
    fn both_styles_mean_the_same() {
        for (go, clap) in [
            ("-clients 50 http://a/b", "--clients 50 http://a/b"),
            ("-clients=50 -ramp-rate=10 http://a/b", "--clients=50 --ramp-rate=10 http://a/b"),
            ("-restart-on-stall=false http://a/b", "--restart-on-stall=false http://a/b"),
            ("-restart-on-stall http://a/b", "--restart-on-stall http://a/b"),
            ("-duration 1h30m -v http://a/b", "--duration 1h30m --verbose http://a/b"),
            ("-header X:1 -header Y:2 http://a/b", "--header X:1 --header Y:2 http://a/b"),
            ("-reconnect=false -no-cache http://a/b", "--reconnect=false --no-cache http://a/b"),
        ] {
            assert_eq!(parse(go), parse(clap), "{go}");
        }
    }

    #[test]
    fn what_a_flag_takes_is_left_alone() {
        assert_eq!(
            parse("--ffmpeg-arg -timeout -ffmpeg-arg -clients u").ffmpeg_args,
            ["-timeout", "-clients"]
        );
        assert_eq!(parse("-clients 3 -- u").url.as_deref(), Some("u"));
    }

    #[test]
    fn unknown_names_are_left_to_clap() {
        let words = ["hls-swarm", "-cliens", "5"].map(OsString::from);
        assert_eq!(translate(words.clone(), &SwarmArgs::command()), words);
    }
}
