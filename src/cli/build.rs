//! `ister build`

use super::boot;
use super::compatibility::{CompatibilityArgs, PreservedTree};
use super::console::{Console, print};
use super::disks::{self, Consent};
use super::input::{Input, TemplateArgs, at_least, print_json, source_date_epoch};
use super::inventory;
use super::locate::{LocateArgs, Located};
use super::output::{BuildOutput, ContentOutput};
use super::receipt;
use super::reproducibility;
use super::run::{Outcome, VerbosityArgs};
use crate::boot::Verdict;
use crate::content::Cache;
use crate::host::Failure;
use crate::image::pipeline::{
    BuildOptions, Built, Destination, EmbeddedTemplate, build, pre_install, prepare, sibling_path,
};
use crate::plan::{Footprint, Plan, unsupported};
use crate::report::{Receipt, receipt_human, verdict_human};
use crate::template::{self, Bytes, Secret, SourceText};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Build the image that a template describes, without root privileges
///
/// The image and its plan (<image>.plan.json) appear in the output directory when they are complete. Package contents
/// are cached: another image with the same packages is built without fetching them again.
///
/// Example: ister build vm-tests/kvm/template.json -o out
#[derive(Args, Debug)]
#[command(infer_long_args = true)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    template: TemplateArgs,

    /// Output directory; created if missing
    #[arg(short, long, value_name = "DIR", default_value = ".", overrides_with = "output")]
    output: PathBuf,

    #[command(flatten)]
    locate: LocateArgs,

    /// Content cache directory [default: ~/.cache/ister]
    #[arg(short = 'S', long, visible_alias = "statedir", value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Fetch the content even if it is cached
    #[arg(long)]
    refresh: bool,

    /// Fetch nothing: use cached content with the same packages, of any age
    #[arg(long, conflicts_with = "refresh")]
    offline: bool,

    /// Make the image an installer: embed ister, this template and its content.
    /// isterconf= on the kernel command line starts the installation
    #[arg(long, value_name = "TEMPLATE")]
    carry: Vec<PathBuf>,

    /// Boot the image and, if its login prompt appears, write
    /// <image>.receipt.json
    #[arg(long)]
    boot_test: bool,

    /// With --boot-test: write serial log, screenshot and verdict to this
    /// directory
    #[arg(long, value_name = "DIR", requires = "boot_test")]
    report: Option<PathBuf>,

    /// Output format of the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Build a second time in a different environment (directories, time zone,
    /// locale, umask, one CPU) and list the differences with the hooks that wrote
    /// them. Exit code 1 if the images differ
    #[arg(long = "check-reproducible", alias = "twice", conflicts_with_all = ["target_dir", "no_unmount", "logfile"])]
    check_reproducible: bool,

    /// Set for the second build of a reproducibility check
    #[arg(long, hide = true, overrides_with_all = ["check_reproducible", "boot_test", "refresh"])]
    once: bool,

    /// Timeout for each hook; a hook that exceeds it is terminated
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = at_least(1u64))]
    hook_timeout: u64,

    /// Erase the disks of a physical target without confirmation
    #[arg(long)]
    erase: bool,

    #[command(flatten)]
    verbosity: VerbosityArgs,

    #[command(flatten)]
    compatibility: CompatibilityArgs,

    // Last, because its help heading applies to all options that follow.
    #[command(flatten)]
    machine: boot::MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Human,
    Json,
}

pub(super) fn run(args: &BuildArgs) -> anyhow::Result<Outcome> {
    let console = Console::new(args.compatibility.verbosity(&args.verbosity, args.template.named())?);
    let Some(mut input) = template_of(args, &console)? else {
        console.say("ister: stopped by `ister.exit` on the kernel command line");
        return Ok(Outcome::Stopped);
    };
    if !can_be_built(&input, &console) {
        return Ok(Outcome::Findings);
    }
    let Some(embedded) = embedded_templates(args, &console)? else { return Ok(Outcome::Findings) };
    input.embedded = embedded.iter().map(|template| template.name.clone()).collect();
    // A preliminary plan: sizes that depend on the content are decided once it is installed.
    let Some((preliminary, secrets)) = input.plan(Some(&Footprint::default()), &console)? else {
        return Ok(Outcome::Findings);
    };
    if args.once {
        reproducibility::differ();
    }
    check_options(args, &preliminary)?;
    // Before the disks are inspected, because a pre-install hook may unmount them.
    pre_install(&preliminary, Duration::from_secs(args.hook_timeout), &console)?;
    let Some(destination) = destination_of(args, &preliminary, &console)? else { return Ok(Outcome::Usage) };
    let keep_in = args.compatibility.keep_in()?;
    let private = args.compatibility.private_cache(&args.output)?;
    let cache =
        Cache::open(private.as_ref().map(|directory| directory.path()).or(args.cache_dir.as_deref()))?;
    let options = BuildOptions {
        secrets: &secrets,
        destination,
        cache: &cache,
        refresh: args.refresh,
        offline: args.offline,
        embedded,
        epoch: source_date_epoch()?,
        seed: input.seed.as_deref(),
        hook_time: Duration::from_secs(args.hook_timeout),
        watch_hooks: args.check_reproducible,
        shown_at: args.compatibility.target_dir.as_deref(),
        keep_in: keep_in.as_ref().map(PreservedTree::path),
        programs_in: input.directory.as_deref(),
    };
    let prepared = prepare(&options, &preliminary, &console);
    console.finish();
    let prepared = match prepared {
        Err(failure) if input.show_failure(&failure, &console) => return Ok(failure.blame.into()),
        prepared => prepared?,
    };
    let Some((plan, _)) = input.plan(Some(&prepared.footprint()?), &console)? else {
        return Ok(Outcome::Findings);
    };
    let passphrases = prepared.passphrases().clone();
    let built = build(&options, &plan, prepared, &console);
    console.finish();
    if let Some(tree) = keep_in.as_ref().filter(|tree| tree.is_there()) {
        console.say(&tree.message());
    }
    let built = match built {
        Err(failure) if input.show_failure(&failure, &console) => return Ok(failure.blame.into()),
        built => built?,
    };
    inventory::write(&built, &plan, options.destination.directory())?;
    if let Destination::Devices { .. } = &options.destination {
        drop(options);
        disks::announce(&plan, &console);
    }
    if args.check_reproducible && !is_reproducible(&built, args, &console)? {
        return Ok(Outcome::Findings);
    }
    let tested = match (args.boot_test, built.disks.as_slice()) {
        (true, [image]) if plan.image().is_some() => {
            boot_test(image, &plan, passphrases, &input.source, args, &console)?
        }
        _ => Tested::No,
    };
    show(&built, &plan, &tested, args)?;
    Ok(match &tested {
        Tested::No | Tested::Passed(_) => Outcome::Fine,
        Tested::Failed(verdict) => boot::outcome(verdict),
    })
}

/// The template from the command line, else from the configuration or the kernel command line. `None` if `ister.exit`
/// stops the build.
fn template_of(args: &BuildArgs, console: &Console) -> anyhow::Result<Option<Input>> {
    if args.compatibility.as_ister_py.is_none() && !args.locate.is_asked_for() {
        return args.template.read().map(Some);
    }
    match args.locate.locate(args.template.named(), console)? {
        // As in ister.py, relative paths start at the working directory.
        Located::Template(source) => args.template.changes().apply(source, None).map(Some),
        Located::Exit => Ok(None),
    }
}

/// Whether the template has neither errors nor unsupported features. Shows both.
fn can_be_built(input: &Input, console: &Console) -> bool {
    if !input.show_findings(console) {
        return false;
    }
    let refusals = unsupported(&input.linted.template);
    if !refusals.is_empty() {
        input.show_plan_errors(&refusals, console);
    }
    refusals.is_empty()
}

/// The templates that an installer embeds. `None`, with the errors shown, if one of them has errors.
fn embedded_templates(args: &BuildArgs, console: &Console) -> anyhow::Result<Option<Vec<EmbeddedTemplate>>> {
    let mut embedded: Vec<EmbeddedTemplate> = Vec::new();
    for path in &args.carry {
        let Some(template) = carried_template(path, args, console)? else { return Ok(None) };
        if template.name == "ister.conf" || embedded.iter().any(|other| other.name == template.name) {
            anyhow::bail!(
                "cannot embed `{}`: the name `{}` is already in use; rename the file",
                path.display(),
                template.name
            );
        }
        embedded.push(template);
    }
    Ok(Some(embedded))
}

/// Rejects options that conflict with each other or with the template.
fn check_options(args: &BuildArgs, preliminary: &Plan) -> anyhow::Result<()> {
    if args.check_reproducible && args.template.is_stdin() {
        anyhow::bail!("--check-reproducible cannot read the template from standard input; use a file");
    }
    if preliminary.image().is_none() && (args.check_reproducible || args.boot_test) {
        anyhow::bail!(
            "--check-reproducible and --boot-test cannot be used with `\"DestinationType\": \"physical\"`"
        );
    }
    Ok(())
}

/// Where the build writes to. `None` if the user does not confirm that the disks are erased.
fn destination_of<'a>(
    args: &'a BuildArgs,
    preliminary: &Plan,
    console: &Console,
) -> anyhow::Result<Option<Destination<'a>>> {
    Ok(match preliminary.destination {
        template::Destination::Virtual => Some(Destination::Directory(&args.output)),
        template::Destination::Physical => {
            let given = args.erase || args.compatibility.as_ister_py.is_some();
            let consent = if given { Consent::Given } else { Consent::Ask };
            let devices = disks::open(preliminary, consent, console)?;
            devices.map(|devices| Destination::Devices { devices, directory: &args.output })
        }
    })
}

/// Builds the image again and shows the differences.
fn is_reproducible(built: &Built, args: &BuildArgs, console: &Console) -> anyhow::Result<bool> {
    let [image] = built.disks.as_slice() else {
        anyhow::bail!("--check-reproducible needs a template with a single image")
    };
    let differences = reproducibility::again(image, built, &args.output, console)?;
    if differences.is_empty() {
        console.say("reproducible: both builds are identical");
        return Ok(true);
    }
    print(&differences);
    console.say("error: not reproducible: the second build differs");
    Ok(false)
}

/// Prints what was built, and the result of `--boot-test`.
fn show(built: &Built, plan: &Plan, tested: &Tested, args: &BuildArgs) -> anyhow::Result<()> {
    let size = Bytes(plan.disks.iter().map(|disk| disk.size.0).sum());
    match args.format {
        Format::Json => print_json(&BuildOutput {
            version: 1,
            image: built.disks.first().filter(|_| plan.image().is_some()),
            disks: &built.disks,
            plan: &built.plan,
            published: &built.published,
            size,
            allocated: built.allocated,
            packages: sibling_path(&args.output, plan, ".packages"),
            sbom: sibling_path(&args.output, plan, ".spdx.json"),
            cyclonedx: sibling_path(&args.output, plan, ".cdx.json"),
            role: built.role.as_deref(),
            content: ContentOutput {
                title: &built.content.title,
                cached: built.content_age.is_some(),
                epoch: built.content.epoch,
            },
            receipt: match tested {
                Tested::Passed(receipt) => Some(receipt),
                _ => None,
            },
            verdict: match tested {
                Tested::Failed(verdict) => Some(verdict),
                _ => None,
            },
        }),
        Format::Human => show_human(built, plan, size, tested),
    }
    Ok(())
}

fn show_human(built: &Built, plan: &Plan, size: Bytes, tested: &Tested) {
    let content = match built.content_age {
        None => "fetched now".to_owned(),
        Some(age) => format!("from the cache, {}", ago(age)),
    };
    let disks: Vec<String> = built.disks.iter().map(|path| path.display().to_string()).collect();
    let taken = match plan.image() {
        Some(_) => format!(", {} on disk", built.allocated),
        None => String::new(),
    };
    print(&format!("{}: {size}{taken}; content: {} ({content})\n", disks.join(", "), built.content.title,));
    for path in &built.published {
        let size = path.metadata().map_or(0, |metadata| metadata.len());
        print(&format!("{}: {}\n", path.display(), Bytes(size)));
    }
    match tested {
        Tested::No => {}
        Tested::Passed(receipt) => print(&receipt_human(receipt)),
        Tested::Failed(verdict) => print(&verdict_human(verdict)),
    }
}

/// A template to embed in an installer. `None`, with the errors shown, if it has errors.
fn carried_template(
    path: &Path,
    args: &BuildArgs,
    console: &Console,
) -> anyhow::Result<Option<EmbeddedTemplate>> {
    let input = args.template.changes().for_embedded().read(path)?;
    if !can_be_built(&input, console) {
        return Ok(None);
    }
    let Some(content) = input.content(console) else { return Ok(None) };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(EmbeddedTemplate { name, text: input.source.text().to_owned(), content }))
}

/// The result of `--boot-test`.
enum Tested {
    No,
    Passed(Box<Receipt>),
    Failed(Box<Verdict>),
}

/// Boots the image and writes its receipt.
fn boot_test(
    image: &Path,
    plan: &Plan,
    passphrases: BTreeMap<String, Secret>,
    template: &SourceText,
    args: &BuildArgs,
    console: &Console,
) -> Result<Tested, Failure> {
    let guest = boot::GuestOptions { passphrases, ..boot::GuestOptions::default() };
    let booted = receipt::booted(image, || {
        let report = args.report.as_deref();
        boot::boot_image(image, &args.machine, guest, report, Some(template), Some(plan), console)
    });
    console.finish();
    Ok(match booted? {
        (_, Some(receipt)) => Tested::Passed(Box::new(receipt)),
        (verdict, None) => Tested::Failed(Box::new(verdict)),
    })
}

/// An age, for people.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => "just created".to_owned(),
        120..7200 => format!("{} minutes old", seconds / 60),
        7200..172_800 => format!("{} hours old", seconds / 3600),
        _ => format!("{} days old", seconds / 86_400),
    }
}
