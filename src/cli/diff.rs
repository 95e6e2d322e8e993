//! `ister diff`

use super::console::{Console, print};
use super::input::require;
use super::run::{Outcome, VerbosityArgs};
use crate::host::{Failure, scratch_directory};
use crate::image::format::open;
use crate::report::{differences_grouped, differences_html, differences_json};
use crate::verify::compare::{Difference, compare};
use clap::Args;
use std::path::{Path, PathBuf};

/// Compare two images by partition, filesystem, file and field
///
/// Takes every format that `ister verify` takes, and compares what the guest sees. Changes that matter come first:
/// packages, boot files, other files, layout. Differences between any two builds follow: identifiers, timestamps and
/// disk offsets.
///
/// Exit code 0: the images are identical; 1: they differ.
///
/// Example: ister diff out/kvm.img yesterday/kvm.img
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// First image
    #[arg(value_name = "IMAGE")]
    a: PathBuf,

    /// Second image
    #[arg(value_name = "OTHER")]
    b: PathBuf,

    /// Output format
    #[arg(long, value_enum, default_value_t = DiffFormat::Human)]
    format: DiffFormat,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum DiffFormat {
    Human,
    Json,
    /// A web page
    Html,
}

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<Outcome> {
    require(&args.a)?;
    require(&args.b)?;
    let console = args.verbosity.console();
    let differences = differences(&args.a, &args.b, &console);
    console.finish();
    let differences = differences?;
    let name = |path: &Path| path.display().to_string();
    match args.format {
        DiffFormat::Json => print(&differences_json(&differences)),
        DiffFormat::Html => print(&differences_html(&name(&args.a), &name(&args.b), &differences)),
        DiffFormat::Human if differences.is_empty() => print("the images are identical\n"),
        DiffFormat::Human => print(&differences_grouped(&name(&args.a), &name(&args.b), &differences)),
    }
    Ok(if differences.is_empty() { Outcome::Fine } else { Outcome::Findings })
}

pub(super) fn differences(a: &Path, b: &Path, console: &Console) -> Result<Vec<Difference>, Failure> {
    let scratch = scratch_directory();
    compare(&open(a, &scratch)?, &open(b, &scratch)?, console)
}
