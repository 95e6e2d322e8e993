//! `ister lsp`

use super::files::{definitions, file_facts_in};
use super::run::Outcome;
use crate::lsp::{End, Knowledge, serve, stdio};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

/// The language server: diagnostics, help, completion and fixes in editors
///
/// Editors start it and speak with it over standard input and output;
/// docs/editors.md says how to set it up in VS Code, Neovim, Helix and Emacs.
#[derive(Args, Debug)]
pub(super) struct LspArgs {
    /// A directory of bundle definitions, looked at before the built-in ones
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,

    /// What most editors add; standard input and output are all there is
    #[arg(long, hide = true)]
    stdio: bool,
}

pub(super) fn run(args: &LspArgs) -> anyhow::Result<Outcome> {
    let definitions = definitions(args.bundles.as_deref())?;
    let (connection, writer) = stdio();
    let known = Knowledge { definitions: &definitions, files: &file_facts_in, root: None };
    let end = serve(&connection, known)?;
    // The writer ends with its sender.
    drop(connection);
    let written = writer.join().unwrap_or_else(|_| Err(std::io::Error::other("the writer failed")));
    written.context("the connection to the editor broke")?;
    Ok(match end {
        End::Goodbye => Outcome::Fine,
        End::Abrupt => Outcome::Findings,
    })
}
