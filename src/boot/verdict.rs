//! What a boot came to.

mod class;

use super::accel::Accelerator;
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
    /// Seconds that it took until the next one, or until the end.
    pub took: f64,
}

/// Who started the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The firmware, by the image's loader.
    #[default]
    Firmware,
    /// QEMU: nothing is said of firmware and loader.
    Kernel,
    /// QEMU, in place of a network: there is no disk.
    Network,
}

/// What an attempt was judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Witnessed {
    #[default]
    Serial,
    /// The kernel said nothing on the serial console.
    Screen,
}

/// What a disk came to with another firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherFirmware {
    pub firmware: Firmware,
    pub class: Class,
    pub stage: Stage,
}

impl Verdict {
    /// For everybody: without directories of this host, and what the guest answered.
    pub fn public(mut self, image: &str) -> Verdict {
        self.image = image.into();
        (self.serial_log, self.screenshot) = (None, None);
        self.last.answers.clear();
        // How QEMU was called may be in what it said.
        for attempt in &mut self.earlier {
            attempt.lines.clear();
            attempt.answers.clear();
        }
        self
    }
}

/// What the getty behind a prompt answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Probed {
    /// It was not asked.
    #[default]
    Not,
    /// Nothing.
    Silent,
    /// A new prompt.
    Prompt,
    /// A new prompt, and a question for the password of a user that does not exist.
    Password,
}

/// Something on the console that is wrong in a system that may boot all the same.
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
    /// A program ended by a signal such as SIGSEGV.
    Crash,
    GettyRestarts,
    FailedUnit,
    OrderingCycle,
    DeviceTimeout,
    FailedGenerator,
    Clock,
    /// The guest reset the machine after it had reached its prompt.
    Reset,
    /// A line looked like an end, and the boot went on.
    NotTheEnd,
    /// The kernel's command line lacks words of the plan's: another loader entry, or one that a hook changed.
    NotThePlan,
    PossiblyRootFull,
    PossiblyRootReadOnly,
}

impl NoteKind {
    /// Whether a healthy system has none of these. The others are evidence of nothing by themselves.
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

/// The kernel that ran, by its own messages. With `quiet` on its command line it prints none.
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
    /// The furthest stage that was reached.
    pub stage: Stage,
    /// Where that was seen.
    #[serde(default)]
    pub witnessed: Witnessed,
    pub stages: Vec<StageTime>,
    /// Seconds from the start of QEMU to the end.
    pub seconds: f64,
    /// Seconds of `seconds` in which a prompt was watched and answered.
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
    /// What commands in the guest said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// The second boot of the same disk, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    /// What an update did, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
}

/// What came after the first prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Again {
    /// Seconds from the power button to the end.
    pub power_off: f64,
    pub stages: Vec<StageTime>,
    /// Seconds to the second prompt.
    pub seconds: f64,
}

/// `ister boot --format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verdict {
    pub version: u32,
    pub image: PathBuf,
    pub outcome: Outcome,
    pub firmware: Firmware,
    /// The firmware that was tried before, where the disk has what both need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_firmware: Option<OtherFirmware>,
    pub accelerator: Accelerator,
    pub accelerator_reason: String,
    pub hardware: Hardware,
    #[serde(default)]
    pub start: Start,
    /// What the guest had besides the image: "seed", "credential ssh.authorized_keys.root".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// The last attempt, which decides.
    #[serde(flatten)]
    pub last: Attempt,
    /// Earlier ones, that failed by the host's fault.
    pub earlier: Vec<Attempt>,
    pub advice: Option<String>,
    /// Lines of the template that have to do with it: "kvm.json:12:5: `Bundles`".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub look_at: Vec<String>,
    pub serial_log: Option<PathBuf>,
    pub screenshot: Option<PathBuf>,
}
