//! EXTRA_ARGS: flags that a container image is given in one variable, as if they had been typed last.

use std::ffi::OsString;

use hls_swarm_base::error::Failure;

/// `typed` (the first word is the program's name) with the words of `extra` behind it, taken apart as a shell
/// does it; before a `--`, after which there are no flags.
///
/// # Errors
/// A usage failure: a quote is not closed.
pub fn appended(mut typed: Vec<OsString>, extra: Option<&str>) -> Result<Vec<OsString>, Failure> {
    let extra = extra.unwrap_or_default();
    let words = shlex::split(extra).ok_or_else(|| {
        Failure::usage(format!("EXTRA_ARGS={extra:?}: a quote is not closed"))
            .help("write it as it would stand on a command line")
    })?;
    let end = typed.iter().position(|word| word == "--").unwrap_or(typed.len());
    typed.splice(end..end, words.into_iter().map(OsString::from));
    Ok(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(typed: &str, extra: Option<&str>) -> Vec<String> {
        let typed = typed.split(' ').map(OsString::from).collect();
        appended(typed, extra).unwrap().into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn they_stand_behind_what_was_typed() {
        assert_eq!(line("p -clients 5", None), ["p", "-clients", "5"]);
        let extra = Some(" -clients 7  --header 'X-A: b c'");
        assert_eq!(line("p u", extra), ["p", "u", "-clients", "7", "--header", "X-A: b c"]);
        assert_eq!(line("p -- u", Some("-v")), ["p", "-v", "--", "u"]);
        assert!(appended(vec!["p".into()], Some("--header 'X")).is_err());
    }
}
