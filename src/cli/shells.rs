//! `logyard completions` and `logyard man`: what shells and `man` want to know of the command line.
//!
//! Invariants
//! * Made of the definition that command lines are parsed by, so that nothing is told that there is not.
//! * A script or page is written as a whole to standard output; with `--all`, files are written and nothing else.
use super::{Cli, Failure, cannot_write};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use std::io::Write;
use std::path::PathBuf;

pub(super) const COMPLETIONS_EXAMPLES: &str = "Examples:
  logyard completions bash > /etc/bash_completion.d/logyard
  logyard completions zsh > ~/.zfunc/_logyard
  logyard completions fish > ~/.config/fish/completions/logyard.fish";

pub(super) const MAN_EXAMPLES: &str = "Examples:
  logyard man | man -l -
  logyard man query | man -l -
  logyard man --all /usr/local/share/man/man1";

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args)]
pub(super) struct ManArgs {
    /// Of which command, as in `config set` [default: of all together]
    #[arg(value_name = "COMMAND", conflicts_with = "all")]
    command: Vec<String>,
    /// Write the pages of all commands into a directory
    #[arg(long, value_name = "DIR")]
    all: Option<PathBuf>,
}

/// Writes completions to standard output.
pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "logyard", &mut script);
    std::io::stdout().lock().write_all(&script).map_err(cannot_write)
}

/// Writes a manual page to standard output, or all of them into a directory.
pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut whole = Cli::command();
    whole.build();
    if let Some(directory) = &args.all {
        return write_all(&whole, directory);
    }
    let mut command = &whole;
    for name in &args.command {
        let unknown = || Failure::Usage(format!("there is no command `{name}`; `logyard help` lists them"));
        command = command.find_subcommand(name).ok_or_else(unknown)?;
    }
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    std::io::stdout().lock().write_all(&page).map_err(cannot_write)
}

fn write_all(whole: &clap::Command, directory: &std::path::Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::Failed(format!("cannot write into {}: {e}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(whole.clone(), directory).map_err(failed)
}
