//! Verdict classes and the advice for each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A getty prompts for a login. This is a pass unless the goal is a power-off.
    LoginPrompt,
    NoBootableDevice,
    GrubShell,
    /// The boot loader runs, but cannot find or load what it should start.
    LoaderFailed,
    KernelPanic,
    /// The machine has too little memory to unpack or start the system.
    TooLittleMemory,
    InitramfsShell,
    EmergencyShell,
    /// The root filesystem contains no init program.
    NoInit,
    /// A filesystem is damaged and fsck cannot repair it automatically.
    FsckFailed,
    /// A required filesystem cannot be mounted, or its device does not appear.
    MountFailed,
    /// All units are started, but no login prompt appears on the serial console.
    NoGetty,
    /// The boot loader waits for input: a menu, a user name, or a key.
    LoaderWaits,
    /// Secure Boot rejected a boot loader or a kernel.
    SecureBootRefused,
    /// The firmware or an EFI program ended in an exception.
    FirmwareCrashed,
    /// A shell runs in place of an init system.
    ShellInsteadOfInit,
    /// Process 1 froze or exited.
    InitCrashed,
    /// The console logs in a user without a password.
    AutoLogin,
    /// The Special Administration Console (SAC) of Windows Server.
    WindowsConsole,
    /// A login prompt appeared, but does not respond.
    GettyCrashed,
    /// The getty responds, but `login` does not prompt for a password.
    LoginBroken,
    /// The boot reached its prompt, but the root filesystem is read-only although the plan makes it writable.
    RootReadOnly,
    /// The boot reached its prompt, but the root filesystem is full.
    RootFull,
    /// The guest asked for the passphrase of an encrypted volume, and none was given.
    PassphraseWanted,
    /// The given passphrase does not open the encrypted volume.
    PassphraseRefused,
    /// The login prompt appeared, but the login failed or a command did not finish.
    LoginFailed,
    /// The login prompt appeared, but the login over ssh failed.
    SshFailed,
    /// The host name in the prompt differs from the one in the seed.
    WrongHost,
    /// Units failed, or a health note is not allowed.
    Degraded,
    /// The instance did not use its cloud's metadata service or medium.
    MetadataUnused,
    /// The instance did not execute its user data.
    UserDataUnused,
    /// The key of the metadata does not log in.
    NoSshKey,
    /// The cloud's user is not an administrator.
    NoSudo,
    /// Names cannot be resolved.
    NoDns,
    /// A check or a test script in the guest failed.
    CheckFailed,
    /// The mounts in the guest differ from the plan.
    WrongMounts,
    /// The host name, addresses, routes or name servers in the guest differ from the plan.
    WrongNetwork,
    ResetLoop,
    PoweredOff,
    /// The boot reached its prompt, but the guest did not power off when the power button was pressed.
    NoPowerOff,
    /// A package update did not install, offer or start the new kernel.
    UpdateFailed,
    /// The root filesystem did not grow to fill a larger disk.
    NotGrown,
    /// There was neither output nor disk traffic until the no-output timeout.
    NoProgress,
    /// The guest was still active when the total timeout expired.
    TooSlow,
    /// The emulator stalled the guest's CPUs. This proves nothing about the image.
    EmulatorStall,
    /// QEMU itself failed.
    EmulatorFailed,
}

impl Class {
    /// Whether the failure was caused by the host, not by the image.
    pub fn is_infrastructure(self) -> bool {
        matches!(self, Class::EmulatorStall | Class::EmulatorFailed)
    }

    /// What to check, in terms of the template.
    #[allow(clippy::too_many_lines, reason = "a table")]
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Class::LoginPrompt => return None,
            Class::NoBootableDevice => {
                "the firmware found no bootable device: UEFI needs EFI/BOOT/BOOTX64.EFI on a partition of type EFI \
                 that is mounted at /boot, BIOS needs `LegacyBios`: true"
            }
            Class::GrubShell => {
                "GRUB did not find its configuration: the filesystem with /boot must be readable by GRUB (`options` \
                 in FilesystemTypes) and contain /boot/grub/grub.cfg"
            }
            Class::LoaderFailed => {
                "the boot loader did not find a kernel, an initramfs or an entry in loader/entries: check what hooks \
                 (PostNonChroot) change there, and that `Bundles` includes a kernel"
            }
            Class::KernelPanic => {
                "the kernel panicked: check `cmdline` (root=, init=) and the kernel bundle in \
                `Bundles`"
            }
            Class::TooLittleMemory => {
                "give the machine more memory (--memory): it has to hold the compressed and the unpacked initramfs \
                 at the same time, and in a live system all files that are written"
            }
            Class::InitramfsShell => {
                "the root filesystem was not found or could not be mounted: check `cmdline` (root=), the filesystem \
                 mounted at `/`, and that the kernel bundle has a driver for this disk"
            }
            Class::EmergencyShell => {
                "a mount or a unit failed: check PartitionMountPoints, FilesystemTypes and the changes made by hooks"
            }
            Class::NoInit => {
                "the root filesystem has no /sbin/init: check that `Bundles` includes os-core, `cmdline` (init=), \
                 and what hooks remove"
            }
            Class::FsckFailed => {
                "a filesystem is damaged: check FilesystemTypes, the disk, and whether the image was modified after \
                 the build"
            }
            Class::MountFailed => {
                "a filesystem could not be mounted: check PartitionMountPoints, mount units, and what hooks write to \
                 /etc/fstab"
            }
            Class::NoGetty => {
                "the system is up, but has no getty on the serial console: check that `cmdline` contains \
                 console=ttyS0 and that no hook masks serial-getty"
            }
            Class::LoaderWaits => {
                "the boot loader waits for a key or a password: set a timeout in its configuration (`timeout` in \
                 loader.conf, GRUB_TIMEOUT), and check what hooks change there"
            }
            Class::SecureBootRefused => {
                "Secure Boot is enabled and the next stage is not signed with a key that is enrolled in this firmware"
            }
            Class::FirmwareCrashed => {
                "the firmware or an EFI program crashed: check the files under EFI/ on the EFI system partition"
            }
            Class::ShellInsteadOfInit => "a shell runs as process 1: check `cmdline` (init=)",
            Class::InitCrashed => {
                "the init system froze or exited: check the lines above, `Bundles`, and what hooks change under \
                 /etc/systemd"
            }
            Class::AutoLogin => {
                "the console logs in a user without a password: check what hooks configure for serial-getty \
                 (--autologin)"
            }
            Class::WindowsConsole => "the Special Administration Console has no login prompt",
            Class::GettyCrashed => {
                "a login prompt appeared, but did not respond to Enter: check that the getty keeps running and uses \
                 this console"
            }
            Class::LoginBroken => {
                "the getty responds, but no password prompt follows the user name: check /bin/login, the PAM \
                 configuration (/etc/pam.d), and what hooks remove"
            }
            Class::RootReadOnly => {
                "the root filesystem is read-only: check `cmdline` (ro) and what hooks write to \
                /etc/fstab"
            }
            Class::RootFull => {
                "the root filesystem is full: increase the size of the partition mounted at `/` in PartitionLayout, \
                 or remove bundles from `Bundles`"
            }
            Class::PassphraseWanted => "give the passphrase: --unlock NAME=env:VARIABLE or NAME=file:PATH",
            Class::PassphraseRefused => {
                "the given passphrase differs from the one of `encryption` in FilesystemTypes"
            }
            Class::LoginFailed => "the login failed: check `Users` (password) and that the user has a shell",
            Class::SshFailed => {
                "the login over ssh failed: check `Users` (key), that `Bundles` includes an ssh server, and that the \
                 network comes up"
            }
            Class::WrongHost => {
                "the instance did not take its host name from the seed: check that `Bundles` includes cloud-init, \
                 and `Hostname`"
            }
            Class::Degraded => {
                "the system is degraded: check the lines above, `Bundles`, and the units that hooks \
                enable"
            }
            Class::MetadataUnused => {
                "the instance did not use the metadata of this cloud: check `Bundles` (os-cloudguest…), and which data \
                 sources hooks enable in /etc/cloud"
            }
            Class::UserDataUnused => {
                "the instance did not execute its user data: check `Bundles` (os-cloudguest…), and /var/log/cloud-init.log \
                 in the guest"
            }
            Class::NoSshKey => {
                "the key in the metadata does not log in: check `Bundles` (openssh-server), the default user in \
                 /etc/cloud/cloud.cfg, and what hooks change in /etc/ssh"
            }
            Class::NoSudo => "the default user cannot use sudo without a password: check `Bundles` (sudo)",
            Class::NoDns => {
                "names cannot be resolved: check `Bundles` for a resolver (systemd-resolved), and what hooks write to \
                 /etc/resolv.conf"
            }
            Class::CheckFailed => "a check in the guest failed: see the differences above",
            Class::WrongMounts => {
                "the mounts differ from the plan: check PartitionMountPoints, mount units, and what hooks change in \
                 /etc/fstab"
            }
            Class::WrongNetwork => {
                "the network differs from the plan or from what DHCP announced: check Static_IP, Hostname, `Bundles` \
                 for another network manager, and what hooks change in /etc/systemd/network"
            }
            Class::ResetLoop => {
                "the machine resets repeatedly: check the kernel bundle and `cmdline` (panic=)"
            }
            Class::NoPowerOff => {
                "the guest did not power off: check that systemd-logind handles the power button, and that services \
                 added by hooks can be stopped"
            }
            Class::UpdateFailed => {
                "a package update did not take effect at boot: check the boot loader packages in `Bundles`, the size \
                 of the EFI partition, and what hooks change under /boot and /etc/kernel"
            }
            Class::NotGrown => {
                "the root filesystem does not fill a larger disk: make its partition the last one, and include \
                 cloud-guest-utils (with cloud-init) or systemd-repart; an encrypted root does not grow by itself"
            }
            Class::PoweredOff => "the guest powered off before the login prompt",
            Class::NoProgress => {
                "there was no more output: check that `cmdline` contains console=ttyS0, so that a login prompt can \
                 appear on the serial console"
            }
            Class::TooSlow => "the boot took too long: increase --timeout, or check what the guest waits for",
            Class::EmulatorStall => {
                "the host did not give QEMU enough CPU time, which is not an error in the image: \
                try again"
            }
            Class::EmulatorFailed => "QEMU failed: see its message above",
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
            Class::MetadataUnused => "metadata-unused",
            Class::UserDataUnused => "user-data-unused",
            Class::NoSshKey => "no-ssh-key",
            Class::NoSudo => "no-sudo",
            Class::NoDns => "no-dns",
            Class::CheckFailed => "check-failed",
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
