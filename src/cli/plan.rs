//! `ister plan`

use super::changes::ChangeArgs;
use super::console::{print, terminal_width};
use super::input::{TemplateArgs, print_json};
use super::run::{Outcome, VerbosityArgs};
use crate::plan::{Content, Footprint, PLAN_VERSION, Plan};
use crate::report::{PlanView, compare_plans, plan_svg, plan_table};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Show what would be built, without building it
///
/// The plan has the exact size and offset of every partition. It includes the size of the content if that is in the
/// content cache.
///
/// With --diff, the differences between two plans are shown; exit code 1 if there are any.
///
/// Example: ister plan vm-tests/kvm/template.json --format svg > plan.svg
#[derive(Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    template: TemplateArgs,

    /// Output format of the plan
    #[arg(long, value_enum, default_value_t = PlanFormat::Table)]
    format: PlanFormat,

    /// Show all columns, with GUIDs and sizes in bytes
    #[arg(long)]
    wide: bool,

    /// Compare with another template or plan (<image>.plan.json)
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    diff: Option<PathBuf>,

    /// Content cache directory [default: ~/.cache/ister]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// For people
    Table,
    /// For programs, as described by schema/ister-plan.schema.json
    Json,
    /// An SVG diagram of each disk
    Svg,
}

pub(super) fn run(args: &PlanArgs) -> anyhow::Result<Outcome> {
    if args.wide && (args.format != PlanFormat::Table || args.diff.is_some()) {
        bail!(
            "--wide adds columns to the table; it has no effect with --format json, --format svg or --diff"
        );
    }
    let console = args.verbosity.console();
    let plan_of = |input: &super::input::Input| -> anyhow::Result<Option<Plan>> {
        if !input.show_findings(&console) {
            return Ok(None);
        }
        let Some(content) = input.content(&console) else { return Ok(None) };
        let footprint = cached_footprint(&content, args.cache_dir.as_deref());
        Ok(input.plan(footprint.as_ref(), &console)?.map(|(plan, _)| plan))
    };
    let plan = match &args.diff {
        // Either side of a comparison may be a plan or a template.
        Some(_) => read_other(args.template.path()?, args.template.changes(), plan_of)?,
        None => plan_of(&args.template.read()?)?,
    };
    let Some(plan) = plan else { return Ok(Outcome::Findings) };
    if let Some(other) = &args.diff {
        let Some(other) = read_other(other, args.template.changes(), plan_of)? else {
            return Ok(Outcome::Findings);
        };
        let differences = compare_plans(&plan, &other);
        print(if differences.is_empty() { "the plans are identical\n" } else { &differences });
        return Ok(if differences.is_empty() { Outcome::Fine } else { Outcome::Findings });
    }
    match args.format {
        PlanFormat::Table => {
            print(&plan_table(&plan, PlanView { wide: args.wide, width: terminal_width() }));
        }
        PlanFormat::Json => print_json(&plan),
        PlanFormat::Svg => print(&plan_svg(&plan)),
    }
    Ok(Outcome::Fine)
}

/// The footprint of cached content. Neither creates the cache nor writes to it.
#[cfg(feature = "full")]
pub(super) fn cached_footprint(wanted: &Content, directory: Option<&Path>) -> Option<Footprint> {
    use crate::content::{self, Cache};
    let cache = Cache::existing(directory)?;
    let sources = match &wanted.archive {
        Some(_) => Some(content::sources_for(wanted).ok()?),
        None => None,
    };
    let entry = cache.find_requested(&wanted.release, &wanted.packages, sources.as_deref())?;
    content::footprint(&entry.file).ok()
}

/// The lint-only build has no content cache.
#[cfg(not(feature = "full"))]
fn cached_footprint(_: &Content, _: Option<&Path>) -> Option<Footprint> {
    None
}

/// Reads a plan, or plans a template.
fn read_other(
    path: &Path,
    changes: &ChangeArgs,
    plan_of: impl Fn(&super::input::Input) -> anyhow::Result<Option<Plan>>,
) -> anyhow::Result<Option<Plan>> {
    match read_plan(path)? {
        Some(plan) => Ok(Some(plan)),
        None => plan_of(&changes.read(path)?),
    }
}

/// Reads a plan; `None` if the file is something else.
pub(super) fn read_plan(path: &Path) -> anyhow::Result<Option<Plan>> {
    let bytes = std::fs::read(path).with_context(|| format!("could not read `{}`", path.display()))?;
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return Ok(None) };
    let (Some(version), Some(_)) = (value["version"].as_u64(), value.get("content")) else { return Ok(None) };
    if version != u64::from(PLAN_VERSION) {
        bail!(
            "the plan `{}` has the unsupported version {version}, expected {PLAN_VERSION}; create it again or remove it",
            path.display()
        );
    }
    let plan =
        serde_json::from_value(value).with_context(|| format!("`{}` is not a valid plan", path.display()))?;
    Ok(Some(plan))
}

/// File name extensions of published formats.
const ENDINGS: &[&str] = &[
    "xz", "zst", "zstd", "gz", "tar", "qcow2", "vhd", "vhdx", "vmdk", "ova", "vdi", "raw", "iso", "oci",
    "pxe",
];

/// The plan next to an image: `kvm.img.plan.json` for `kvm.img`, `kvm.img.xz`, `kvm.qcow2` and `kvm.qcow2.zst`.
pub(super) fn plan_next_to(image: &Path) -> Option<PathBuf> {
    let mut name = image.file_name()?.to_str()?;
    loop {
        for path in [format!("{name}.plan.json"), format!("{name}.img.plan.json")] {
            let path = image.with_file_name(path);
            if path.is_file() {
                return Some(path);
            }
        }
        let (stem, ending) = name.rsplit_once('.')?;
        name = ENDINGS.contains(&ending).then_some(stem)?;
    }
}

/// Reads the plan next to an image, if there is one.
///
/// # Errors
/// The plan is damaged or has an unsupported version.
pub(super) fn plan_of_image(image: &Path) -> anyhow::Result<Option<Plan>> {
    plan_next_to(image).map(|path| plan_in(&path)).transpose()
}

/// Reads a plan. It is an error if the file is something else.
pub(super) fn plan_in(path: &Path) -> anyhow::Result<Plan> {
    match read_plan(path)? {
        Some(plan) => Ok(plan),
        None => bail!("`{}` is not a plan; build the image again or remove the file", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_next_to_every_published_disk_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let plan = directory.path().join("kvm.img.plan.json");
        std::fs::write(&plan, "{}").unwrap();
        for name in [
            "kvm.img",
            "kvm.img.xz",
            "kvm.qcow2",
            "kvm.zstd.qcow2",
            "kvm.qcow2.zst",
            "kvm.vhd",
            "kvm.vmdk",
            "kvm.ova",
            "kvm.tar.gz",
        ] {
            assert_eq!(plan_next_to(&directory.path().join(name)), Some(plan.clone()), "{name}");
        }
        assert_eq!(plan_next_to(&directory.path().join("web.qcow2")), None);
    }
}
