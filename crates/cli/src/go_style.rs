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
