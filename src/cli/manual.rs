//! `ister completions` and `ister man`, generated from the definition of the command line.

use super::console::print;
use super::run::{Outcome, command};
use anyhow::{Context, bail};
use clap::Args;
use std::path::PathBuf;

/// Print a completion script for a shell
///
/// Example: ister completions bash > /etc/bash_completion.d/ister
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// Shell to generate completions for
    #[arg(value_enum, value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "ister", &mut out);
    print(&String::from_utf8(out).context("the completion script is not UTF-8")?);
    Ok(Outcome::Fine)
}

/// Print a manual page, or write all manual pages to a directory
///
/// Example: ister man lint | man -l -
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Subcommand to describe [default: ister itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    subcommand: Option<String>,

    /// Write all pages (ister.1, ister-build.1, …) to this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(whole, dir))
            .with_context(|| format!("could not write the manual pages to `{}`", dir.display()))?;
        return Ok(Outcome::Fine);
    }
    let page = match &args.subcommand {
        None => whole,
        Some(name) => {
            let found = whole.get_subcommands().find(|c| c.get_name() == name && !c.is_hide_set()).cloned();
            let Some(found) = found else {
                bail!("unknown subcommand `{name}`; run `ister --help` for a list");
            };
            found
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(page).render(&mut out).context("could not render the manual page")?;
    print(&String::from_utf8(out).context("the manual page is not UTF-8")?);
    Ok(Outcome::Fine)
}
