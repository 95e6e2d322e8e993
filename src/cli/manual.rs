//! `ister completions` and `ister man`: made from the same definitions as the command line itself.

use super::console::print;
use super::run::{Outcome, command};
use anyhow::{Context, bail};
use clap::Args;
use std::path::PathBuf;

/// Print completions for a shell
///
/// Example: ister completions bash
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "ister", &mut out);
    print(&String::from_utf8(out).context("completions are text")?);
    Ok(Outcome::Fine)
}

/// Print a manual page, or write all of them
///
/// Example: ister man lint
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The subcommand; without it the page of ister itself
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    subcommand: Option<String>,

    /// Write ister.1, ister-build.1 and all others into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(whole, dir))
            .with_context(|| format!("could not write the manual pages into `{}`", dir.display()))?;
        return Ok(Outcome::Fine);
    }
    let page = match &args.subcommand {
        None => whole,
        Some(name) => {
            let found = whole.get_subcommands().find(|c| c.get_name() == name && !c.is_hide_set()).cloned();
            let Some(found) = found else {
                bail!("there is no subcommand `{name}`; `ister --help` lists them");
            };
            found
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(page).render(&mut out).context("could not render the manual page")?;
    print(&String::from_utf8(out).context("a manual page is text")?);
    Ok(Outcome::Fine)
}
