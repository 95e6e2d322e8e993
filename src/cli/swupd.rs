//! `ister swupd`

use super::build::Format as Output;
use super::console::{Console, print};
use super::input::{count, print_json};
use super::output::SwupdVerifyOutput;
use super::run::{Outcome, VerbosityArgs};
use crate::content::swupd::{Difference, DifferenceKind, InstallRequest, Installed, Task, Trusted, Version};
use crate::content::{Cache, swupd_trust};
use crate::host::set_interrupt_note;
use crate::image::pipeline::swupd_in_namespace;
use crate::plan::SwupdFormat;
use crate::report::Table;
use crate::template::Bytes;
use anyhow::Context;
use clap::{Args, Subcommand};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// List, install and verify swupd content
///
/// To build an image with swupd content, use `"SoftwareManager": "swupd"` (the default) in the template and
/// `ister build -C URL`. This command installs swupd content to a directory without building an image.
#[derive(Args, Debug)]
pub(super) struct SwupdArgs {
    #[command(subcommand)]
    action: SwupdAction,
}

#[derive(Subcommand, Debug)]
enum SwupdAction {
    /// List versions, bundles and their sizes
    ///
    /// Example: ister swupd info https://HOST/update -f 30 -s Swupd_Root.pem
    Info {
        /// Content URL: file, http or https
        url: String,

        #[command(flatten)]
        source: SourceArgs,

        /// Output format
        #[arg(long, value_enum, default_value_t = Output::Human)]
        format: Output,
    },
    /// Install bundles to a directory
    ///
    /// Does not need root privileges. Without them, the files belong to subordinate IDs of the user.
    ///
    /// Example: ister swupd install tree -C file:///srv/www --version 30 -B os-core,editors -s Swupd_Root.pem
    Install {
        /// Target directory; created if missing. Existing files must be part of the
        /// content
        tree: PathBuf,

        /// Content URL: file, http or https
        #[arg(short = 'C', long = "contenturl", value_name = "URL")]
        url: String,

        /// Bundles to install, with the bundles that they include [default: os-core]
        #[arg(short = 'B', long, value_name = "NAMES", value_delimiter = ',')]
        bundles: Vec<String>,

        /// Do not install optional bundles
        #[arg(long)]
        skip_optional: bool,

        #[command(flatten)]
        source: SourceArgs,

        /// Output format
        #[arg(long, value_enum, default_value_t = Output::Human)]
        format: Output,
    },
    /// Compare an installed tree with its manifests; exit code 1 if they differ
    ///
    /// Example: ister swupd verify tree -C file:///srv/www -s Swupd_Root.pem
    Verify {
        /// Directory with the installed tree
        tree: PathBuf,

        /// Content URL: file, http or https
        #[arg(short = 'C', long = "contenturl", value_name = "URL")]
        url: String,

        /// Bundles that were installed [default: as recorded in the tree]
        #[arg(short = 'B', long, value_name = "NAMES", value_delimiter = ',')]
        bundles: Vec<String>,

        /// The tree was installed without optional bundles
        #[arg(long)]
        skip_optional: bool,

        /// Also list files in this directory that are in no bundle
        #[arg(long, value_name = "DIRECTORY", num_args = 0..=1, default_missing_value = "/usr")]
        extra: Option<String>,

        #[command(flatten)]
        source: SourceArgs,

        /// Output format
        #[arg(long, value_enum, default_value_t = Output::Human)]
        format: Output,
    },
}

/// Options for the content source and its signature.
#[derive(Args, Debug)]
struct SourceArgs {
    /// Version number, or `latest` for the latest version of the format
    /// [default: latest; for `verify`, as recorded in the tree]
    #[arg(long = "version", value_name = "VERSION", value_parser = version)]
    version: Option<Version>,

    /// URL to query for the latest version [default: the content URL]
    #[arg(short = 'V', long, value_name = "URL")]
    versionurl: Option<String>,

    /// Format of the content, a number or `staging` [default: the format of the
    /// version]
    #[arg(short = 'f', long = "swupd-format", value_name = "NUMBER", value_parser = SwupdFormat::parse)]
    swupd_format: Option<SwupdFormat>,

    /// Certificate to check the signature of the content with
    /// [default: /usr/share/clear/update-ca/Swupd_Root.pem]
    #[arg(short = 's', long = "cert-file", value_name = "FILE", conflicts_with = "no_sigcheck")]
    cert_file: Option<PathBuf>,

    /// Do not check the signature of the content. An untrusted mirror or network can then modify it
    #[arg(long, visible_alias = "nosigcheck")]
    no_sigcheck: bool,

    /// Cache directory for fetched objects [default: ~/.cache/ister/swupd]
    #[arg(short = 'S', long, value_name = "DIR")]
    statedir: Option<PathBuf>,

    /// Number of retries for a failed download
    #[arg(short = 'r', long, value_name = "COUNT", default_value_t = 3)]
    retries: u32,

    /// Delay before the first retry; doubled for each further one, up to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    retry_delay: u64,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "latest" => Ok(Version::Latest),
        _ => Version::number(text).ok_or_else(|| "expected a number or `latest`".to_owned()),
    }
}

impl SourceArgs {
    fn request(&self, url: &str, bundles: &[String], skip_optional: bool) -> anyhow::Result<InstallRequest> {
        let state = match &self.statedir {
            Some(directory) => std::path::absolute(directory)?,
            None => Cache::open(None)?.swupd_state(),
        };
        Ok(InstallRequest {
            content_url: url.to_owned(),
            version_url: self.versionurl.clone().unwrap_or_else(|| url.to_owned()),
            version: self.version.unwrap_or(Version::Latest),
            format: self.swupd_format,
            bundles: {
                let names = bundles.iter().map(|name| name.trim().to_owned());
                names.filter(|name| !name.is_empty()).collect()
            },
            skip_optional,
            trusted: match self.no_sigcheck {
                true => Trusted::Unverified,
                false => swupd_trust(self.cert_file.as_deref())?,
            },
            state,
            http_proxy: None,
            https_proxy: None,
            retries: Some((self.retries, self.retry_delay)),
        })
    }
}

pub(super) fn run(args: &SwupdArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        SwupdAction::Info { url, source, format } => {
            let console = source.verbosity.console();
            let found = source.request(url, &[], false)?.list(&console);
            console.finish();
            let found = found?;
            match format {
                Output::Json => print_json(&found),
                Output::Human => {
                    let versions: Vec<String> = found.versions.iter().map(u32::to_string).collect();
                    print(&format!(
                        "version {} of format {}; older ones: {}\n\n",
                        found.version,
                        found.format,
                        if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
                    ));
                    let mut table =
                        Table::new(&["bundle", "version", "files", "size", "includes"], &[1, 2, 3]);
                    for bundle in &found.bundles {
                        table.row([
                            bundle.name.clone(),
                            bundle.version.to_string(),
                            bundle.files.to_string(),
                            Bytes(bundle.bytes).to_string(),
                            bundle.includes.join(", "),
                        ]);
                    }
                    print(&table.render());
                }
            }
            Ok(Outcome::Fine)
        }
        SwupdAction::Install { tree, url, bundles, skip_optional, source, format } => {
            let console = source.verbosity.console();
            let request = source.request(url, bundles, *skip_optional)?;
            let place = make_tree(tree)?;
            let is_empty = || std::fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_none());
            let was_empty = is_empty();
            let mut unfinished = format!("the installation in `{}` is incomplete", place.display());
            // Only suggest to remove the directory if it was empty before.
            if was_empty && !rustix::process::geteuid().is_root() {
                // Its files belong to subordinate IDs, so a plain `rm` fails.
                unfinished.push_str("; to remove it: unshare --map-root-user --map-auto rm -rf DIRECTORY");
            }
            set_interrupt_note(format!("{unfinished}; run the same command again to continue"));
            let installed: Result<Installed, _> =
                swupd_in_namespace(&request, Task::Install, &place, &console);
            console.finish();
            let installed = installed.map_err(|failure| match was_empty && !is_empty() {
                true => failure.detail(unfinished),
                false => failure,
            })?;
            match format {
                Output::Json => print_json(&installed),
                Output::Human => print(&format!(
                    "{}: version {}, {}, {} files and directories\n",
                    tree.display(),
                    installed.version,
                    count(installed.bundles.len(), "bundle"),
                    installed.entries
                )),
            }
            Ok(Outcome::Fine)
        }
        SwupdAction::Verify { tree, url, bundles, skip_optional, extra, source, format } => {
            let console = source.verbosity.console();
            let request = source.request(url, bundles, *skip_optional)?;
            let task = Task::Verify { any_version: source.version.is_none(), extra: extra.clone() };
            let place = std::fs::canonicalize(tree)
                .with_context(|| format!("could not find the tree `{}`", tree.display()))?;
            let found: Result<Vec<Difference>, _> = swupd_in_namespace(&request, task, &place, &console);
            console.finish();
            let found = found?;
            show_differences(&found, *format, tree, &console)?;
            Ok(if found.is_empty() { Outcome::Fine } else { Outcome::Findings })
        }
    }
}

/// Creates a directory if it is missing, with the mode of a root directory. Returns its absolute path.
fn make_tree(tree: &Path) -> anyhow::Result<PathBuf> {
    let place = std::path::absolute(tree)?;
    if !place.is_dir() {
        let context = || format!("could not create the directory `{}`", place.display());
        std::fs::create_dir_all(&place).with_context(context)?;
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).with_context(context)?;
    }
    Ok(place)
}

fn show_differences(
    found: &[Difference],
    format: Output,
    tree: &Path,
    console: &Console,
) -> anyhow::Result<()> {
    if format == Output::Json {
        print_json(&SwupdVerifyOutput { version: 1, differences: found });
        return Ok(());
    }
    for Difference { path, bundle, what } in found {
        let of = bundle.as_ref().map(|name| format!(" (bundle {name})")).unwrap_or_default();
        print(&match what {
            DifferenceKind::Missing => format!("{path}{of}: missing\n"),
            DifferenceKind::Extra => format!("{path}: in no bundle\n"),
            DifferenceKind::Changed { expected, found } => {
                format!("{path}{of}: changed\n  expected: {expected}\n  found:    {found}\n")
            }
        });
    }
    console.say(&match found.len() {
        0 => format!("ister: `{}` matches its manifests", tree.display()),
        number => format!("ister: {} in `{}`", count(number, "difference"), tree.display()),
    });
    Ok(())
}
