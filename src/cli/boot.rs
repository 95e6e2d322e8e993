//! `ister boot`

use super::build::Format;
use super::console::{Console, print};
use super::input::print_json;
use super::run::{Outcome, TalkArgs};
use crate::plan::{Firmware, Plan};
use crate::report::verdict_human;
use crate::tool::Failure;
use crate::vm::{self, Accelerator, BootOrder, Choice, DiskBus, Verdict, boot, choose, guess_firmware};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Boot an image in QEMU until its login prompt, or until it is clear why it will not come
///
/// The image is not changed. Exit code 0: a getty asks for a login on the serial console; 1: it does not, and the
/// verdict says at which stage, why, and what to look at; 3: QEMU or the host failed.
///
/// Example: ister boot out/kvm.img --report out/report
#[derive(Args, Debug)]
pub struct BootArgs {
    /// The image, raw or qcow2
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// Keep serial log, screenshot (PNG) and verdict in this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    /// How the verdict is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    talk: TalkArgs,

    // Last, since its heading holds for all that follows.
    #[command(flatten)]
    machine: MachineArgs,
}

/// The virtual machine.
#[derive(Args, Debug)]
#[command(next_help_heading = "Virtual machine")]
pub struct MachineArgs {
    /// The firmware [default: what the plan beside the image says, else what the image looks like]
    #[arg(long, value_enum)]
    firmware: Option<FirmwareArg>,

    /// The accelerator; `auto` looks which one really works
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    accel: Accel,

    /// How the image is attached
    #[arg(long, value_enum, default_value_t = DiskBus::VirtioBlk)]
    disk: DiskBus,

    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    memory: u32,

    /// Virtual CPUs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: u32,

    /// The most seconds a boot may take [default: 120 with KVM, 600 with TCG]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
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

pub fn run(args: &BootArgs) -> anyhow::Result<Outcome> {
    let console = args.talk.console();
    let verdict = boot_image(&args.image, &args.machine, args.report.as_deref(), &console);
    console.finish();
    let verdict = verdict?;
    match args.format {
        Format::Json => print_json(&serde_json::to_value(&verdict)?),
        Format::Human => print(&verdict_human(&verdict)),
    }
    Ok(outcome(&verdict))
}

pub fn outcome(verdict: &Verdict) -> Outcome {
    match verdict.outcome {
        vm::Outcome::Reached => Outcome::Fine,
        vm::Outcome::Failed => Outcome::Findings,
        vm::Outcome::Infrastructure => Outcome::Environment,
    }
}

/// Boots an image on the machine that was asked for.
pub fn boot_image(
    image: &Path,
    machine: &MachineArgs,
    report: Option<&Path>,
    console: &Console,
) -> Result<Verdict, Failure> {
    if !image.is_file() {
        let what = if image.exists() { "is no plain file" } else { "does not exist" };
        return Err(Failure::new(format!("there is no image to boot: `{}` {what}", image.display()))
            .help("build one: ister build"));
    }
    let firmware = match machine.firmware {
        Some(FirmwareArg::Uefi) => Firmware::Uefi,
        Some(FirmwareArg::Bios) => Firmware::Bios,
        None => match planned_firmware(image) {
            Some(firmware) => firmware,
            None => guess_firmware(image)?,
        },
    };
    let asked = |accelerator: Accelerator| Choice { accelerator, reason: "asked for".to_owned() };
    let order = BootOrder {
        image,
        firmware,
        accelerator: match machine.accel {
            Accel::Auto => choose(),
            Accel::Kvm => asked(Accelerator::Kvm),
            Accel::Tcg => asked(Accelerator::Tcg),
        },
        bus: machine.disk,
        memory: machine.memory,
        cpus: machine.cpus,
        timeout: machine.timeout.map(Duration::from_secs),
        report,
    };
    boot(&order, console)
}

/// From `<image>.plan.json`.
fn planned_firmware(image: &Path) -> Option<Firmware> {
    let mut path = image.as_os_str().to_owned();
    path.push(".plan.json");
    let plan: Plan = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    plan.boot.map(|boot| boot.firmware)
}
