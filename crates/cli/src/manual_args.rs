//! The flags of `man` and `completions` as they were typed.

use clap::Parser;
use clap_complete::Shell;

/// Print the manual page, as troff: `hls-swarm man > hls-swarm.1`.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "man", version)]
pub struct ManArgs {
    /// A command with a page of its own, such as report
    pub command: Option<String>,
}

/// Print completions for a shell: `hls-swarm completions bash > hls-swarm.bash`.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "completions", version)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}
