//! From boot loader to root filesystem: broken boot paths, and what the kernels on them need.

mod kernel;

use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::plan::bls;
use crate::plan::command_line::words;
use crate::plan::{ESP, Firmware};
use crate::template::Bytes;
use crate::verify::boot_path::{FileAt, IssueKind, KernelStart};
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};
use crate::verify::system::System;
pub(super) use kernel::{INITRD_CONTENT, INITRD_DAMAGED, KERNEL_DAMAGED, KERNEL_MODULES};
use std::collections::BTreeSet;

pub(super) const ENTRIES: &str = "/boot/loader/entries";

/// A loader entry, with its path in the running system. Source: The Boot Loader Specification (UAPI.1).
pub(super) struct EntryOptions {
    pub path: String,
    pub options: String,
}

pub(super) fn entries(system: &System) -> Vec<EntryOptions> {
    let names = system.list(ENTRIES);
    let texts = names.iter().filter(|name| name.ends_with(".conf")).filter_map(|name| {
        let path = format!("{ENTRIES}/{name}");
        Some((path.clone(), system.text(&path)?))
    });
    texts
        .map(|(path, text)| EntryOptions { path, options: bls::LoaderEntry::parse("", &text).options })
        .collect()
}

/// Whether firmware is expected to start the image, and all filesystems that take part in the boot could be read.
fn is_bootable_by_plan(facts: &Facts) -> bool {
    let Some(plan) = &facts.plan else { return true };
    let apart = |at: &str| plan.partition_at(at).map(|(_, partition)| partition.number);
    let needed = ["/", "/boot", "/efi", "/boot/efi"].into_iter().filter_map(apart);
    let is_read = |number: u32| {
        let mounts = facts.system.iter().flat_map(|system| &system.mounts);
        facts.system.as_ref().is_some_and(|system| system.root == number)
            || mounts.into_iter().any(|m| m.partition == number)
    };
    plan.boot.is_some() && needed.into_iter().all(is_read)
}

/// The partition of a file on a boot path, and its path in the running system if the partition is mounted there.
pub(super) fn in_system(facts: &Facts, at: &FileAt) -> (u32, String) {
    let mount =
        facts.system.as_ref().and_then(|system| system.mounts.iter().find(|m| m.partition == at.partition));
    let path = match mount {
        Some(mount) => format!("{}{}", mount.at, at.path),
        None => at.path.clone(),
    };
    (at.partition, path)
}

/// Reports the issues of some kinds. An issue behind a menu entry that must be selected is only a warning.
fn report(facts: &Facts, firmware: Option<Firmware>, kinds: &[IssueKind], out: &mut Findings) {
    if !is_bootable_by_plan(facts) {
        return;
    }
    let paths = facts
        .boot_paths
        .paths
        .iter()
        .filter(|path| firmware.is_none_or(|firmware| firmware == path.firmware));
    let mut seen = BTreeSet::new();
    for (step, chosen) in paths.flat_map(|path| path.start.all(false)) {
        for issue in step.issues.iter().filter(|issue| kinds.contains(&issue.kind)) {
            let place = step.file.as_ref().map(|at| in_system(facts, at));
            // BIOS and UEFI may read the same configuration.
            if !seen.insert((place.clone(), issue.message.clone())) {
                continue;
            }
            let mut added = out.report(issue.message.clone());
            if let Some((partition, path)) = place {
                added = added.partition(partition).path(path);
            }
            if let Some(help) = &issue.help {
                added = added.help(help.clone());
            }
            if chosen {
                added.level(Level::Warning);
            }
        }
    }
}

pub(super) static BOOT_PATH: Rule = Rule {
    name: "boot-path",
    summary: "no firmware finds a boot loader",
    level: Level::Error,
    why: "UEFI starts EFI/BOOT/BOOTX64.EFI from a FAT partition, BIOS runs the boot code in the first \
          sector. `--explain-boot` shows the boot paths that were found. Sources: UEFI 2.10, section \
          3.5.1.1; BIOS Boot Specification 1.01, section 6.5.",
    check: Check::Disk(nothing),
};

fn nothing(facts: &Facts, out: &mut Findings) {
    if !is_bootable_by_plan(facts) || !facts.boot_paths.paths.is_empty() {
        return;
    }
    match (&facts.plan, &facts.system) {
        (Some(_), _) => {
            out.report("no firmware finds a boot loader");
        }
        // Without a loader configuration the image may be meant for a direct kernel boot.
        (None, Some(system)) => {
            const CONFIGURATIONS: &[&str] =
                &["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/extlinux/extlinux.conf", ENTRIES];
            let is_configured = CONFIGURATIONS.iter().any(|path| system.exists(path));
            let level = if is_configured { Level::Error } else { Level::Warning };
            out.report("no firmware finds a boot loader").level(level);
        }
        (None, None) => {}
    }
}

pub(super) static BOOT_CODE: Rule = Rule {
    name: "boot-code",
    summary: "the BIOS boot code does not lead to a boot loader",
    level: Level::Error,
    why: "The boot code loads further sectors or the boot sector of the active partition. If these are \
          missing or damaged, the boot stops. Sources: GRUB 2.06, grub-core/boot/i386/pc/boot.S; the \
          Syslinux wiki, \"Mbr\".",
    check: Check::Disk(boot_code),
};

fn boot_code(facts: &Facts, out: &mut Findings) {
    report(facts, Some(Firmware::Bios), LOADER, out);
}

/// The boot loader is missing, damaged, or for another architecture.
pub(super) const LOADER: &[IssueKind] =
    &[IssueKind::LoaderMissing, IssueKind::LoaderDamaged, IssueKind::WrongArchitecture];

/// Reports boot loaders that UEFI cannot start.
pub(super) fn efi_programs(facts: &Facts, out: &mut Findings) {
    report(facts, Some(Firmware::Uefi), LOADER, out);
}

pub(super) static ENTRY_MISSING: Rule = Rule {
    name: "entry-missing",
    summary: "the boot loader has no entry",
    level: Level::Error,
    why: "A boot loader starts what its configuration lists: systemd-boot reads loader/entries and \
          EFI/Linux, GRUB its grub.cfg, Syslinux its labels. Sources: The Boot Loader Specification \
          (UAPI.1); GRUB manual.",
    check: Check::Disk(missing),
};

fn missing(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::EntryMissing], out);
}

pub(super) static ENTRY_KERNEL: Rule = Rule {
    name: "entry-kernel",
    summary: "a loader entry refers to a missing kernel",
    level: Level::Error,
    why: "The boot loader stops with \"not found\". Sources: The Boot Loader Specification (UAPI.1), key \
          `linux`; GRUB manual, \"linux\".",
    check: Check::Disk(kernel),
};

fn kernel(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::KernelMissing], out);
}

pub(super) static ENTRY_INITRD: Rule = Rule {
    name: "entry-initrd",
    summary: "a loader entry refers to a missing initramfs",
    level: Level::Error,
    why: "The boot loader stops, or the kernel starts without an initramfs and finds no root filesystem. \
          Sources: The Boot Loader Specification (UAPI.1), key `initrd`; GRUB manual, \"initrd\".",
    check: Check::Disk(initrd),
};

fn initrd(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::InitramfsMissing], out);
}

pub(super) static ENTRY_DEVICETREE: Rule = Rule {
    name: "entry-devicetree",
    summary: "a loader entry refers to a missing device tree",
    level: Level::Error,
    why: "The boot loader stops. Source: The Boot Loader Specification (UAPI.1), key `devicetree`.",
    check: Check::Disk(devicetree),
};

fn devicetree(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::OtherFileMissing], out);
}

pub(super) static GRUB_CONFIGURATION: Rule = Rule {
    name: "grub-configuration",
    summary: "the GRUB configuration is missing or invalid",
    level: Level::Error,
    why: "GRUB stops at its prompt. Source: GRUB manual, \"Shell-like scripting\".",
    check: Check::Disk(grub_configuration),
};

fn grub_configuration(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::GrubConfiguration], out);
}

pub(super) static SYSLINUX_CONFIGURATION: Rule = Rule {
    name: "syslinux-configuration",
    summary: "the Syslinux configuration is missing",
    level: Level::Error,
    why: "Syslinux stops at its `boot:` prompt. Source: the Syslinux wiki, \"Config\".",
    check: Check::Disk(syslinux_configuration),
};

fn syslinux_configuration(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::SyslinuxConfiguration], out);
}

/// The kernels on all boot paths, once for each entry, and whether the entry must be selected in a menu.
pub(super) fn kernels(facts: &Facts) -> Vec<(&KernelStart, bool)> {
    if !is_bootable_by_plan(facts) {
        return Vec::new();
    }
    let mut found: Vec<(&KernelStart, bool)> = Vec::new();
    for (start, chosen) in facts.boot_paths.kernels() {
        match found.iter_mut().find(|(other, _)| *other == start) {
            Some((_, also)) => *also &= chosen,
            None => found.push((start, chosen)),
        }
    }
    found
}

/// Reports a message once for each file; only a warning if the entry must be selected in a menu.
pub(super) fn report_kernel(
    facts: &Facts,
    at: &FileAt,
    chosen: bool,
    message: String,
    seen: &mut BTreeSet<(FileAt, String)>,
    out: &mut Findings,
) {
    if !seen.insert((at.clone(), message.clone())) {
        return;
    }
    let (partition, path) = in_system(facts, at);
    let added = out.report(message).partition(partition).path(path);
    if chosen {
        added.level(Level::Warning);
    }
}

pub(super) static ROOT_MISSING: Rule = Rule {
    name: "root-filesystem",
    summary: "no partition contains a root filesystem",
    level: Level::Error,
    why: "No filesystem has /etc and /usr, or the root filesystem cannot be read. There is no system to \
          boot. Source: file-hierarchy(7).",
    check: Check::Disk(root),
};

fn root(facts: &Facts, out: &mut Findings) {
    let locked = facts.partitions.iter().any(|p| p.luks.as_ref().is_some_and(|luks| luks.locked));
    // A data disk needs no root filesystem.
    let planned = facts.planned().map(|disk| disk.partitions.iter().any(|p| p.mount.as_deref() == Some("/")));
    let meant = planned.unwrap_or_else(|| {
        facts.partitions.iter().any(|p| p.entry.type_guid == ESP || p.entry.type_guid == ROOT_X86_64)
    });
    let not_read = facts.partitions.iter().any(|p| matches!(p.kind, Some(VolumeKind::Other(_))));
    if facts.system.is_none() && !locked && !not_read && meant {
        out.report("no partition contains a readable root filesystem");
        return;
    }
    if let Some(system) = &facts.system
        && !(system.exists("/etc") && system.exists("/usr"))
    {
        out.report(format!("the root filesystem in partition {} has no /etc or no /usr", system.root))
            .partition(system.root);
    }
}

pub(super) static ROOT_OPTION: Rule = Rule {
    name: "root-option",
    summary: "root= does not refer to the root partition",
    level: Level::Error,
    why: "The initramfs waits for a device that never appears, and then opens a shell. Without root=, the \
          partition type has to identify the root partition. Source: Linux, \
          Documentation/admin-guide/kernel-parameters.txt, root=; The Discoverable Partitions \
          Specification (UAPI.2).",
    check: Check::Disk(root_option),
};

/// Root partitions of x86-64. Source: UAPI.2.
const ROOT_X86_64: uuid::Uuid = uuid::uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");

fn root_option(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let Some(partition) = facts.partition(system.root) else { return };
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        let mut words = words(&start.options).into_iter();
        // dm-verity, live systems and NFS: the root filesystem is not found by root=.
        if words.clone().any(|word| {
            ["roothash=", "verity", "systemd.verity", "boot=live", "nfsroot"]
                .iter()
                .any(|own| word.starts_with(own))
        }) {
            continue;
        }
        let mut report = |message: String, help: &str, out: &mut Findings| {
            let (partition, path) = in_system(facts, &start.entry);
            if seen.insert(message.clone()) {
                let level = if chosen { Level::Warning } else { Level::Error };
                out.report(message).partition(partition).path(path).help(help).level(level);
            }
        };
        let Some(root) = words.rfind(|word| word.starts_with("root=")).map(|word| &word["root=".len()..])
        else {
            if partition.entry.type_guid != ROOT_X86_64 {
                let message =
                    "the loader entry has no root=, and the type of the root partition does not identify it";
                report(message.to_owned(), "add `root=PARTUUID=…` to the kernel command line", out);
            }
            continue;
        };
        if let Some(uuid) = root.strip_prefix("UUID=")
            && uuid.chars().any(|c| c.is_ascii_uppercase())
            && partition.uuid.as_deref().is_some_and(|own| own != uuid && own.eq_ignore_ascii_case(uuid))
        {
            let message =
                format!("root={root} is in upper case, but the link in /dev/disk/by-uuid is in lower case");
            report(message, "write the UUID as `blkid` prints it", out);
            continue;
        }
        if is_named_by_the_image(root) && !super::mounts::refers_to(facts, system, root, system.root) {
            let message = format!("root={root} does not refer to the root partition {}", system.root);
            report(message, "check `cmdline` in the template, and hooks that change loader entries", out);
        }
    }
}

/// Whether the image itself determines the device. LVM, RAID, network shares and machine-specific devices are not
/// checked.
fn is_named_by_the_image(root: &str) -> bool {
    let others = [
        "/dev/mapper/",
        "/dev/md",
        "/dev/dm-",
        "/dev/nfs",
        "/dev/ram",
        "zfs",
        "live",
        "tmpfs",
        "dissect",
        "gpt-auto",
        "/dev/gpt-auto",
    ];
    let is_group =
        root.strip_prefix("/dev/").is_some_and(|rest| rest.contains('/') && !rest.starts_with("disk/"));
    root == "/dev/mapper/cryptroot" || !(is_group || others.iter().any(|other| root.starts_with(other)))
}

pub(super) static BOOT_SPACE: Rule = Rule {
    name: "boot-space",
    summary: "the boot partition has no space for another kernel",
    level: Level::Note,
    why: "An update installs the new kernel next to the old one. It fails halfway if the partition is \
          full. Source: `ister plan`, the space forecast.",
    check: Check::Disk(space),
};

fn space(facts: &Facts, out: &mut Findings) {
    let Some(system) = facts.system.as_ref().filter(|_| is_bootable_by_plan(facts)) else { return };
    // The ESP with the entries, or a separate /boot.
    let place = system.tree.find(ENTRIES).map(|entries| system.partition_of(entries));
    let Some(mounted) = system.mounts.iter().find(|m| Some(m.partition) == place) else { return };
    let Some(free) = facts.partition(mounted.partition).and_then(|p| p.free) else { return };
    let size = |prefixes: [&str; 2]| {
        let names = system.list("/boot");
        let sizes = names
            .iter()
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .filter_map(|name| system.node(&format!("/boot/{name}")).map(|node| node.size));
        sizes.max().unwrap_or(0)
    };
    let need = size(["vmlinuz-"; 2]) + size(["initrd.img-", "initramfs-"]);
    if need > free.0 {
        out.report(format!("another kernel needs {}, but only {free} are free", Bytes(need)))
            .partition(mounted.partition)
            .help("make the partition larger, for example 512M (`ister plan` shows the space that it has)");
    }
}
