//! Whether the system boots the new kernel after an update. No package is installed for this check.

use super::boot::{ENTRIES, entries};
use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};
use crate::verify::system::System;

pub(super) static KERNEL_UPDATE: Rule = Rule {
    name: "kernel-update",
    summary: "a kernel update would not take effect",
    level: Level::Warning,
    why: "dpkg replaces kernels in /boot, and hooks in /etc/kernel register them with the boot loader. \
          Without the hooks, or if the ESP is not mounted, the update succeeds but the old kernel keeps \
          booting. On FAT, dpkg cannot replace files at all. Source: dpkg(1), kernel-install(8), \
          grub-mkconfig(8).",
    check: Check::Disk(update),
};

const COMMAND_LINE: &str = "/etc/kernel/cmdline";
const TOKEN: &str = "/etc/kernel/entry-token";
const OF_KERNEL_INSTALL: &str = "/etc/kernel/postinst.d/zz-systemd-boot";
const OF_GRUB: &str = "/etc/kernel/postinst.d/zz-update-grub";

fn update(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let packages = system.list("/var/lib/dpkg/info");
    let has_kernel = packages.iter().any(|name| name.starts_with("linux-image-") && name.ends_with(".list"));
    let Some(place) = system.tree.find(ENTRIES).filter(|_| has_kernel) else { return };
    let partition = system.partition_of(place);
    let mounted = system.mounts.iter().find(|mounted| mounted.partition == partition);
    let is_vfat = facts.partition(partition).is_some_and(|p| p.kind == Some(VolumeKind::Vfat));
    match mounted {
        Some(mounted) if mounted.at == "/boot" && is_vfat => {
            out.report("/boot is FAT, so dpkg cannot replace the files of a kernel package")
                .partition(partition)
                .help("mount the EFI partition at /efi or /boot/efi; ister does so for apt content of Debian 12 and later");
        }
        Some(mounted) if is_vfat => on_esp(system, &mounted.at, out),
        // GRUB reads kernels from the root filesystem.
        _ if system.exists("/boot/grub/grub.cfg") && !system.exists(OF_GRUB) => {
            out.report("no hook regenerates the GRUB configuration after a kernel update")
                .path(OF_GRUB)
                .help("install the package `grub2-common`");
        }
        _ => {}
    }
}

/// Checks for kernels that kernel-install copies to the ESP.
fn on_esp(system: &System, esp: &str, out: &mut Findings) {
    if !system.exists(OF_KERNEL_INSTALL) {
        out.report("no hook copies new kernels to the EFI partition")
            .path(OF_KERNEL_INSTALL)
            .help("install the package `systemd-boot`");
    }
    let fstab = system.text("/etc/fstab").unwrap_or_default();
    let is_mounted = fstab.lines().any(|line| line.split_whitespace().nth(1) == Some(esp));
    if !is_mounted
        && !system
            .exists(&format!("/etc/systemd/system/{}.mount", esp.trim_start_matches('/').replace('/', "-")))
    {
        out.report(format!(
            "the EFI partition is not mounted at {esp} by fstab or a mount unit; hooks may then succeed without effect"
        ))
        .path("/etc/fstab")
        .help(format!("add the line `PARTUUID=… {esp} vfat umask=0077 0 2` to /etc/fstab"));
    }
    let entries = entries(system);
    let token = system.text(TOKEN).map(|text| text.trim().to_owned());
    let of_token = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        token.as_ref().is_some_and(|token| name.starts_with(&format!("{token}-")))
    };
    if !entries.is_empty() && !entries.iter().any(|entry| of_token(&entry.path)) {
        out.report(format!(
            "no loader entry matches the entry token `{}`",
            token.as_deref().unwrap_or_default()
        ))
        .path(TOKEN)
        .help("rename the loader entries so that they start with the token; otherwise they remain when the kernel package is removed");
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let later = words(&system.text(COMMAND_LINE).unwrap_or_default());
    if let Some(entry) = entries.iter().rfind(|entry| of_token(&entry.path))
        && words(&entry.options) != later
    {
        out.report(format!("the next kernel would get different options: `{}`", later.join(" ")))
            .path(COMMAND_LINE)
            .help(format!("copy the options from {}: `{}`", entry.path, entry.options));
    }
}
