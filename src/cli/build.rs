//! `ister build`

use super::console::print;
use super::input::{TemplateArgs, print_json, source_date_epoch};
use super::run::{Outcome, TalkArgs};
use crate::build::{Order, build};
use crate::content::Cache;
use crate::plan::unsupported;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;

/// Build the image that a template describes, without privileges
///
/// The image and its plan (<image>.plan.json) appear in the output folder when they are complete. Content is kept
/// in a cache: another image with the same packages is built without fetching them again.
///
/// Example: ister build vm-tests/kvm/template.json -o out
#[derive(Args, Debug)]
pub struct BuildArgs {
    #[command(flatten)]
    template: TemplateArgs,

    /// The folder for the image; created if need be
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,

    /// The folder of the content cache [default: ~/.cache/ister]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Fetch the content anew, though the cache has it
    #[arg(long)]
    refresh: bool,

    /// How the result is printed on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    talk: TalkArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Human,
    Json,
}

pub fn run(args: &BuildArgs) -> anyhow::Result<Outcome> {
    let console = args.talk.console();
    let input = args.template.read()?;
    if !input.show_findings(&console) {
        return Ok(Outcome::Findings);
    }
    let refusals = unsupported(&input.linted.template);
    if !refusals.is_empty() {
        input.show_refusals(&refusals, &console);
        return Ok(Outcome::Findings);
    }
    let Some((plan, secrets)) = input.plan(&console) else { return Ok(Outcome::Findings) };
    let cache = Cache::open(args.cache_dir.as_deref())?;
    let built = build(
        &Order {
            plan: &plan,
            secrets: &secrets,
            folder: &args.output,
            cache: &cache,
            refresh: args.refresh,
            epoch: source_date_epoch()?,
        },
        &console,
    );
    console.finish();
    let built = built?;
    let content = match built.content_age {
        None => "fetched now".to_owned(),
        Some(age) => format!("from the cache, {}", ago(age)),
    };
    match args.format {
        Format::Json => print_json(&json!({
            "version": 1,
            "image": built.image,
            "plan": built.plan,
            "size": plan.disk.size,
            "allocated": built.allocated,
            "content": { "title": built.content.title, "cached": built.content_age.is_some(), "epoch": built.content.epoch },
        })),
        Format::Human => print(&format!(
            "{}: {}, {} on disk; content: {} ({content})\n",
            built.image.display(),
            plan.disk.size,
            built.allocated,
            built.content.title,
        )),
    }
    Ok(Outcome::Fine)
}

/// An age in words.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => "just made".to_owned(),
        120..7200 => format!("{} minutes old", seconds / 60),
        7200..172_800 => format!("{} hours old", seconds / 3600),
        _ => format!("{} days old", seconds / 86_400),
    }
}
