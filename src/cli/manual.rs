//! `ister man`, generated from the definition of the command line.

mod page;

use super::console::print;
use super::run::{Outcome, command};
#[cfg(feature = "full")]
use crate::host::{Invocation, find_program, spawn};
use anyhow::{Context, bail};
use clap::Args;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Show a manual page, or write all manual pages to a directory
///
/// On a terminal the page is shown with man(1), otherwise it is printed as roff.
///
/// Example: ister man lint
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
            .with_context(|| format!("could not create the directory `{}`", dir.display()))?;
        for page in all_pages(&whole) {
            let path = dir.join(format!("{}.1", page_name(&page)));
            std::fs::write(&path, page::page(page)?)
                .with_context(|| format!("could not write `{}`", path.display()))?;
        }
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
    let text = page::page(page)?;
    if !std::io::stdout().is_terminal() || !shown_by_man(&text)? {
        print(&text);
    }
    Ok(Outcome::Fine)
}

/// The lint-only build runs no programs.
#[cfg(not(feature = "full"))]
fn shown_by_man(_: &str) -> anyhow::Result<bool> {
    Ok(false)
}

/// Shows a page with man(1); `false` if the host does not have it.
#[cfg(feature = "full")]
fn shown_by_man(page: &str) -> anyhow::Result<bool> {
    if find_program("man").is_none() {
        return Ok(false);
    }
    use std::io::{Seek, Write};
    use std::process::Stdio;
    let mut file = tempfile::tempfile().context("could not create a temporary file")?;
    file.write_all(page.as_bytes())
        .and_then(|()| file.rewind())
        .context("could not write a temporary file")?;
    let man = Invocation::new("man").args(["-l", "-"]);
    let status = spawn(&man, file.into(), Stdio::inherit(), Stdio::inherit())?.wait();
    Ok(status.context("could not wait for man")?.success())
}

/// A command and its subcommands, without hidden ones.
fn all_pages(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    std::iter::once(command.clone()).chain(below.flat_map(all_pages)).collect()
}

fn page_name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}
