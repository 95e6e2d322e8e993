//! Classes of verdicts, and what to do about each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A getty asks for a login: the good end, unless the guest is to switch itself off.
    LoginPrompt,
    NoBootableDevice,
    GrubShell,
    /// The loader is there, what it should load is not.
    LoaderFailed,
    KernelPanic,
    /// What was to be unpacked or started did not fit into the machine's memory.
    TooLittleMemory,
    InitramfsShell,
    EmergencyShell,
    /// The root filesystem has nothing that could be started.
    NoInit,
    /// A filesystem is damaged, and fsck does not repair it by itself.
    FsckFailed,
    /// A filesystem that has to be mounted cannot be, or its device does not come.
    MountFailed,
    /// All units are started, and no login prompt appears on the serial console.
    NoGetty,
    /// The boot loader waits for somebody: a menu, a user name, a key.
    LoaderWaits,
    /// Secure Boot refused a loader or a kernel.
    SecureBootRefused,
    /// The firmware itself ended in an exception.
    FirmwareCrashed,
    /// A shell runs where an init system should.
    ShellInsteadOfInit,
    /// Process 1 froze or ended.
    InitCrashed,
    /// Somebody is logged in on the console without a password.
    AutoLogin,
    /// The console of Windows Server (SAC).
    WindowsConsole,
    /// A login prompt appeared, and nothing answers there.
    GettyCrashed,
    /// The getty answers, and `login` does not ask for a password.
    LoginBroken,
    /// It reached its prompt with a root filesystem that nothing can be written to, though that was planned.
    RootReadOnly,
    /// It reached its prompt, but its disk was full.
    RootFull,
    /// The passphrase of an encrypted volume is missing.
    PassphraseWanted,
    /// The passphrase that was given does not open it.
    PassphraseRefused,
    /// The login prompt appeared, but the login failed, or a command did not end.
    LoginFailed,
    /// The login prompt came, but not the user over ssh.
    SshFailed,
    /// The prompt has another host name than the instance was given.
    WrongHost,
    /// Units failed.
    Degraded,
    /// The guest's mounts are not the planned ones.
    WrongMounts,
    /// Name, addresses, routes or name servers are not the planned ones.
    WrongNetwork,
    ResetLoop,
    PoweredOff,
    /// It reached its prompt, and did not switch itself off when it was told to.
    NoPowerOff,
    /// Packages were to be upgraded, and the new kernel was not installed, offered or started.
    UpdateFailed,
    /// The root filesystem is as large as the image's on a larger disk.
    NotGrown,
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
    #[allow(clippy::too_many_lines, reason = "a table")]
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
            Class::TooLittleMemory => {
                "give the machine more (--memory): a kernel needs room for the packed initramfs and for what is in it at once, a live system \
                 for what it writes besides"
            }
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
            Class::LoaderWaits => {
                "the boot loader waits for a key or a password: set a timeout in its configuration (`timeout` in \
                 loader.conf, GRUB_TIMEOUT), and look at what hooks change there"
            }
            Class::SecureBootRefused => {
                "Secure Boot is on and the next stage is not signed by a key that this firmware has"
            }
            Class::FirmwareCrashed => {
                "the firmware or an EFI program crashed: look at what lies under EFI/ on the EFI system partition"
            }
            Class::ShellInsteadOfInit => "a shell runs as process 1: look at `cmdline` (init=)",
            Class::InitCrashed => {
                "the init system gave up: look at the lines above, at `Bundles`, and at what hooks change under /etc/systemd"
            }
            Class::AutoLogin => {
                "the console logs somebody in without a password: look at what hooks write for serial-getty (--autologin)"
            }
            Class::WindowsConsole => "the Special Administration Console has no login prompt",
            Class::GettyCrashed => {
                "a login prompt appeared and nothing answered Enter: does the getty run on, and is it on this console?"
            }
            Class::LoginBroken => {
                "the getty answers, but no password question follows a user name: look at /bin/login, at PAM (/etc/pam.d), and \
                 at what hooks remove"
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
            Class::WrongNetwork => {
                "look at Static_IP and Hostname, at `Bundles` for another network manager, and at what hooks change in \
                 /etc/systemd/network"
            }
            Class::ResetLoop => {
                "the machine resets again and again: look at the kernel bundle and at `cmdline` (panic=)"
            }
            Class::NoPowerOff => {
                "the power button did nothing, or a unit does not stop: look at services that hooks add, and for \
                 systemd-logind"
            }
            Class::UpdateFailed => {
                "an update of packages does not reach the boot: look at the loader's packages in `Bundles`, at the size of the \
                 EFI partition, and at what hooks change under /boot and /etc/kernel"
            }
            Class::NotGrown => {
                "the root filesystem does not fill a larger disk: its partition has to be the last one, and the content needs \
                 cloud-guest-utils (with cloud-init) or systemd-repart"
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
            Class::TooLittleMemory => "too-little-memory",
            Class::InitramfsShell => "initramfs-shell",
            Class::EmergencyShell => "emergency-shell",
            Class::NoInit => "no-init",
            Class::FsckFailed => "fsck-failed",
            Class::MountFailed => "mount-failed",
            Class::NoGetty => "no-getty",
            Class::LoaderWaits => "loader-waits",
            Class::SecureBootRefused => "secure-boot-refused",
            Class::FirmwareCrashed => "firmware-crashed",
            Class::ShellInsteadOfInit => "shell-instead-of-init",
            Class::InitCrashed => "init-crashed",
            Class::AutoLogin => "auto-login",
            Class::WindowsConsole => "windows-console",
            Class::GettyCrashed => "getty-crashed",
            Class::LoginBroken => "login-broken",
            Class::RootReadOnly => "root-read-only",
            Class::RootFull => "root-full",
            Class::PassphraseWanted => "passphrase-wanted",
            Class::PassphraseRefused => "passphrase-refused",
            Class::LoginFailed => "login-failed",
            Class::SshFailed => "ssh-failed",
            Class::WrongHost => "wrong-host",
            Class::Degraded => "degraded",
            Class::WrongMounts => "wrong-mounts",
            Class::WrongNetwork => "wrong-network",
            Class::ResetLoop => "reset-loop",
            Class::PoweredOff => "powered-off",
            Class::NoPowerOff => "no-power-off",
            Class::UpdateFailed => "update-failed",
            Class::NotGrown => "not-grown",
            Class::NoProgress => "no-progress",
            Class::TooSlow => "too-slow",
            Class::EmulatorStall => "emulator-stall",
            Class::EmulatorFailed => "emulator-failed",
        })
    }
}
