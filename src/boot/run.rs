//! Boots an image, repeats attempts that failed because of the host, and creates the verdict.

use super::accel::{Accelerator, Choice};
use super::attach::{Attached, attach};
use super::attempt::attempt;
use super::checks::Checks;
use super::cloud::{Cloud, CloudFault};
use super::health::AllowedNote;
use super::machine::{DirectKernel, Hardware, Network};
use super::monitor::{Goal, Limits, Probe};
use super::session::Login;
use super::ssh::Ssh;
use super::template_lines::lines_to_look_at;
use super::verdict::{Class, Outcome, Start, Verdict};
use crate::host::{Context, Failure, Progress};
use crate::plan::layout::SectorSize;
use crate::plan::{Firmware, Plan};
use crate::template::{Bytes, Secret, SourceText, parse};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What to boot, and how.
pub struct BootOptions<'a> {
    pub image: &'a Path,
    pub firmware: Firmware,
    pub accelerator: Choice,
    pub hardware: Hardware,
    /// The total timeout. By default it depends on the accelerator.
    pub timeout: Option<Duration>,
    /// How long a prompt has to remain. By default this depends on the accelerator.
    pub dwell: Option<Duration>,
    /// The directory for the serial log and the screenshot.
    pub report: Option<&'a Path>,
    /// Passphrases of encrypted volumes, by mapping name.
    pub passphrases: BTreeMap<String, Secret>,
    /// The user who logs in at the prompt.
    pub login: Option<Login>,
    /// The user who logs in over ssh. The commands then run there.
    pub ssh: Option<Ssh>,
    /// Commands to run after the login.
    pub commands: Vec<String>,
    pub goal: Goal,
    pub network: Network,
    /// A second disk, which the guest may write to.
    pub second_disk: Option<&'a Path>,
    /// A raw image with the instance's settings.
    pub seed: Option<&'a Path>,
    /// systemd credentials.
    pub credentials: Vec<(String, Secret)>,
    pub direct: Option<DirectKernel>,
    /// The host name that the prompt must show.
    pub host: Option<&'a str>,
    /// After a login nothing may have failed, and the mounts must match the plan.
    pub healthy: bool,
    /// Health notes that are not failures.
    pub allowed: &'a [AllowedNote],
    /// After the prompt, power off and boot again.
    pub again: bool,
    /// Checks in the guest.
    pub checks: &'a Checks,
    /// The cloud that the machine looks like.
    pub cloud: Option<Cloud>,
    pub cloud_fault: Option<CloudFault>,
    /// A directory of newer packages to install. Then the new kernel is booted and the old one removed.
    pub update: Option<&'a Path>,
    /// By how much the disk is larger than the image. The root filesystem has to fill it.
    pub grow: Option<Bytes>,
    /// The logical sector size of the disk.
    pub sector_size: SectorSize,
    /// The template of the image, if it is known.
    pub template: Option<&'a SourceText>,
    /// The plan to compare the guest's mounts with after a login.
    pub plan: Option<&'a Plan>,
}

/// How often an attempt that failed because of the host is repeated.
const RETRIES: usize = 2;

impl BootOptions<'_> {
    /// TCG needs about ten times the CPU time of KVM, but with both, half of the boot time is spent waiting.
    pub fn limits(&self) -> Limits {
        // systemd waits 90 s for a device or a service, and prints nothing if the kernel runs with `quiet`.
        let (silence, total, dwell) = match self.accelerator.accelerator {
            Accelerator::Kvm => (120, 300, 2),
            Accelerator::Tcg => (150, 600, 5),
        };
        let total = self.timeout.unwrap_or(Duration::from_secs(total));
        Limits {
            silence: Duration::from_secs(silence).min(total),
            total,
            goal: self.goal,
            dwell: self.dwell.unwrap_or(Duration::from_secs(dwell)),
            probe: if self.login.is_some() { Probe::Prompt } else { Probe::Password },
        }
    }

    /// What the guest is given besides the image.
    fn given(&self) -> Vec<String> {
        let is = |given: bool, name: &str| given.then(|| name.to_owned());
        [
            is(self.seed.is_some(), "seed"),
            is(self.second_disk.is_some(), "second disk"),
            is(self.network == Network::Host, "host network"),
            is(self.update.is_some(), "update packages"),
            is(self.grow.is_some(), "larger disk"),
            self.cloud.map(|cloud| format!("cloud {}", cloud.name())),
        ]
        .into_iter()
        .flatten()
        .chain(self.credentials.iter().map(|(name, _)| format!("credential {name}")))
        .chain(self.passphrases.keys().map(|volume| format!("passphrase of {volume}")))
        .collect()
    }
}

pub(super) const SERIAL_LOG: &str = "serial.log";

/// The log of an attempt that failed because of the host, counted from 1.
fn earlier_log(number: usize) -> String {
    format!("serial-{number}.log")
}

/// The machine's memory, and the image's requirement if it is known.
fn memory(mebibytes: u32, attached: &Attached) -> String {
    let had = format!("the machine had {mebibytes} MiB");
    match attached.memory_for_unpacking() {
        Some(need) => format!("{had}, but unpacking the initramfs alone needs {}", Bytes(need)),
        None => had,
    }
}

/// Boots an image until the outcome is certain.
pub fn boot(options: &BootOptions, progress: &dyn Progress) -> Result<Verdict, Failure> {
    let attached = attach(options.image)?;
    let hardware = options.hardware.under(options.accelerator.accelerator);
    if hardware != options.hardware {
        progress.warn("Hyper-V enlightenments require KVM: booting without them".to_owned());
    }
    if let Some(directory) = options.report {
        std::fs::create_dir_all(directory)
            .context(|| format!("could not create the directory `{}`", directory.display()))?;
        // Files of an earlier boot could be mistaken for those of this one.
        let logs = (1..=RETRIES).map(earlier_log);
        for name in [SERIAL_LOG, "screen.png", "verdict.json"].map(str::to_owned).into_iter().chain(logs) {
            let _ = std::fs::remove_file(directory.join(name));
        }
    }
    // A second disk has been modified by the first attempt.
    let retries = if options.second_disk.is_some() { 0 } else { RETRIES };
    let mut earlier = Vec::new();
    let last = loop {
        let attempt = attempt(options, &attached, progress)?;
        if attempt.class.is_infrastructure() && earlier.len() < retries {
            progress.warn(format!(
                "{} at stage {}, caused by the host and not by the image; trying again",
                attempt.class, attempt.stage
            ));
            earlier.push(attempt);
            if let Some(directory) = options.report {
                // There is no log if the attempt failed before QEMU started.
                let _ =
                    std::fs::rename(directory.join(SERIAL_LOG), directory.join(earlier_log(earlier.len())));
            }
            continue;
        }
        break attempt;
    };
    let in_report =
        |name: &str| options.report.map(|directory| directory.join(name)).filter(|path| path.exists());
    // All other options need a login prompt.
    let is_plain = options.login.is_none()
        && options.ssh.is_none()
        && options.host.is_none()
        && options.cloud.is_none()
        && !options.again;
    let is_reached = options.goal.is_reached(last.class, last.probed)
        && (is_plain || !matches!(last.class, Class::AutoLogin | Class::WindowsConsole));
    let verdict = Verdict {
        version: 1,
        image: options.image.to_owned(),
        outcome: match last.class {
            _ if is_reached => Outcome::Reached,
            class if class.is_infrastructure() => Outcome::Infrastructure,
            _ => Outcome::Failed,
        },
        firmware: options.firmware,
        other_firmware: None,
        accelerator: options.accelerator.accelerator,
        accelerator_reason: options.accelerator.reason.clone(),
        hardware,
        start: match attached {
            _ if options.direct.is_some() => Start::Kernel,
            Attached::Network(_) => Start::Network,
            _ => Start::Firmware,
        },
        given: options.given(),
        look_at: match options.template {
            Some(source) if !is_reached => lines_to_look_at(last.class, source, &parse(source).1),
            _ => Vec::new(),
        },
        advice: last.class.advice().filter(|_| !is_reached || last.class != Class::LoginPrompt).map(
            |advice| match last.class {
                Class::TooLittleMemory => format!("{}; {advice}", memory(hardware.memory, &attached)),
                _ => advice.to_owned(),
            },
        ),
        last,
        earlier,
        serial_log: in_report(SERIAL_LOG),
        screenshot: in_report("screen.png"),
    };
    if let Some(directory) = options.report {
        let path = directory.join("verdict.json");
        let text = serde_json::to_string_pretty(&verdict).expect("a verdict can be serialized") + "\n";
        std::fs::write(&path, text).context(|| format!("could not write `{}`", path.display()))?;
    }
    Ok(verdict)
}
