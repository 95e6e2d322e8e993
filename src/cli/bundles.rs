//! `ister bundles`

use super::console::{print, terminal_width};
use super::files::definitions;
use super::run::Outcome;
use crate::plan::bundle::{Definition, Definitions};
use crate::report::{Table, document};
use crate::template::nearest;
use anyhow::bail;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// List the bundles for apt content, or show what a bundle installs
///
/// A name in `Bundles` of a template that is not a bundle is the name of a package. docs/bundles.md describes the files of --bundles.
///
/// Example: ister bundles sysadmin-basic
#[derive(Args, Debug)]
pub(super) struct BundlesArgs {
    /// Show these bundles [default: list all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Directory with bundle definitions, which take precedence over the built-in
    /// ones
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t = BundlesFormat::Human)]
    format: BundlesFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum BundlesFormat {
    Human,
    Json,
}

/// `ister bundles --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BundlesOutput<'d> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u32,
    bundles: Vec<BundleOutput<'d>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct BundleOutput<'d> {
    name: &'d str,
    description: &'d str,
    /// Installed size in bytes, without bundles that it includes; 0 if unknown.
    installed: u64,
    /// Bundles that it includes.
    includes: &'d [String],
    /// Its own packages.
    packages: &'d [String],
}

pub(super) fn run(args: &BundlesArgs) -> anyhow::Result<Outcome> {
    let definitions = definitions(args.bundles.as_deref())?;
    let known: Vec<&str> = definitions.names().collect();
    let names: Vec<&str> =
        if args.names.is_empty() { known.clone() } else { args.names.iter().map(String::as_str).collect() };
    let mut bundles = Vec::new();
    for name in names {
        let Some(definition) = definitions.get(name) else {
            let meant =
                nearest(name, &known).map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
            bail!("unknown bundle `{name}`; {meant}run `ister bundles` for a list");
        };
        bundles.push((name, definition));
    }
    match args.format {
        BundlesFormat::Json => {
            let bundles = bundles.into_iter().map(|(name, definition)| BundleOutput {
                name,
                description: &definition.description,
                installed: definition.installed.0,
                includes: &definition.includes,
                packages: &definition.packages,
            });
            print(&document(&BundlesOutput { version: 1, bundles: bundles.collect() }));
        }
        BundlesFormat::Human if args.names.is_empty() => {
            let mut table = Table::new(&["bundle", "installed", "contents"], &[1]);
            for (name, definition) in bundles {
                table.row([name.to_owned(), size(definition), definition.description.clone()]);
            }
            print(&table.render_within(terminal_width()));
        }
        BundlesFormat::Human => {
            let pages: Vec<String> =
                bundles.into_iter().map(|(name, definition)| page(name, definition, &definitions)).collect();
            print(&pages.join("\n"));
        }
    }
    Ok(Outcome::Fine)
}

fn size(definition: &Definition) -> String {
    if definition.installed.0 == 0 { "-".to_owned() } else { definition.installed.to_string() }
}

fn page(name: &str, definition: &Definition, definitions: &Definitions) -> String {
    let resolved = definitions.resolve([name]);
    let mut text = format!("{name}: {}\n", definition.description);
    if !definition.includes.is_empty() {
        text += &format!("includes   {}\n", definition.includes.join(", "));
    }
    if resolved.installed.0 > 0 {
        text += &format!("installed  {}, without dependencies that others share\n", resolved.installed);
    }
    text + &format!("packages   {}\n", resolved.packages.join(", "))
}
