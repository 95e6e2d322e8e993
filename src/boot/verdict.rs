//! The verdict of a boot.

mod class;

use super::accel::Accelerator;
use super::checks::CheckResult;
use super::cloud::CloudRequest;
use super::machine::Hardware;
use super::session::Answer;
use super::update::Update;
use crate::plan::Firmware;
pub use class::Class;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Firmware,
    Loader,
    Kernel,
    Initramfs,
    Init,
    Login,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Firmware => "firmware",
            Stage::Loader => "loader",
            Stage::Kernel => "kernel",
            Stage::Initramfs => "initramfs",
            Stage::Init => "init",
            Stage::Login => "login",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Reached,
    Failed,
    Infrastructure,
}

/// When a stage was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StageTime {
    pub stage: Stage,
    /// Seconds from the start of QEMU.
    pub at: f64,
    /// Seconds until the next stage, or until the end.
    pub took: f64,
}

/// What started the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The firmware and the image's boot loader.
    #[default]
    Firmware,
    /// QEMU directly. Firmware and boot loader are not tested.
    Kernel,
    /// The firmware from the network. There is no disk.
    Network,
}

/// The console that an attempt was judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Witnessed {
    #[default]
    Serial,
    /// The kernel printed nothing to the serial console.
    Screen,
}

/// The result of the same disk with another firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherFirmware {
    pub firmware: Firmware,
    pub class: Class,
    pub stage: Stage,
}

impl Verdict {
    /// The verdict for publication, without paths of this host and output of the guest.
    pub fn public(mut self, image: &str) -> Verdict {
        self.image = image.into();
        (self.serial_log, self.screenshot) = (None, None);
        self.last.answers.clear();
        // The output of QEMU may contain its command line.
        for attempt in &mut self.earlier {
            attempt.lines.clear();
            attempt.answers.clear();
        }
        self
    }
}

/// How the getty responded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Probed {
    /// It was not tested.
    #[default]
    Not,
    /// It did not respond.
    Silent,
    /// It printed a new prompt.
    Prompt,
    /// It printed a new prompt, and a password prompt for a user that does not exist.
    Password,
}

/// A problem on the console of a system that may boot nevertheless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Note {
    pub kind: NoteKind,
    pub line: String,
    /// Seconds from the start of QEMU.
    pub at: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    KernelOops,
    KernelWarning,
    IoError,
    OutOfMemory,
    HungTask,
    /// A program was terminated by a signal such as SIGSEGV.
    Crash,
    GettyRestarts,
    FailedUnit,
    OrderingCycle,
    DeviceTimeout,
    FailedGenerator,
    Clock,
    /// The guest reset the machine after it had reached its prompt.
    Reset,
    /// A line looked like the end of the boot, but the boot continued.
    NotTheEnd,
    /// The kernel's command line lacks options of the plan: another loader entry was booted, or a hook changed it.
    NotThePlan,
    PossiblyRootFull,
    PossiblyRootReadOnly,
}

impl NoteKind {
    /// Whether the note is a failure in a healthy system. The others prove nothing by themselves.
    pub fn is_fault(self) -> bool {
        !matches!(
            self,
            NoteKind::NotTheEnd
                | NoteKind::NotThePlan
                | NoteKind::PossiblyRootFull
                | NoteKind::PossiblyRootReadOnly
        )
    }
}

impl fmt::Display for NoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NoteKind::KernelOops => "kernel-oops",
            NoteKind::KernelWarning => "kernel-warning",
            NoteKind::IoError => "io-error",
            NoteKind::OutOfMemory => "out-of-memory",
            NoteKind::HungTask => "hung-task",
            NoteKind::Crash => "crash",
            NoteKind::GettyRestarts => "getty-restarts",
            NoteKind::FailedUnit => "failed-unit",
            NoteKind::OrderingCycle => "ordering-cycle",
            NoteKind::DeviceTimeout => "device-timeout",
            NoteKind::FailedGenerator => "failed-generator",
            NoteKind::Clock => "clock",
            NoteKind::Reset => "reset",
            NoteKind::NotTheEnd => "not-the-end",
            NoteKind::NotThePlan => "not-the-plan",
            NoteKind::PossiblyRootFull => "possibly-root-full",
            NoteKind::PossiblyRootReadOnly => "possibly-root-read-only",
        })
    }
}

/// The running kernel, according to its own messages. With `quiet` on its command line it prints none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
}

/// One run of QEMU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Attempt {
    pub class: Class,
    /// The last stage that was reached.
    pub stage: Stage,
    /// The console that the decision is based on.
    #[serde(default)]
    pub witnessed: Witnessed,
    pub stages: Vec<StageTime>,
    /// Seconds from the start of QEMU to the end.
    pub seconds: f64,
    /// The part of `seconds` in which a prompt was watched and tested.
    #[serde(default)]
    pub dwelled: f64,
    #[serde(default)]
    pub probed: Probed,
    /// The lines of the console that prove the class.
    pub lines: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    #[serde(default)]
    pub kernel: KernelFacts,
    /// Commands in the guest with their output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// The results of checks in the guest, if requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// The requests to the metadata service of a cloud.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cloud_requests: Vec<CloudRequest>,
    /// The second boot of the same disk, if requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    /// The result of an update, if requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
}

/// The second boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Again {
    /// Seconds from the press of the power button to the end.
    pub power_off: f64,
    pub stages: Vec<StageTime>,
    /// Seconds to the second prompt.
    pub seconds: f64,
}

/// The output of `ister boot --format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verdict {
    pub version: u32,
    pub image: PathBuf,
    pub outcome: Outcome,
    pub firmware: Firmware,
    /// The result with the firmware that was tried first, if the disk supports both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_firmware: Option<OtherFirmware>,
    pub accelerator: Accelerator,
    pub accelerator_reason: String,
    pub hardware: Hardware,
    #[serde(default)]
    pub start: Start,
    /// What the guest was given besides the image, such as "seed" or "credential ssh.authorized_keys.root".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// The last attempt, which decides.
    #[serde(flatten)]
    pub last: Attempt,
    /// Earlier attempts that failed because of the host.
    pub earlier: Vec<Attempt>,
    pub advice: Option<String>,
    /// Related lines of the template, such as "kvm.json:12:5: `Bundles`".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub look_at: Vec<String>,
    pub serial_log: Option<PathBuf>,
    pub screenshot: Option<PathBuf>,
}
