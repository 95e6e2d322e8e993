//! `ister boot`

mod guest;

use super::build::Format;
use super::console::{Console, print};
use super::input::print_json;
use super::plan::plan_of_image;
use super::receipt;
use super::run::{Outcome, VerbosityArgs};
use crate::boot::{
    self, Accelerator, AllowedNote, BootOptions, Choice, DiskBus, Guess, Hardware, NetworkCard,
    OtherFirmware, OwnKernel, Stage, Verdict, boot, choose, guess_firmware,
};
use crate::host::{Context, Failure, Progress, scratch_directory};
use crate::image::format;
use crate::plan::layout::SectorSize;
use crate::plan::{Firmware, Plan};
use crate::report::verdict_human;
use crate::template::SourceText;
use anyhow::anyhow;
use clap::{Args, ValueEnum};
pub(super) use guest::{GuestArgs, GuestOptions};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Boot an image in QEMU until its login prompt, or until it is clear why it will not come
///
/// The image is not changed. Exit code 0: a getty asks for a login, on the serial console or on the screen of a system that does
/// not speak there (with --until power-off: the guest switched itself off); 1: it does not, and the verdict says at which
/// stage, why, and what to look at; 3: QEMU or the host failed.
///
/// Example: ister boot out/kvm.img --report out/report
#[derive(Args, Debug)]
pub(super) struct BootArgs {
    /// The image, in any published format
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// Keep serial log, screenshot (PNG) and verdict in this directory
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    /// The template that it was built from: the verdict then names the lines of it
    /// that have to do with what went wrong
    #[arg(short = 't', long, value_name = "FILE")]
    template: Option<PathBuf>,

    /// Write IMAGE.receipt.json if it boots: these bytes, on this machine
    #[arg(long, conflicts_with_all = ["direct", "kernel"])]
    receipt: bool,

    /// How the verdict is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    inside: GuestArgs,

    #[command(flatten)]
    verbosity: VerbosityArgs,

    // Last, since its heading holds for all that follows.
    #[command(flatten)]
    machine: MachineArgs,
}

/// The virtual machine.
#[derive(Args, Debug)]
#[command(next_help_heading = "Virtual machine")]
pub(super) struct MachineArgs {
    /// The firmware [default: what the plan beside the image says, else what the image looks like]
    #[arg(long, value_enum)]
    firmware: Option<FirmwareArg>,

    /// The accelerator; `auto` looks which one really works
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    accel: Accel,

    /// How the image is attached
    #[arg(long, value_enum, default_value_t = DiskBus::VirtioBlk)]
    disk: DiskBus,

    /// The network card
    #[arg(long, value_enum, default_value_t = NetworkCard::VirtioNet)]
    network_card: NetworkCard,

    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    memory: u32,

    /// Tell the guest what Hyper-V tells (KVM only)
    #[arg(long)]
    hyperv: bool,

    /// Virtual CPUs [default: 2, or 1 on a host with one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: Option<u32>,

    /// The most seconds a boot may take [default: 300 with KVM, 600 with TCG]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,

    /// Seconds that a login prompt has to stand before a getty has to answer there;
    /// a panic, a reset or a power-off in that time counts [default: 2 with KVM, 5 with TCG]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=600))]
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

fn is_of_tree(plan: &Plan, image: &Path) -> bool {
    let name = image.file_name().unwrap_or_default();
    plan.published.iter().any(|file| file.is_of_tree() && name == file.name.as_str())
}

pub(super) fn run(args: &BootArgs) -> anyhow::Result<Outcome> {
    let console = args.verbosity.console();
    let inside = args.inside.resolve(args.receipt)?;
    let template = match &args.template {
        Some(path) => Some(read_template(path).map_err(|failure| anyhow!("{failure}"))?),
        None => None,
    };
    let plan = plan_of_image(&args.image)?;
    let boot = || {
        let report = args.report.as_deref();
        boot_image(&args.image, &args.machine, inside, report, template.as_ref(), plan.as_ref(), &console)
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

/// A boot on its own is faster with two; of more, most wait.
fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2) as u32)
}

impl MachineArgs {
    fn accelerator(&self) -> Choice {
        let asked = |accelerator: Accelerator| Choice { accelerator, reason: "asked for".to_owned() };
        match self.accel {
            Accel::Auto => choose(),
            Accel::Kvm => asked(Accelerator::Kvm),
            Accel::Tcg => asked(Accelerator::Tcg),
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

/// How the disk is attached, and what it is started by: what was asked for, else what the plan has, else what the disk looks like.
struct Attachment {
    firmware: Firmware,
    /// The disk has boot code for this firmware too, and none was chosen.
    other: Option<Firmware>,
    sector_size: SectorSize,
}

impl Attachment {
    fn of(image: &Path, machine: &MachineArgs, plan: Option<&Plan>) -> Result<Attachment, Failure> {
        let asked = machine.firmware.map(|firmware| match firmware {
            FirmwareArg::Uefi => Firmware::Uefi,
            FirmwareArg::Bios => Firmware::Bios,
        });
        let chosen = asked.or(plan.and_then(|plan| Some(plan.boot.as_ref()?.firmware)));
        // A format that has one size of sectors is believed, whatever the table in it was made for: so do other machines.
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

/// Without those whose end date has passed.
fn still_allowed(notes: Vec<AllowedNote>, progress: &dyn Progress) -> Vec<AllowedNote> {
    let today = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let (over, allowed): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| note.is_over(&today[..10]));
    for note in over {
        progress.warn(format!("`{}` ({}) was allowed until {}", note.text, note.kind, note.until));
    }
    allowed
}

/// Boots an image on the machine that was asked for.
pub(super) fn boot_image(
    image: &Path,
    machine: &MachineArgs,
    inside: GuestOptions,
    report: Option<&Path>,
    template: Option<&SourceText>,
    plan: Option<&Plan>,
    console: &Console,
) -> Result<Verdict, Failure> {
    if !image.is_file() {
        let what = if image.exists() { "is no plain file" } else { "does not exist" };
        return Err(Failure::new(format!("there is no image to boot: `{}` {what}", image.display()))
            .help("build one: ister build"));
    }
    let looks = inside.login.is_some() || inside.healthy;
    if looks && plan.is_none() {
        let progress: &dyn Progress = console;
        progress.warn(format!("there is no plan beside `{}`: nothing is said of mounts", image.display()));
    }
    let Attachment { firmware, other, sector_size } = Attachment::of(image, machine, plan)?;
    if let Some(path) = inside.second_disk.as_ref().filter(|path| !path.is_file()) {
        return Err(Failure::new(format!("there is no second disk `{}`", path.display()))
            .help("make one: truncate -s 8G FILE"));
    }
    let second_disk = inside.second_disk.as_deref().map(std::path::absolute).transpose();
    let second_disk = second_disk.map_err(|error| Failure::new(error.to_string()))?;
    let own_kernel = match inside.own_kernel {
        true => Some(OwnKernel::of_image(image, &scratch_directory())?),
        false => None,
    };
    let direct = own_kernel.as_ref().map(OwnKernel::direct).or(inside.direct);
    let allowed = still_allowed(inside.allowed, console);
    let mut options = BootOptions {
        image,
        firmware,
        accelerator: machine.accelerator(),
        hardware: machine.hardware(),
        timeout: machine.timeout.map(Duration::from_secs),
        dwell: machine.dwell.map(Duration::from_secs),
        report,
        passphrases: inside.passphrases,
        login: inside.login,
        ssh: inside.ssh,
        commands: inside.commands,
        goal: inside.goal,
        network: inside.network,
        second_disk: second_disk.as_deref(),
        seed: inside.seed.as_deref(),
        credentials: inside.credentials,
        direct,
        again: inside.again,
        update: inside.update.as_deref(),
        grow: inside.grow,
        host: inside.host.as_deref(),
        healthy: inside.healthy,
        allowed: &allowed,
        // What is made of the root tree has no partitions.
        plan: plan.filter(|plan| !is_of_tree(plan, image)),
        template,
        sector_size,
    };
    let first = boot(&options, console)?;
    let Some(other) = other.filter(|_| is_not_for_firmware(&first)) else { return Ok(first) };
    let progress: &dyn Progress = console;
    progress.warn(format!(
        "{} with {} firmware; the disk has boot code for {other}, too: trying that",
        first.last.class, first.firmware
    ));
    options.firmware = other;
    let mut second = boot(&options, console)?;
    second.other_firmware =
        Some(OtherFirmware { firmware: first.firmware, class: first.last.class, stage: first.last.stage });
    Ok(second)
}

/// Whether an image came no further than a firmware that may be the wrong one.
fn is_not_for_firmware(verdict: &Verdict) -> bool {
    verdict.outcome == boot::Outcome::Failed && verdict.last.stage <= Stage::Loader
}

/// What an image has for each firmware: an error of its own where that cannot be told.
fn sector_size_of(image: &Path) -> Result<Option<SectorSize>, Failure> {
    let context = || format!("could not read the image `{}`", image.display());
    Ok(match File::open(image).and_then(|file| format::kind_of(&file)).context(context)? {
        format::Kind::Image(format) => format.sector_size(),
        format::Kind::Packed => None,
    })
}

fn look_at_disk(image: &Path) -> Result<Result<Guess, Failure>, Failure> {
    let opened = format::open(image, &scratch_directory()).map_err(|failure| {
        failure.context(format!("could not look into `{}` for the firmware that it is for", image.display()))
    })?;
    Ok(guess_firmware(&opened.file, image, opened.format.sector_size()))
}
