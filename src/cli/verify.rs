//! `ister verify`

use super::changes::ChangeArgs;
use super::console::{Console, print};
use super::findings::{FindingsFormat, LevelArgs, VerifyRules, formatted};
use super::input::{Input, require};
use super::plan::{plan_next_to, read_plan};
use super::run::{Outcome, VerbosityArgs};
use crate::host::{Failure, Progress, scratch_directory, why_no_sandbox};
use crate::image::format::sums::SUMS;
use crate::image::format::{Medium, MediumKind, OpenedImage, Published, open_published};
use crate::image::{pipeline, sha256};
use crate::plan::layout::SectorSize;
use crate::plan::{PLAN_VERSION, Plan, Secrets};
use crate::report::{AttestationError, Verified, boot_paths_svg, check_attestation};
use crate::template::{Bytes, Secret, SecretSource};
use crate::verify::boot_path::BootPaths;
use crate::verify::{Examination, Facts, Finding, examine, examine_medium, judge, judge_medium, table_of};
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};

/// Verify an image without booting or mounting it
///
/// Checks partition tables, filesystems, the boot chain, mounts, and that the image contains no leftover files such
/// as host keys. With a plan or template, also checks that the image matches it. A plan next to the image
/// (<image>.plan.json) is used automatically. The image does not have to be built by ister.
///
/// Takes raw images, qcow2, vhd, vhdx, vmdk and vdi, optionally compressed with gzip, xz or zstd, and archives with
/// disk.raw. For root trees, OCI images, network boot files and CDs, the boot files and the contained system are
/// checked.
///
/// Exit code 0: no errors; 1: errors were found; 3: the host could not examine the image.
///
/// Example: ister verify out/kvm.img
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// Image, or a SHA512SUMS file with the listed files next to it
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// Template to compare the image with
    #[arg(short = 't', long = "template", value_name = "TEMPLATE", conflicts_with = "plan")]
    template: Option<PathBuf>,

    /// Plan to compare the image with
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,

    /// Ignore the plan next to the image
    #[arg(long, conflicts_with_all = ["plan", "template"])]
    no_plan: bool,

    /// For SHA512SUMS: file with the OpenPGP keys that may have signed it
    #[arg(long, value_name = "FILE")]
    signed_by: Option<PathBuf>,

    /// Attestation of this file by `ister publish --attest`, which must be signed
    /// with the key of --attested-by
    #[arg(long, value_name = "FILE", requires = "attested_by")]
    attestation: Option<PathBuf>,

    /// Ed25519 public key (PEM) for --attestation
    #[arg(long, value_name = "FILE", requires = "attestation")]
    attested_by: Option<PathBuf>,

    /// Passphrase for encrypted partitions: env:NAME or file:PATH
    #[arg(long, value_name = "SOURCE", value_parser = secret_source)]
    unlock: Vec<SecretSource>,

    /// Show the boot path of each firmware: loaders, entries, kernels, command
    /// lines
    #[arg(long)]
    explain_boot: bool,

    /// Write the boot paths as an SVG diagram
    #[arg(long, value_name = "FILE.svg")]
    boot_svg: Option<PathBuf>,

    /// Output format of findings
    #[arg(long, value_enum, default_value_t = FindingsFormat::Human)]
    format: FindingsFormat,

    #[command(flatten)]
    levels: LevelArgs<VerifyRules>,

    #[command(flatten)]
    changes: ChangeArgs,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

/// Parses the source of a secret. Secrets are never passed as arguments, because other users can see those.
pub(super) fn secret_source(text: &str) -> Result<SecretSource, String> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(SecretSource::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(SecretSource::File(path.to_owned())),
        _ => Err("expected env:NAME or file:PATH; secrets cannot be passed as arguments".to_owned()),
    }
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    if args.template.is_none() && args.changes.is_any() {
        bail!("options that override the template need a template: -t TEMPLATE");
    }
    require(&args.image)?;
    let console = args.verbosity.console();
    let is_list = args.image.file_name().is_some_and(|name| name == SUMS);
    let is_about_images = args.template.is_some()
        || args.plan.is_some()
        || !args.unlock.is_empty()
        || args.explain_boot
        || args.boot_svg.is_some()
        || !args.levels.levels.is_empty()
        || args.format != FindingsFormat::Human;
    if is_list && is_about_images {
        bail!("only --signed-by can be used with {SUMS}; the other options are for images");
    }
    if !is_list && args.signed_by.is_some() {
        bail!("--signed-by can only be used with {SUMS}");
    }
    if is_list {
        let outcome = super::sums::verify(&args.image, args.signed_by.as_deref(), &console);
        console.finish();
        return outcome;
    }
    if let Some((attestation, key)) = args.attestation.as_deref().zip(args.attested_by.as_deref())
        && let Err(error) = attested(&args.image, attestation, key, &console)?
    {
        console.finish();
        console.say(&format!("error: the attestation `{}` does not hold: {error}", attestation.display()));
        return Ok(Outcome::Findings);
    }
    let scratch = scratch_directory();
    if let Some(why) = why_no_sandbox() {
        (&console as &dyn Progress)
            .warn(format!("programs that read the image run without a sandbox: {why}"));
    }
    (&console as &dyn Progress).begin("opening the image");
    let image = match open_published(&args.image, &scratch)? {
        Published::Disk(image) => image,
        Published::Medium(medium) => return verify_medium(args, medium, &console),
    };
    let (plan, secrets, against) = match expected(args, &image)? {
        Expected::Known(known) => *known,
        Expected::Invalid(input) => {
            console.finish();
            input.show_findings(&console);
            return Ok(Outcome::Findings);
        }
    };
    let mut passphrases = Vec::new();
    let from_template = secrets.iter().flat_map(|secrets| secrets.passphrases.values());
    for source in args.unlock.iter().chain(from_template) {
        passphrases.push(read_secret(source)?);
    }
    let name = args.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let examination = Examination {
        name: &name,
        image: &image,
        plan,
        passphrases,
        host_marks: host_marks(),
        scratch: &scratch,
    };
    let facts = examine(&examination, &console);
    console.finish();
    let facts = facts?;
    draw(args, &facts.boot_paths)?;
    let verified = Verified {
        image: args.image.display().to_string(),
        summary: summary(&facts, against.as_deref()),
        findings: judge(&facts),
        boot_paths: args.explain_boot.then(|| facts.boot_paths.clone()),
    };
    show(args, verified)
}

/// Checks an attestation of the file. The inner error is about the attestation.
fn attested(
    image: &Path,
    attestation: &Path,
    key: &Path,
    console: &Console,
) -> anyhow::Result<Result<(), AttestationError>> {
    let read = |path: &Path| -> anyhow::Result<String> {
        require(path)?;
        std::fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))
    };
    let (envelope, key) = (read(attestation)?, read(key)?);
    (console as &dyn Progress).begin("checking the attestation");
    Ok(check_attestation(&envelope, &key, &sha256(image)?))
}

/// Writes the diagram of the boot paths, if requested.
fn draw(args: &VerifyArgs, paths: &BootPaths) -> anyhow::Result<()> {
    let Some(path) = &args.boot_svg else { return Ok(()) };
    std::fs::write(path, boot_paths_svg(paths))
        .with_context(|| format!("could not write `{}`", path.display()))
}

/// Verifies a file that is not a disk image. It has no partitions to compare with a plan.
fn verify_medium(args: &VerifyArgs, medium: Medium, console: &Console) -> anyhow::Result<Outcome> {
    if medium.kind != MediumKind::Damaged && (args.template.is_some() || args.plan.is_some()) {
        console.finish();
        bail!(
            "`{}` is not a disk image ({}); --template and --plan need a disk image",
            args.image.display(),
            medium.kind
        );
    }
    (console as &dyn Progress).begin("examining the system");
    let facts = examine_medium(medium, host_marks());
    console.finish();
    let facts = facts?;
    draw(args, &facts.boot_paths)?;
    let verified = Verified {
        image: args.image.display().to_string(),
        summary: facts.kind.to_string(),
        findings: judge_medium(&facts),
        boot_paths: args.explain_boot.then(|| facts.boot_paths.clone()),
    };
    show(args, verified)
}

/// Verifies a published file that cannot be booted, without a plan.
pub(super) fn findings(path: &Path, progress: &dyn Progress) -> Result<Vec<Finding>, Failure> {
    let scratch = scratch_directory();
    match open_published(path, &scratch)? {
        Published::Medium(medium) => Ok(judge_medium(&examine_medium(medium, host_marks())?)),
        Published::Disk(image) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let examination = Examination {
                name: &name,
                image: &image,
                plan: None,
                passphrases: Vec::new(),
                host_marks: host_marks(),
                scratch: &scratch,
            };
            Ok(judge(&examine(&examination, progress)?))
        }
    }
}

fn show(args: &VerifyArgs, mut verified: Verified) -> anyhow::Result<Outcome> {
    args.levels.levels.apply(&mut verified.findings);
    print(&formatted(args.format, &verified)?);
    Ok(if verified.has_errors() { Outcome::Findings } else { Outcome::Fine })
}

fn summary(facts: &Facts, against: Option<&str>) -> String {
    let partitions = super::input::count(facts.partitions.len(), "partition");
    let against =
        against.map_or("no plan to compare with".to_owned(), |name| format!("compared with {name}"));
    let sector = match facts.sector {
        SectorSize::B512 => "",
        SectorSize::B4096 => ", sectors of 4096 bytes",
    };
    format!("{}, {}{sector}, {partitions}, {against}", facts.format, Bytes(facts.size))
}

enum Expected {
    /// The plan, the template's secrets, and the file that the plan comes from.
    Known(Box<(Option<Plan>, Option<Secrets>, Option<String>)>),
    /// The template has errors.
    Invalid(Box<Input>),
}

/// The expected state of the image.
fn expected(args: &VerifyArgs, image: &OpenedImage) -> anyhow::Result<Expected> {
    let known = |plan, secrets, name| Ok(Expected::Known(Box::new((plan, secrets, name))));
    if let Some(template) = &args.template {
        let mut changes = args.changes.clone();
        let (sector, _) =
            table_of(image).with_context(|| format!("could not read `{}`", args.image.display()))?;
        changes.fit_image(image.size, sector);
        let input = changes.read(template)?;
        let console = args.verbosity.console();
        if input.linted.has_errors() {
            return Ok(Expected::Invalid(Box::new(input)));
        }
        let Some(content) = input.content(&console) else { return Ok(Expected::Invalid(Box::new(input))) };
        let footprint = super::plan::cached_footprint(&content, None);
        let Some((plan, secrets)) = input.plan(footprint.as_ref(), &console)? else {
            return Ok(Expected::Invalid(Box::new(input)));
        };
        return known(Some(plan), Some(secrets), Some(template.display().to_string()));
    }
    let path = match (&args.plan, args.no_plan) {
        (Some(path), _) => Some(path.clone()),
        (None, false) => plan_next_to(&args.image),
        (None, true) => None,
    };
    let Some(path) = path else { return known(None, None, None) };
    match read_plan(&path)? {
        Some(plan) => known(Some(plan), None, Some(path.display().to_string())),
        None => {
            bail!("`{}` is not a plan; expected <image>.plan.json of version {PLAN_VERSION}", path.display())
        }
    }
}

/// Reads a passphrase or password, without the line end of a file.
pub(super) fn read_secret(source: &SecretSource) -> Result<Secret, Failure> {
    Ok(pipeline::read_secret("secret", source, "the secret")?.without_line_end())
}

/// Paths of this host that must not appear in an image.
fn host_marks() -> Vec<String> {
    let mut marks = Vec::new();
    if let Ok(directory) = std::env::current_dir() {
        marks.push(directory.display().to_string());
    }
    if let Some(home) = std::env::var_os("HOME") {
        marks.push(PathBuf::from(home).join(".cache").display().to_string());
    }
    // Short paths and paths that exist on every system would cause false positives.
    let common = ["/usr/", "/etc/", "/var/", "/opt/", "/root/"];
    marks
        .retain(|mark| mark.matches('/').count() >= 3 && !common.iter().any(|start| mark.starts_with(start)));
    marks
}
