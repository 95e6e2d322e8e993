//! What a boot came to.

use super::accel::Accelerator;
use super::machine::Hardware;
use super::session::Answer;
use crate::plan::Firmware;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A getty asks for a login: the good end, unless the guest is to switch itself off.
    LoginPrompt,
    NoBootableDevice,
    GrubShell,
    /// The loader is there, what it should load is not.
    LoaderFailed,
    KernelPanic,
    InitramfsShell,
    EmergencyShell,
    /// The root filesystem has nothing that could be started.
    NoInit,
    /// A filesystem is damaged, and fsck does not repair it by itself.
    FsckFailed,
    /// A filesystem that has to be mounted cannot be, or its device does not come.
    MountFailed,
    /// Everything that was to be started has been, and nobody asks for a login on the serial console.
    NoGetty,
    /// It reached its prompt with a root filesystem that nothing can be written to, though that was planned.
    RootReadOnly,
    /// It reached its prompt, but its disk was full.
    RootFull,
    /// An encrypted volume wants a passphrase that nobody gave.
    PassphraseWanted,
    /// The passphrase that was given does not open it.
    PassphraseRefused,
    /// The login prompt came, but nobody could log in, or a command did not end.
    LoginFailed,
    /// The login prompt came, but not the user over ssh.
    SshFailed,
    /// The prompt has another host name than the instance was given.
    WrongHost,
    /// Units failed.
    Degraded,
    /// The guest's mounts are not the planned ones.
    WrongMounts,
    ResetLoop,
    PoweredOff,
    /// It reached its prompt, and did not switch itself off when it was told to.
    NoPowerOff,
    /// Nothing moved any more.
    NoProgress,
    /// It still moved, but did not arrive in time.
    TooSlow,
    /// The emulator stalled the guest's CPUs: says nothing about the image.
    EmulatorStall,
    /// QEMU itself did not run to the end.
    EmulatorFailed,
}

impl Class {
    /// Faults of the host, not of the image.
    pub fn is_infrastructure(self) -> bool {
        matches!(self, Class::EmulatorStall | Class::EmulatorFailed)
    }

    /// Where to look, in the template's words.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Class::LoginPrompt => return None,
            Class::NoBootableDevice => {
                "the firmware found nothing to start: UEFI needs EFI/BOOT/BOOTX64.EFI on a partition of type EFI that is \
                 mounted at /boot; BIOS needs `LegacyBios`: true"
            }
            Class::GrubShell => {
                "GRUB did not find its configuration: the partition with /boot must be readable for GRUB (`options` in \
                 FilesystemTypes) and hold /boot/grub/grub.cfg"
            }
            Class::LoaderFailed => {
                "the boot loader did not find a kernel, an initramfs or an entry in loader/entries: look at what hooks \
                 (PostNonChroot) do there, and at `Bundles` for a kernel"
            }
            Class::KernelPanic => "look at `cmdline` (root=, init=) and at the kernel bundle in `Bundles`",
            Class::InitramfsShell => {
                "the root filesystem was not found or could not be mounted: look at `cmdline` (root=), at the filesystem \
                 mounted at `/`, and whether the kernel bundle knows this disk"
            }
            Class::EmergencyShell => {
                "a mount or a unit failed: look at PartitionMountPoints, FilesystemTypes and what hooks changed"
            }
            Class::NoInit => {
                "the root filesystem has no /sbin/init: look at `Bundles` for os-core, at `cmdline` (init=), and at what hooks \
                 remove"
            }
            Class::FsckFailed => {
                "a filesystem is damaged: look at FilesystemTypes, at what wrote to the image after it was built, and at the disk"
            }
            Class::MountFailed => {
                "look at PartitionMountPoints, at mount units, and at what hooks write into /etc/fstab"
            }
            Class::NoGetty => {
                "the system is up, without a getty on the serial console: does `cmdline` name console=ttyS0, and did a hook mask \
                 serial-getty?"
            }
            Class::RootReadOnly => "look at `cmdline` (ro) and at what hooks write into /etc/fstab",
            Class::RootFull => {
                "give the partition mounted at `/` more in PartitionLayout, or take from `Bundles`"
            }
            Class::PassphraseWanted => "give the passphrase: --unlock NAME=env:VARIABLE or NAME=file:PATH",
            Class::PassphraseRefused => {
                "the passphrase that was given is not that of `encryption` in FilesystemTypes"
            }
            Class::LoginFailed => "look at `Users` (password), and whether the user has a shell",
            Class::SshFailed => {
                "look at `Users` (key), at `Bundles` for an ssh server, and whether the network comes up"
            }
            Class::WrongHost => {
                "the instance did not take its name from the seed: look at `Bundles` for cloud-init, and at `Hostname`"
            }
            Class::Degraded => "units failed, see the lines: look at `Bundles`, and at what hooks enable",
            Class::WrongMounts => {
                "look at PartitionMountPoints, at mount units, and at what hooks change in /etc/fstab"
            }
            Class::ResetLoop => {
                "the machine resets again and again: look at the kernel bundle and at `cmdline` (panic=)"
            }
            Class::NoPowerOff => {
                "the power button did nothing, or a unit does not stop: look at services that hooks add, and for \
                 systemd-logind"
            }
            Class::PoweredOff => "the guest switched itself off before the login prompt",
            Class::NoProgress => {
                "nothing was heard any more: does `cmdline` name console=ttyS0, so that a prompt can appear on the \
                 serial console?"
            }
            Class::TooSlow => "allow more time with --timeout, or look what it waits for",
            Class::EmulatorStall => "the host's fault, not the image's: try again",
            Class::EmulatorFailed => "QEMU failed: its message is above",
        })
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::LoginPrompt => "login-prompt",
            Class::NoBootableDevice => "no-bootable-device",
            Class::GrubShell => "grub-shell",
            Class::LoaderFailed => "loader-failed",
            Class::KernelPanic => "kernel-panic",
            Class::InitramfsShell => "initramfs-shell",
            Class::EmergencyShell => "emergency-shell",
            Class::NoInit => "no-init",
            Class::FsckFailed => "fsck-failed",
            Class::MountFailed => "mount-failed",
            Class::NoGetty => "no-getty",
            Class::RootReadOnly => "root-read-only",
            Class::RootFull => "root-full",
            Class::PassphraseWanted => "passphrase-wanted",
            Class::PassphraseRefused => "passphrase-refused",
            Class::LoginFailed => "login-failed",
            Class::SshFailed => "ssh-failed",
            Class::WrongHost => "wrong-host",
            Class::Degraded => "degraded",
            Class::WrongMounts => "wrong-mounts",
            Class::ResetLoop => "reset-loop",
            Class::PoweredOff => "powered-off",
            Class::NoPowerOff => "no-power-off",
            Class::NoProgress => "no-progress",
            Class::TooSlow => "too-slow",
            Class::EmulatorStall => "emulator-stall",
            Class::EmulatorFailed => "emulator-failed",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Reached,
    Failed,
    Infrastructure,
}

/// When a stage was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    pub stage: Stage,
    /// Seconds from the start of QEMU.
    pub at: f64,
    /// Seconds that it took until the next one, or until the end.
    pub took: f64,
}

/// Who started the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[serde(rename_all = "kebab-case")]
pub enum Witnessed {
    #[default]
    Serial,
    /// The kernel said nothing on the serial console.
    Screen,
}

impl Verdict {
    /// For everybody: without folders of this host, and what the guest answered.
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

/// One run of QEMU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The lines of the console that prove the class.
    pub lines: Vec<String>,
    /// What commands in the guest said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// The second boot of the same disk, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
}

/// What came after the first prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Again {
    /// Seconds from the power button to the end.
    pub power_off: f64,
    pub stages: Vec<StageTime>,
    /// Seconds to the second prompt.
    pub seconds: f64,
}

/// `ister boot --format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub version: u32,
    pub image: PathBuf,
    pub outcome: Outcome,
    pub firmware: Firmware,
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
