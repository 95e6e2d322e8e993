//! Kernels and initramfs images on the boot paths.

use super::{kernels, report, report_kernel, words};
use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::verify::boot_path::{Issue, IssueKind, KernelImage, KernelStart};
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};
use std::collections::BTreeSet;

pub(crate) static KERNEL_DAMAGED: Rule = Rule {
    name: "kernel-damaged",
    summary: "a kernel is truncated, damaged, or not built for x86",
    level: Level::Error,
    why: "The boot loader fails to start it, or the kernel stops while it decompresses itself. Source: \
          Linux, Documentation/arch/x86/boot.rst, \"The Real-Mode Kernel Header\".",
    check: Check::Disk(kernel_damaged),
};

pub(super) fn kernel_damaged(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::KernelNotEfi], out);
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        if let Some((at, KernelImage { damage: Some(damage), .. })) = &start.image {
            report_kernel(facts, at, chosen, damage.clone(), &mut seen, out);
        }
    }
}

pub(crate) static INITRD_DAMAGED: Rule = Rule {
    name: "initrd-damaged",
    summary: "an initramfs is truncated, damaged, or not an archive",
    level: Level::Error,
    why: "The kernel accepts cpio archives, plain or compressed. It rejects anything else as \"junk\" and \
          finds no root filesystem. Source: Linux, \
          Documentation/driver-api/early-userspace/buffer-format.rst.",
    check: Check::Disk(initrd_damaged),
};

pub(super) fn initrd_damaged(facts: &Facts, out: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        for (at, archive) in &start.initramfs {
            if let Some(damage) = &archive.damage {
                report_kernel(facts, at, chosen, damage.clone(), &mut seen, out);
            }
        }
    }
}

pub(crate) static INITRD_CONTENT: Rule = Rule {
    name: "initrd-content",
    summary: "an initramfs cannot mount the root filesystem",
    level: Level::Error,
    why: "Without an init program, or without modules for the disk and its filesystem that match the \
          kernel's version, or without an initramfs where these modules are not part of the kernel, the boot ends in a kernel panic or in the initramfs shell. Sources: Linux, \
          Documentation/filesystems/ramfs-rootfs-initramfs.rst; modprobe(8).",
    check: Check::Disk(initrd_content),
};

/// Disk drivers of virtual machines and PCs.
pub(super) const DISKS: &[&str] = &[
    "virtio_blk",
    "virtio_scsi",
    "ahci",
    "ata_piix",
    "ata_generic",
    "nvme",
    "sd_mod",
    "mptspi",
    "vmw_pvscsi",
    "hv_storvsc",
    "xen_blkfront",
    "usb_storage",
    "mmc_block",
    "loop",
];

pub(super) fn initrd_content(facts: &Facts, out: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        // The kernel unpacks all archives into one tree.
        let Some((at, _)) = start.initramfs.last() else {
            // A missing file is reported by another rule.
            let is_missing = |issue: &Issue| issue.kind == IssueKind::InitramfsMissing;
            if facts.boot_paths.steps().any(|(step, _)| step.issues.iter().any(is_missing)) {
                continue;
            }
            if let Some(what) = without_initramfs(facts, start) {
                let mut report = |message: String, out: &mut Findings| {
                    report_kernel(facts, &start.entry, chosen, message, &mut seen, out);
                };
                report(format!("the entry has no initramfs, and {what}"), out);
            }
            continue;
        };
        let parts = || start.initramfs.iter().map(|(_, part)| part);
        if parts().any(|part| part.damage.is_some() || !part.is_complete) {
            continue;
        }
        let mut report =
            |message: String, out: &mut Findings| report_kernel(facts, at, chosen, message, &mut seen, out);
        if !parts().any(|part| part.has_init) {
            report("the initramfs has no /init".to_owned(), out);
            continue;
        }
        let versions: BTreeSet<&String> = parts().flat_map(|part| &part.versions).collect();
        let version = start.image.as_ref().and_then(|(_, image)| image.version.as_ref());
        if let Some(version) = version
            && !versions.is_empty()
            && !versions.contains(version)
        {
            let others: Vec<&str> = versions.iter().map(|other| other.as_str()).collect();
            report(
                format!(
                    "the initramfs contains modules for {}, but the kernel is {version}",
                    others.join(", ")
                ),
                out,
            );
            continue;
        }
        if versions.is_empty() {
            continue;
        }
        let Some(built_in) = version.and_then(|version| BuiltIn::of(facts, version)) else { continue };
        let has = |module: &str| parts().any(|part| part.modules.contains(module)) || built_in.has(module);
        if !DISKS.iter().any(|module| has(module)) {
            report("the initramfs contains no disk driver".to_owned(), out);
        }
        if let Some(module) = root_module(facts).filter(|module| !has(module)) {
            report(format!("the initramfs lacks the module for the root filesystem: {module}"), out);
        }
    }
}

/// The module for the root filesystem.
fn root_module(facts: &Facts) -> Option<&'static str> {
    let root = facts.partition(facts.system.as_ref()?.root)?;
    match root.kind? {
        VolumeKind::Ext => Some("ext4"),
        VolumeKind::Xfs => Some("xfs"),
        VolumeKind::Btrfs => Some("btrfs"),
        _ => None,
    }
}

/// The modules that are part of a kernel. Source: Linux, Documentation/kbuild/kbuild.rst, modules.builtin.
struct BuiltIn(String);

impl BuiltIn {
    fn of(facts: &Facts, version: &str) -> Option<BuiltIn> {
        facts.system.as_ref()?.text(&format!("/lib/modules/{version}/modules.builtin")).map(BuiltIn)
    }

    fn has(&self, module: &str) -> bool {
        self.0.lines().any(|line| {
            let name = line.rsplit('/').next().unwrap_or_default().trim_end_matches(".ko");
            name.replace('-', "_") == module
        })
    }
}

/// Why a kernel cannot mount its root filesystem itself, as far as its modules are known. Without an initramfs, the
/// kernel finds partitions only by device name, PARTUUID and PARTLABEL. Source: Linux, block/early-lookup.c.
fn without_initramfs(facts: &Facts, start: &KernelStart) -> Option<String> {
    let version = start.image.as_ref()?.1.version.as_ref()?;
    let built_in = BuiltIn::of(facts, version)?;
    if let Some(module) = root_module(facts).filter(|module| !built_in.has(module)) {
        return Some(format!("the module for the root filesystem is not part of the kernel: {module}"));
    }
    if !DISKS.iter().any(|module| built_in.has(module)) {
        return Some("no disk driver is part of the kernel".to_owned());
    }
    let root = words(&start.options).into_iter().rfind(|word| word.starts_with("root="))?;
    let is_by_filesystem = ["root=UUID=", "root=LABEL="].iter().any(|form| root.starts_with(form));
    if is_by_filesystem {
        return Some(format!("the kernel itself cannot find {root}"));
    }
    // A kernel for machines with one kind of disk may be meant to start without, but not if an initramfs was made for it.
    let system = facts.system.as_ref()?;
    let made = [format!("/boot/initrd.img-{version}"), format!("/boot/initramfs-{version}.img")];
    let made = made.into_iter().find(|path| system.exists(path))?;
    let is_in_most = ["virtio_blk", "virtio_scsi", "sd_mod"].iter().any(|module| built_in.has(module));
    let own: Vec<&str> = DISKS.iter().copied().filter(|module| built_in.has(module)).collect();
    (!is_in_most).then(|| format!("without {made} the kernel has only the disk drivers {}", own.join(", ")))
}

pub(crate) static KERNEL_MODULES: Rule = Rule {
    name: "kernel-modules",
    summary: "a kernel has no modules for its version",
    level: Level::Error,
    why: "The system boots from the initramfs, and then has no network, filesystem or device drivers. \
          Source: modprobe(8), depmod(8).",
    check: Check::Disk(modules),
};

pub(super) fn modules(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        let Some((at, KernelImage { version: Some(version), .. })) = &start.image else { continue };
        let directory = format!("/lib/modules/{version}");
        if !system.exists(&directory) {
            let others = system.list("/lib/modules").join(", ");
            let there = if others.is_empty() {
                "no other modules are installed".to_owned()
            } else {
                format!("installed: {others}")
            };
            let message = format!("no modules for kernel {version}: {directory} is missing; {there}");
            report_kernel(facts, at, chosen, message, &mut seen, out);
        } else if !system.exists(&format!("{directory}/modules.dep"))
            && seen.insert((at.clone(), directory.clone()))
        {
            out.report(format!("no module index (modules.dep) for kernel {version}"))
                .path(directory)
                .help(format!("run `depmod {version}` in a PostChrootShell hook"));
        }
    }
}
