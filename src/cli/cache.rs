//! `ister cache`

use super::build::{Format, ago};
use super::console::print;
use super::input::{count, print_json};
use super::output::{CacheEntryOutput, CacheOutput};
use super::run::Outcome;
use crate::content::Cache;
use crate::content::swupd;
use crate::image::pipeline::sweep;
use crate::report::Table;
use crate::template::Bytes;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// List or remove cached content
///
/// Example: ister cache prune --older-than 30
#[derive(Args, Debug)]
pub(super) struct CacheArgs {
    /// Content cache directory [default: ~/.cache/ister]
    #[arg(long, value_name = "DIR", global = true)]
    cache_dir: Option<PathBuf>,

    #[command(subcommand)]
    action: CacheAction,
}

#[derive(Subcommand, Debug)]
enum CacheAction {
    /// List the cached content
    List {
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Remove cached content; running builds are not affected
    Prune {
        /// Only remove content that is at least this many days old
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u64>,
    },
}

pub(super) fn run(args: &CacheArgs) -> anyhow::Result<Outcome> {
    let cache = Cache::open(args.cache_dir.as_deref())?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    match &args.action {
        CacheAction::List { format: Format::Json } => {
            let entries: Vec<_> =
                cache.list()?.into_iter().map(|(key, metadata)| CacheEntryOutput { key, metadata }).collect();
            print_json(&CacheOutput { version: 1, directory: cache.directory(), entries });
        }
        CacheAction::List { format: Format::Human } => {
            let mut table = Table::new(&["key", "content", "size", "age"], &[2]);
            let entries = cache.list()?;
            let total: u64 = entries.iter().map(|(_, m)| m.size).sum();
            for (key, metadata) in &entries {
                table.row([
                    key[..12].to_owned(),
                    metadata.title.clone(),
                    Bytes(metadata.size).to_string(),
                    ago(now.saturating_sub(metadata.created)),
                ]);
            }
            if !entries.is_empty() {
                print(&table.render());
            }
            let entries =
                if entries.len() == 1 { "1 entry".to_owned() } else { format!("{} entries", entries.len()) };
            print(&format!("{}: {entries}, {}\n", cache.directory().display(), Bytes(total)));
        }
        CacheAction::Prune { older_than } => {
            sweep(&cache)?;
            let limit = older_than.map_or(0, |days| days.saturating_mul(86_400));
            let (removed, freed) = cache.prune(|m| now.saturating_sub(m.created) >= limit)?;
            // swupd objects have no age, because newer trees share them. They are removed only with everything else.
            let objects = if older_than.is_none() { swupd::prune(&cache.swupd_state())? } else { 0 };
            let freed = Bytes(freed.0 + objects);
            print(&format!("removed {}, {freed} freed\n", count(removed, "tree")));
        }
    }
    Ok(Outcome::Fine)
}
