//! `ister boot`

mod guest;

use super::build::Format;
use super::console::{Console, print};
use super::input::{at_least, number, print_json, require};
use super::plan::plan_of_image;
use super::receipt;
use super::run::{Outcome, VerbosityArgs};
use crate::boot::{
    self, Accelerator, AllowedNote, BootOptions, Choice, DiskBus, Guess, Hardware, Network, NetworkCard,
    OtherFirmware, OwnKernel, Stage, Verdict, boot, choose, guess_firmware,
};
use crate::host::{Context, Failure, Progress, scratch_directory};
use crate::image::format;
use crate::plan::layout::SectorSize;
use crate::plan::{Firmware, Plan};
use crate::report::verdict_human;
use crate::template::SourceText;
use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
pub(super) use guest::{GuestArgs, GuestOptions};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Boot an image in QEMU and wait for its login prompt
///
/// The image is not changed. If the login prompt does not appear on the serial console or, on systems without a serial
/// console, on the screen, the verdict names the boot stage, the cause and what to check.
///
/// Exit code 0: the login prompt appeared (with --until power-off: the guest powered off); 1: it did not; 3: QEMU or
/// the host failed.
///
/// Example: ister boot out/kvm.img --report out/report
#[derive(Args, Debug)]
pub(super) struct BootArgs {
    /// Image to boot: a disk in any supported format, a CD, or a network boot archive
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// Write serial log, screenshot (PNG) and verdict to this directory
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    /// Template that the image was built from; a failed verdict then points to
    /// the lines that are related to the failure
    #[arg(short = 't', long, value_name = "FILE")]
    template: Option<PathBuf>,

    /// If the image boots, write IMAGE.receipt.json, which records its checksum
    /// and the virtual machine
    #[arg(long, conflicts_with_all = ["direct", "kernel"])]
    receipt: bool,

    /// Output format of the verdict
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    guest: GuestArgs,

    #[command(flatten)]
    verbosity: VerbosityArgs,

    // Last, because its help heading applies to all options that follow.
    #[command(flatten)]
    machine: MachineArgs,
}

/// Options for the virtual machine.
#[derive(Args, Debug)]
#[command(next_help_heading = "Virtual machine")]
pub(super) struct MachineArgs {
    /// Firmware [default: from the plan next to the image, else detected from the
    /// image]
    #[arg(long, value_enum)]
    firmware: Option<FirmwareArg>,

    /// Accelerator; `auto` uses KVM if it works on this host
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    accel: Accel,

    /// Bus that the image is attached to
    #[arg(long, value_enum, default_value_t = DiskBus::VirtioBlk)]
    disk: DiskBus,

    /// Network card
    #[arg(long, value_enum, default_value_t = NetworkCard::VirtioNet)]
    network_card: NetworkCard,

    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = at_least(64u32))]
    memory: u32,

    /// Enable Hyper-V enlightenments (KVM only)
    #[arg(long)]
    hyperv: bool,

    /// Number of virtual CPUs [default: 2, or 1 on a host with one CPU]
    #[arg(long, value_name = "N", value_parser = number(1..=255u32))]
    cpus: Option<u32>,

    /// Timeout for one boot [default: 300 with KVM, 600 with TCG]
    #[arg(long, value_name = "SECONDS", value_parser = at_least(1u64))]
    timeout: Option<u64>,

    /// How long the system must stay up after the login prompt appeared, before
    /// getty is probed; a panic, reset or power-off in this time is a failure
    /// [default: 2 with KVM, 5 with TCG]
    #[arg(long, value_name = "SECONDS", value_parser = number(0..=600u64))]
    dwell: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FirmwareArg {
    Uefi,
    Bios,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Accel {
    Auto,
    Kvm,
    Tcg,
}

fn is_from_tree(plan: &Plan, image: &Path) -> bool {
    let name = image.file_name().unwrap_or_default();
    plan.published.iter().any(|file| file.is_from_tree() && name == file.name.as_str())
}

pub(super) fn run(args: &BootArgs) -> anyhow::Result<Outcome> {
    require(&args.image)?;
    let console = args.verbosity.console();
    let guest = args.guest.resolve(args.receipt)?;
    if args.image.is_file()
        && is_network_boot(&args.image)?
        && !guest.own_kernel
        && guest.direct.is_none()
        && (guest.cloud.is_some() || guest.network == Network::Host)
    {
        bail!(
            "a network boot has a network of its own, without a cloud and without the host's network; add --direct to \
             start its kernel without that network, or omit --cloud and --network host"
        );
    }
    let template = match &args.template {
        Some(path) => Some(read_template(path).map_err(|failure| anyhow!("{failure}"))?),
        None => None,
    };
    let plan = plan_of_image(&args.image)?;
    let boot = || {
        let report = args.report.as_deref();
        boot_image(&args.image, &args.machine, guest, report, template.as_ref(), plan.as_ref(), &console)
    };
    let verdict = match args.receipt {
        true => receipt::booted(&args.image, boot).map(|(verdict, _)| verdict),
        false => boot(),
    };
    console.finish();
    let verdict = verdict?;
    match args.format {
        Format::Json => print_json(&verdict),
        Format::Human => print(&verdict_human(&verdict)),
    }
    Ok(outcome(&verdict))
}

fn read_template(path: &Path) -> Result<SourceText, Failure> {
    let text = std::fs::read_to_string(path)
        .context(|| format!("could not read the template `{}`", path.display()))?;
    Ok(SourceText::new(path.display().to_string(), text))
}

pub(super) fn outcome(verdict: &Verdict) -> Outcome {
    match verdict.outcome {
        boot::Outcome::Reached => Outcome::Fine,
        boot::Outcome::Failed => Outcome::Findings,
        boot::Outcome::Infrastructure => Outcome::Environment,
    }
}

/// Two CPUs make a single boot faster; additional ones stay mostly idle.
fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2) as u32)
}

impl MachineArgs {
    fn accelerator(&self) -> Choice {
        let requested =
            |accelerator: Accelerator| Choice { accelerator, reason: "requested".to_owned(), remedy: None };
        match self.accel {
            Accel::Auto => choose(),
            Accel::Kvm => requested(Accelerator::Kvm),
            Accel::Tcg => requested(Accelerator::Tcg),
        }
    }

    fn hardware(&self) -> Hardware {
        Hardware {
            disk: self.disk,
            network_card: self.network_card,
            memory: self.memory,
            cpus: self.cpus.unwrap_or_else(cpus),
            hyperv: self.hyperv,
        }
    }
}

/// Firmware and sector size of the boot: from the command line, else from the plan, else detected from the disk.
struct Attachment {
    firmware: Firmware,
    /// A second firmware that the disk has boot code for, if no firmware was chosen.
    other: Option<Firmware>,
    sector_size: SectorSize,
}

impl Attachment {
    fn of(image: &Path, machine: &MachineArgs, plan: Option<&Plan>) -> Result<Attachment, Failure> {
        let requested = machine.firmware.map(|firmware| match firmware {
            FirmwareArg::Uefi => Firmware::Uefi,
            FirmwareArg::Bios => Firmware::Bios,
        });
        // A network boot has no disk: each firmware loads it.
        if is_network_boot(image)? {
            let firmware = requested.unwrap_or(Firmware::Uefi);
            return Ok(Attachment { firmware, other: None, sector_size: SectorSize::B512 });
        }
        let chosen = requested.or(plan.and_then(|plan| Some(plan.boot.as_ref()?.firmware)));
        // If the format implies a sector size, use it regardless of the partition table, as other hypervisors do.
        let sector_size = sector_size_of(image)?
            .or_else(|| plan.and_then(|plan| plan.disks.first()).map(|disk| disk.sector_size));
        let guess = match (sector_size, chosen) {
            (Some(_), Some(_)) => None,
            (_, chosen) => match look_at_disk(image)? {
                Err(failure) if chosen.is_none() => return Err(failure),
                guess => guess.ok(),
            },
        };
        Ok(Attachment {
            firmware: chosen.or(guess.map(|guess| guess.firmware)).unwrap_or(Firmware::Uefi),
            other: guess.and_then(|guess| guess.other).filter(|_| chosen.is_none()),
            sector_size: sector_size.or(guess.map(|guess| guess.sector_size)).unwrap_or(SectorSize::B512),
        })
    }
}

/// Drops and reports the notes whose end date has passed.
fn still_allowed(notes: Vec<AllowedNote>, progress: &dyn Progress) -> Vec<AllowedNote> {
    let today = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let (over, allowed): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| note.is_over(&today[..10]));
    for note in over {
        progress.warn(format!("--allow for `{}` ({}) expired on {}", note.text, note.kind, note.until));
    }
    allowed
}

/// Boots an image in the configured virtual machine.
pub(super) fn boot_image(
    image: &Path,
    machine: &MachineArgs,
    guest: GuestOptions,
    report: Option<&Path>,
    template: Option<&SourceText>,
    plan: Option<&Plan>,
    console: &Console,
) -> Result<Verdict, Failure> {
    if !image.is_file() {
        let what = if image.exists() { "is not a regular file" } else { "does not exist" };
        return Err(Failure::new(format!("the image `{}` {what}", image.display()))
            .help("build an image with `ister build`"));
    }
    let checks_mounts = guest.login.is_some() || guest.healthy && guest.ssh.is_some();
    if checks_mounts && plan.is_none() {
        let progress: &dyn Progress = console;
        progress.warn(format!("no plan found next to `{}`; mounts are not checked", image.display()));
    }
    let Attachment { firmware, other, sector_size } = Attachment::of(image, machine, plan)?;
    if let Some(path) = guest.second_disk.as_ref().filter(|path| !path.is_file()) {
        return Err(Failure::new(format!(
            "the second disk `{}` is missing or not a regular file",
            path.display()
        ))
        .help("create one: truncate -s 8G FILE"));
    }
    let second_disk = guest.second_disk.as_deref().map(std::path::absolute).transpose();
    let second_disk = second_disk.map_err(|error| Failure::new(error.to_string()))?;
    let own_kernel = match guest.own_kernel {
        true => Some(OwnKernel::of_image(image, &scratch_directory())?),
        false => None,
    };
    let direct = own_kernel.as_ref().map(OwnKernel::direct).or(guest.direct);
    let allowed = still_allowed(guest.allowed, console);
    let mut options = BootOptions {
        image,
        firmware,
        accelerator: machine.accelerator(),
        hardware: machine.hardware(),
        timeout: machine.timeout.map(Duration::from_secs),
        dwell: machine.dwell.map(Duration::from_secs),
        report,
        passphrases: guest.passphrases,
        login: guest.login,
        ssh: guest.ssh,
        commands: guest.commands,
        goal: guest.goal,
        network: guest.network,
        second_disk: second_disk.as_deref(),
        seed: guest.seed.as_deref(),
        credentials: guest.credentials,
        direct,
        again: guest.again,
        checks: &guest.checks,
        cloud: guest.cloud,
        cloud_fault: guest.cloud_fault,
        update: guest.update.as_deref(),
        grow: guest.grow,
        host: guest.host.as_deref(),
        healthy: guest.healthy,
        allowed: &allowed,
        // Formats made from the root tree have no partitions to compare.
        plan: plan.filter(|plan| !is_from_tree(plan, image)),
        template,
        sector_size,
    };
    let first = boot(&options, console)?;
    let Some(other) = other.filter(|_| is_not_for_firmware(&first)) else { return Ok(first) };
    let progress: &dyn Progress = console;
    progress.warn(format!(
        "{} with {} firmware; the disk also has boot code for {other}, retrying with it",
        first.last.class, first.firmware
    ));
    options.firmware = other;
    let mut second = boot(&options, console)?;
    second.other_firmware =
        Some(OtherFirmware { firmware: first.firmware, class: first.last.class, stage: first.last.stage });
    Ok(second)
}

/// Whether the boot failed in the firmware or loader, which the wrong firmware would explain.
fn is_not_for_firmware(verdict: &Verdict) -> bool {
    verdict.outcome == boot::Outcome::Failed && verdict.last.stage <= Stage::Loader
}

fn is_network_boot(image: &Path) -> Result<bool, Failure> {
    let context = || format!("could not read the image `{}`", image.display());
    File::open(image).and_then(|file| format::is_network_boot(&file)).context(context)
}

/// The sector size that an image's format implies.
fn sector_size_of(image: &Path) -> Result<Option<SectorSize>, Failure> {
    let context = || format!("could not read the image `{}`", image.display());
    Ok(match File::open(image).and_then(|file| format::kind_of(&file)).context(context)? {
        format::FileKind::Image(format) => format.sector_size(),
        format::FileKind::Packed => None,
    })
}

/// Detects which firmware a disk has boot code for. The inner error means that it has boot code for none.
fn look_at_disk(image: &Path) -> Result<Result<Guess, Failure>, Failure> {
    let opened = format::open(image, &scratch_directory()).map_err(|failure| {
        failure.context(format!("could not detect the firmware that `{}` needs", image.display()))
    })?;
    Ok(guess_firmware(&opened.file, image, opened.format.sector_size()))
}
