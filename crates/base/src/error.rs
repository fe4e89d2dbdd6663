//! The one error type that reaches a user: what failed, with which value, and how to fix it.
//!
//! `Display` never repeats its source; [`Failure::print`] walks the chain.

use std::error::Error;
use std::fmt;
use std::io::Write;

use super::exit::Exit;

/// A failure that is reported to the user. `what` names the subject and the value, `help` suggests a fix.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    help: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that ends the program with `exit`.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), help: None, source: None }
    }

    /// An invalid command line or configuration (exit code 2).
    #[must_use]
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// A machine, FFmpeg or URL that cannot be used (exit code 3).
    #[must_use]
    pub fn preflight(what: impl Into<String>) -> Self {
        Self::new(Exit::Preflight, what)
    }

    /// A defect of this program, or an error of the operating system (exit code 1).
    #[must_use]
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Exit::Internal, what)
    }

    /// Adds a suggestion how to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure, prefixed with its context, such as a file.
    #[must_use]
    pub fn within(self, thing: impl fmt::Display) -> Self {
        Self { what: format!("{thing}: {}", self.what), ..self }
    }

    /// The same failure with another exit code.
    #[must_use]
    pub fn exiting(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The exit code of this failure.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The suggested fix, if there is one.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The failure and all underlying errors on one line, without the help.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut next = self.source();
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }

    /// Writes `error: what: why`, and the help on its own line, to `out`. Errors of a closed `out`
    /// are ignored.
    pub fn print(&self, out: &mut dyn Write) {
        let mut text = format!("error: {}\n", self.chain());
        if let Some(help) = &self.help {
            text.push_str(&format!("  help: {help}\n"));
        }
        // The only reader of standard error may be gone; then no error can be printed.
        drop(out.write_all(text.as_bytes()));
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_printed_once_and_the_help_last() {
        let failure = Failure::preflight("metrics port 17091 is taken")
            .caused_by(std::io::Error::from_raw_os_error(98))
            .help("pass --metrics 127.0.0.1:0");
        let mut out = Vec::new();
        failure.print(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "error: metrics port 17091 is taken: Address already in use (os error 98)\n  \
             help: pass --metrics 127.0.0.1:0\n"
        );
    }
}
