//! What is to be booted, how often that is tried, and what it came to.

use super::accel::{Accelerator, Choice};
use super::attach::{Attached, attach};
use super::attempt::attempt;
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
    /// The hard cap; nothing means the default for the accelerator.
    pub timeout: Option<Duration>,
    /// How long a prompt has to stand; nothing means the default for the accelerator.
    pub dwell: Option<Duration>,
    /// Where serial log and screenshot go.
    pub report: Option<&'a Path>,
    /// What opens encrypted volumes, by the name of the mapping.
    pub passphrases: BTreeMap<String, Secret>,
    /// Who logs in at the prompt.
    pub login: Option<Login>,
    /// Who connects over ssh; commands then run there.
    pub ssh: Option<Ssh>,
    /// What is run then.
    pub commands: Vec<String>,
    pub goal: Goal,
    pub network: Network,
    /// A second disk, which the guest may write to.
    pub second_disk: Option<&'a Path>,
    /// Settings for the instance, a raw image.
    pub seed: Option<&'a Path>,
    /// systemd's credentials.
    pub credentials: Vec<(String, Secret)>,
    pub direct: Option<DirectKernel>,
    /// The host name that the prompt must have.
    pub host: Option<&'a str>,
    /// Whoever logs in finds a system in which nothing failed, and the plan's mounts.
    pub healthy: bool,
    /// Health notes that are no failure all the same.
    pub allowed: &'a [AllowedNote],
    /// After the prompt: the power button, and once more.
    pub again: bool,
    /// A directory of newer packages: they are installed, the new kernel is started, the old one removed.
    pub update: Option<&'a Path>,
    /// By how much the disk is larger than the image; the root filesystem has to fill it.
    pub grow: Option<Bytes>,
    /// What the disk says of its logical blocks.
    pub sector_size: SectorSize,
    /// What it was built from, if that is known.
    pub template: Option<&'a SourceText>,
    /// Held against the guest's mounts, if somebody logs in.
    pub plan: Option<&'a Plan>,
}

/// Runs that fail by the host's fault are repeated this often.
const RETRIES: usize = 2;

impl BootOptions<'_> {
    /// TCG needs about ten times the CPU time of KVM; half of that is waiting in both.
    pub fn limits(&self) -> Limits {
        // systemd waits 90 s for a device or a service, and prints nothing where the kernel was told to be quiet.
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

    /// What the guest has besides the image, by name.
    fn given(&self) -> Vec<String> {
        let is = |given: bool, name: &str| given.then(|| name.to_owned());
        [
            is(self.seed.is_some(), "seed"),
            is(self.second_disk.is_some(), "second disk"),
            is(self.network == Network::Host, "network of the host"),
            is(self.update.is_some(), "packages for an update"),
            is(self.grow.is_some(), "larger disk"),
        ]
        .into_iter()
        .flatten()
        .chain(self.credentials.iter().map(|(name, _)| format!("credential {name}")))
        .chain(self.passphrases.keys().map(|volume| format!("passphrase of {volume}")))
        .collect()
    }
}

pub(super) const SERIAL_LOG: &str = "serial.log";

/// Of an attempt that failed by the host's fault: the first is 1.
fn earlier_log(number: usize) -> String {
    format!("serial-{number}.log")
}

/// What the machine had, and what the image is known to need.
fn memory(mebibytes: u32, attached: &Attached) -> String {
    let had = format!("the machine had {mebibytes} MiB");
    match attached.memory_for_unpacking() {
        Some(need) => format!("{had}, unpacking the initramfs alone takes {}", Bytes(need)),
        None => had,
    }
}

/// Boots an image until it is clear how that ends.
pub fn boot(options: &BootOptions, progress: &dyn Progress) -> Result<Verdict, Failure> {
    let attached = attach(options.image)?;
    let hardware = options.hardware.under(options.accelerator.accelerator);
    if hardware != options.hardware {
        progress.warn("only KVM tells a guest what Hyper-V does: it boots without that".to_owned());
    }
    if let Some(directory) = options.report {
        std::fs::create_dir_all(directory)
            .context(|| format!("could not create the directory `{}`", directory.display()))?;
        // Of an earlier boot: they would be taken for this one's.
        let logs = (1..=RETRIES).map(earlier_log);
        for name in [SERIAL_LOG, "screen.png", "verdict.json"].map(str::to_owned).into_iter().chain(logs) {
            let _ = std::fs::remove_file(directory.join(name));
        }
    }
    // A second disk is no longer what it was.
    let retries = if options.second_disk.is_some() { 0 } else { RETRIES };
    let mut earlier = Vec::new();
    let last = loop {
        let attempt = attempt(options, &attached, progress)?;
        if attempt.class.is_infrastructure() && earlier.len() < retries {
            progress.warn(format!(
                "{} at stage {}, not the image's fault; trying again",
                attempt.class, attempt.stage
            ));
            earlier.push(attempt);
            if let Some(directory) = options.report {
                // There is none where it did not begin.
                let _ =
                    std::fs::rename(directory.join(SERIAL_LOG), directory.join(earlier_log(earlier.len())));
            }
            continue;
        }
        break attempt;
    };
    let kept = |name: &str| options.report.map(|directory| directory.join(name)).filter(|path| path.exists());
    // Whatever else was asked for needs a login prompt.
    let is_plain =
        options.login.is_none() && options.ssh.is_none() && options.host.is_none() && !options.again;
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
            Attached::Network(_) => Start::Network,
            _ if options.direct.is_some() => Start::Kernel,
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
        serial_log: kept(SERIAL_LOG),
        screenshot: kept("screen.png"),
    };
    if let Some(directory) = options.report {
        let path = directory.join("verdict.json");
        let text = serde_json::to_string_pretty(&verdict).expect("a verdict is plain data") + "\n";
        std::fs::write(&path, text).context(|| format!("could not write `{}`", path.display()))?;
    }
    Ok(verdict)
}
