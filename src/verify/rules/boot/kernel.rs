//! Kernels and initramfs images that a boot path leads to.

use super::{kernels, report, report_of_kernel};
use crate::disk::Kind;
use crate::finding::Level;
use crate::verify::boot_path::{IssueKind, KernelImage};
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};
use std::collections::BTreeSet;

pub(crate) static KERNEL_DAMAGED: Rule = Rule {
    name: "kernel-damaged",
    summary: "a kernel's file is truncated, damaged, or not a kernel for a PC",
    level: Level::Error,
    why: "No loader starts it, or it stops while it unpacks itself. Source: Linux, Documentation/arch/x86/boot.rst, \"The Real-Mode \
          Kernel Header\".",
    check: Check::Disk(kernel_damaged),
};

pub(super) fn kernel_damaged(facts: &Facts, out: &mut Findings) {
    report(facts, None, &[IssueKind::KernelNotEfi], out);
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        if let Some((at, KernelImage { damage: Some(damage), .. })) = &start.image {
            report_of_kernel(facts, at, chosen, damage.clone(), &mut seen, out);
        }
    }
}

pub(crate) static INITRD_DAMAGED: Rule = Rule {
    name: "initrd-damaged",
    summary: "an initramfs is truncated, damaged, or not an archive",
    level: Level::Error,
    why: "The kernel unpacks cpio archives, plain or compressed; anything else is \"junk\" to it, and the root is not found. \
          Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.",
    check: Check::Disk(initrd_damaged),
};

pub(super) fn initrd_damaged(facts: &Facts, out: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        for (at, archive) in &start.initramfs {
            if let Some(damage) = &archive.damage {
                report_of_kernel(facts, at, chosen, damage.clone(), &mut seen, out);
            }
        }
    }
}

pub(crate) static INITRD_CONTENT: Rule = Rule {
    name: "initrd-content",
    summary: "an initramfs cannot mount the root filesystem",
    level: Level::Error,
    why: "Without an init, or without modules of the kernel's own version for the disk and its filesystem, the boot ends in a kernel \
          panic or in the initramfs' shell. Sources: Linux, Documentation/filesystems/ramfs-rootfs-initramfs.rst; modprobe(8).",
    check: Check::Disk(initrd_content),
};

/// Modules of disks that virtual machines and PCs have.
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
        // What is together in memory counts.
        let Some((at, _)) = start.initramfs.last() else { continue };
        let parts = || start.initramfs.iter().map(|(_, part)| part);
        if parts().any(|part| part.damage.is_some() || !part.is_complete) {
            continue;
        }
        let mut say = |message: String, out: &mut Findings| {
            report_of_kernel(facts, at, chosen, message, &mut seen, out)
        };
        if !parts().any(|part| part.has_init) {
            say("the initramfs has no /init".to_owned(), out);
            continue;
        }
        let versions: BTreeSet<&String> = parts().flat_map(|part| &part.versions).collect();
        let version = start.image.as_ref().and_then(|(_, image)| image.version.as_ref());
        if let Some(version) = version
            && !versions.is_empty()
            && !versions.contains(version)
        {
            let others: Vec<&str> = versions.iter().map(|other| other.as_str()).collect();
            say(format!("the initramfs has modules of {}, the kernel is {version}", others.join(", ")), out);
            continue;
        }
        if versions.is_empty() {
            continue;
        }
        let built_in = version.and_then(|version| {
            facts.system.as_ref()?.text(&format!("/lib/modules/{version}/modules.builtin"))
        });
        let Some(built_in) = built_in else { continue };
        let has = |module: &str| {
            parts().any(|part| part.modules.contains(module))
                || built_in.lines().any(|line| {
                    let name = line.rsplit('/').next().unwrap_or_default().trim_end_matches(".ko");
                    name.replace('-', "_") == module
                })
        };
        if !DISKS.iter().any(|module| has(module)) {
            say("the initramfs has no driver for any disk".to_owned(), out);
        }
        let root = facts.system.as_ref().and_then(|system| facts.partition(system.root));
        let module = root.and_then(|root| root.kind).and_then(|kind| match kind {
            Kind::Ext => Some("ext4"),
            Kind::Xfs => Some("xfs"),
            Kind::Btrfs => Some("btrfs"),
            _ => None,
        });
        if let Some(module) = module.filter(|module| !has(module)) {
            say(format!("the initramfs has no module for the root filesystem: {module}"), out);
        }
    }
}

pub(crate) static KERNEL_MODULES: Rule = Rule {
    name: "kernel-modules",
    summary: "a kernel has no modules of its version",
    level: Level::Error,
    why: "It boots as far as its initramfs goes, and then has no network, no filesystems and no devices. Source: \
          modprobe(8), depmod(8).",
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
                "there are none at all".to_owned()
            } else {
                format!("there are: {others}")
            };
            let message = format!("kernel {version} has no modules: there is no {directory}, {there}");
            report_of_kernel(facts, at, chosen, message, &mut seen, out);
        } else if !system.exists(&format!("{directory}/modules.dep"))
            && seen.insert((at.clone(), directory.clone()))
        {
            out.report(format!("the modules of kernel {version} have no index (modules.dep)"))
                .path(directory)
                .help("run `depmod` in the image, in a PostChrootShell hook");
        }
    }
}
