//! `ister lsp`

use super::files::{definitions, file_facts_in};
use super::run::Outcome;
use crate::lsp::{End, Knowledge, serve, stdio};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

/// Run the language server: diagnostics, hover help, completion and fixes
///
/// Editors start the server and communicate over standard input and output.
/// docs/editors.md describes the setup for VS Code, Neovim, Helix and Emacs.
#[derive(Args, Debug)]
pub(super) struct LspArgs {
    /// Directory with bundle definitions, which take precedence over the built-in
    /// ones
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,

    /// Accepted because most editors pass it; standard input and output are always used
    #[arg(long, hide = true)]
    stdio: bool,
}

pub(super) fn run(args: &LspArgs) -> anyhow::Result<Outcome> {
    let definitions = definitions(args.bundles.as_deref())?;
    let (connection, writer) = stdio();
    let knowledge = Knowledge { definitions: &definitions, files: &file_facts_in, root: None };
    let end = serve(&connection, knowledge)?;
    // Dropping the connection closes the channel and so ends the writer thread.
    drop(connection);
    let written = writer.join().unwrap_or_else(|_| Err(std::io::Error::other("the writer thread failed")));
    written.context("lost the connection to the editor")?;
    Ok(match end {
        End::Goodbye => Outcome::Fine,
        End::Abrupt => Outcome::Findings,
    })
}
