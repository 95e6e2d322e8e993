//! From loader entry to root filesystem: everything that a boot follows, followed without booting.

use crate::lint::Level;
use crate::plan::{ESP, Firmware};
use crate::template::Bytes;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Found, Rule};
use crate::verify::system::System;

pub const ENTRIES: &str = "/boot/loader/entries";

/// A loader entry. Source: The Boot Loader Specification (UAPI.1), "Type #1 Boot Loader Specification Entries".
pub struct Entry {
    pub path: String,
    /// As the loader sees it: from the root of the boot partition.
    linux: Option<String>,
    initrds: Vec<String>,
    pub options: String,
}

pub fn entries(system: &System) -> Vec<Entry> {
    let names = system.list(ENTRIES);
    let texts = names.iter().filter(|name| name.ends_with(".conf")).filter_map(|name| {
        let path = format!("{ENTRIES}/{name}");
        Some((path.clone(), system.text(&path)?))
    });
    texts
        .map(|(path, text)| {
            let fields: Vec<(&str, &str)> = text
                .lines()
                .filter_map(|line| line.trim().split_once(char::is_whitespace))
                .map(|(key, value)| (key, value.trim()))
                .collect();
            let all = |name: &str| -> Vec<String> {
                fields.iter().filter(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()).collect()
            };
            Entry {
                path,
                linux: all("linux").pop().or_else(|| all("efi").pop()),
                initrds: all("initrd")
                    .iter()
                    .flat_map(|v| v.split_whitespace())
                    // What a loader's own scripts fill in, as Fedora's.
                    .filter(|path| !path.contains('$'))
                    .map(str::to_owned)
                    .collect(),
                options: all("options").join(" "),
            }
        })
        .collect()
}

/// The path in the system's view of what an entry names: entries name files of their own partition.
fn in_system(system: &System, path: &str) -> String {
    let own = system.tree.find(ENTRIES).map(|entries| system.partition_of(entries));
    match system.mounts.iter().find(|mounted| Some(mounted.partition) == own) {
        Some(mounted) => format!("{}/{}", mounted.at, path.trim_start_matches('/')),
        None => path.to_owned(),
    }
}

/// The system, if it is one that should boot and its /boot could be read.
fn bootable(facts: &Facts) -> Option<&System> {
    let system = facts.system.as_ref()?;
    if let Some(plan) = &facts.plan {
        plan.boot.as_ref()?;
        let apart = |at: &str| plan.partition_at(at).map(|(_, partition)| partition.number);
        let mut needed = ["/boot", "/efi", "/boot/efi"].into_iter().filter_map(apart);
        return needed.all(|number| system.mounts.iter().any(|m| m.partition == number)).then_some(system);
    }
    // Without a plan: what has a kernel, a loader's folder or an ESP is meant to boot.
    let meant = system.exists(ENTRIES) || system.list("/boot").iter().any(|name| name.starts_with("vmlinuz"));
    meant.then_some(system)
}

pub static ENTRY_MISSING: Rule = Rule {
    name: "entry-missing",
    summary: "the loader has no entry",
    level: Level::Error,
    why: "systemd-boot starts what loader/entries lists, and GRUB's configuration is made from it. Source: The Boot Loader \
          Specification (UAPI.1).",
    check: Check::Disk(missing),
};

fn missing(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    let unified = system.list("/boot/EFI/Linux").iter().any(|name| name.ends_with(".efi"));
    let grub = system.exists("/boot/grub/grub.cfg");
    if entries(system).is_empty() && !unified && !grub {
        out.report(format!("there is no loader entry in {ENTRIES}"))
            .path(ENTRIES)
            .help("look at what hooks (PostNonChroot) do there, and at `Bundles` for a kernel");
    }
}

pub static ENTRY_KERNEL: Rule = Rule {
    name: "entry-kernel",
    summary: "a loader entry names a kernel that is not there",
    level: Level::Error,
    why: "The loader stops with \"not found\". Source: The Boot Loader Specification (UAPI.1), key `linux`.",
    check: Check::Disk(kernel),
};

fn kernel(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    for entry in entries(system) {
        match &entry.linux {
            None => {
                out.report("the loader entry names no kernel").path(&entry.path);
            }
            Some(linux) if !system.exists(&in_system(system, linux)) => {
                out.report(format!("the loader entry names the kernel {linux}, which is not there"))
                    .path(&entry.path)
                    .help("add a kernel bundle to `Bundles`, or correct the hook that wrote the entry");
            }
            Some(_) => {}
        }
    }
}

pub static ENTRY_INITRD: Rule = Rule {
    name: "entry-initrd",
    summary: "a loader entry names an initramfs that is not there",
    level: Level::Error,
    why: "The loader stops, or the kernel starts without it and finds no root. Source: The Boot Loader Specification \
          (UAPI.1), key `initrd`.",
    check: Check::Disk(initrd),
};

fn initrd(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    for entry in entries(system) {
        for initrd in entry.initrds.iter().filter(|path| !system.exists(&in_system(system, path))) {
            out.report(format!("the loader entry names the initramfs {initrd}, which is not there"))
                .path(&entry.path);
        }
    }
}

pub static KERNEL_DAMAGED: Rule = Rule {
    name: "kernel-damaged",
    summary: "a kernel's file is none",
    level: Level::Error,
    why: "It has neither the boot protocol's header nor that of an EFI program: no loader starts it. Source: Linux, \
          Documentation/arch/x86/boot.rst, \"The Real-Mode Kernel Header\".",
    check: Check::Disk(kernel_damaged),
};

fn kernel_damaged(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    for path in named(system, |entry| entry.linux.clone().into_iter().collect()) {
        let Some(bytes) = system.bytes(&path) else { continue };
        if !is_kernel(bytes) {
            out.report("the kernel has no boot header (`HdrS`)").path(path);
        }
    }
}

/// By its first bytes. Source: Linux, Documentation/arch/x86/boot.rst.
pub fn is_kernel(bytes: &[u8]) -> bool {
    bytes.get(0x202..0x206) == Some(b"HdrS") && bytes.get(0x1fe..0x200) == Some(&[0x55, 0xaa])
}

pub static INITRD_DAMAGED: Rule = Rule {
    name: "initrd-damaged",
    summary: "an initramfs is no archive",
    level: Level::Error,
    why: "The kernel unpacks cpio archives, plain or compressed; anything else is \"junk\" to it, and the root is not found. \
          Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.",
    check: Check::Disk(initrd_damaged),
};

/// cpio "newc", gzip, bzip2, xz, lzma, lz4 (legacy), zstd. Source: Linux, lib/decompress.c.
const ARCHIVES: &[&[u8]] = &[
    b"070701",
    b"070702",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",
    b"\x02\x21\x4c\x18",
    b"\x28\xb5\x2f\xfd",
];

/// By its first bytes.
pub fn is_initrd(bytes: &[u8]) -> bool {
    ARCHIVES.iter().any(|magic| bytes.starts_with(magic))
}

fn initrd_damaged(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    for path in named(system, |entry| entry.initrds.clone()) {
        let Some(bytes) = system.bytes(&path) else { continue };
        if !is_initrd(bytes) {
            out.report("the initramfs is neither a cpio archive nor compressed").path(path);
        }
    }
}

/// Files that the entries name, each once.
fn named(system: &System, files: impl Fn(&Entry) -> Vec<String>) -> Vec<String> {
    let mut paths: Vec<String> =
        entries(system).iter().flat_map(files).map(|path| in_system(system, &path)).collect();
    paths.sort();
    paths.dedup();
    paths
}

pub static KERNEL_MODULES: Rule = Rule {
    name: "kernel-modules",
    summary: "a kernel has no modules of its version",
    level: Level::Error,
    why: "It boots as far as its initramfs goes, and then has no network, no filesystems and no devices. Source: \
          modprobe(8), depmod(8).",
    check: Check::Disk(modules),
};

fn modules(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    for name in system.list("/boot") {
        if !name.starts_with("vmlinuz") {
            continue;
        }
        let bytes = system.bytes(&format!("/boot/{name}")).unwrap_or_default();
        let Some(version) = kernel_version(bytes) else { continue };
        let folder = format!("/lib/modules/{version}");
        if !system.exists(&folder) {
            let others = system.list("/lib/modules").join(", ");
            let there = if others.is_empty() {
                "there are none at all".to_owned()
            } else {
                format!("there are: {others}")
            };
            out.report(format!("kernel {version} has no modules: there is no {folder}, {there}"))
                .path(format!("/boot/{name}"));
        } else if !system.exists(&format!("{folder}/modules.dep")) {
            out.report(format!("the modules of kernel {version} have no index (modules.dep)"))
                .path(folder)
                .help("run `depmod` in the image, in a PostChrootShell hook");
        }
    }
}

/// What a kernel calls itself, whatever its file is called. Source: Linux, Documentation/arch/x86/boot.rst,
/// kernel_version.
fn kernel_version(bytes: &[u8]) -> Option<String> {
    if bytes.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = usize::from(u16::from_le_bytes(bytes.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text = bytes.get(at..)?.split(|byte| *byte == 0 || *byte == b' ').next()?;
    let text = std::str::from_utf8(text).ok()?;
    (text.starts_with(|c: char| c.is_ascii_digit()) && text.len() < 200).then(|| text.to_owned())
}

pub static ROOT_MISSING: Rule = Rule {
    name: "root-filesystem",
    summary: "no partition holds a root filesystem",
    level: Level::Error,
    why: "Nothing has /etc and /usr, or what should be the root cannot be read: there is nothing to boot into. Source: \
          file-hierarchy(7).",
    check: Check::Disk(root),
};

fn root(facts: &Facts, out: &mut Found) {
    let locked = facts.partitions.iter().any(|p| p.luks.as_ref().is_some_and(|luks| luks.locked));
    // A disk of data needs none.
    let planned = facts.planned().map(|disk| disk.partitions.iter().any(|p| p.mount.as_deref() == Some("/")));
    let meant = planned.unwrap_or_else(|| {
        facts.partitions.iter().any(|p| p.entry.type_guid == ESP || p.entry.type_guid == ROOT_X86_64)
    });
    if facts.system.is_none() && !locked && meant {
        out.report("no partition holds a root filesystem that can be read");
        return;
    }
    if let Some(system) = &facts.system
        && !(system.exists("/etc") && system.exists("/usr"))
    {
        out.report(format!("partition {} should be the root and has no /etc or no /usr", system.root))
            .partition(system.root);
    }
}

pub static ROOT_OPTION: Rule = Rule {
    name: "root-option",
    summary: "root= does not lead to the root partition",
    level: Level::Error,
    why: "The initramfs waits for a device that never comes, and ends in a shell. Without root= the partition's type has to \
          say it. Source: Linux, Documentation/admin-guide/kernel-parameters.txt, root=; The Discoverable Partitions \
          Specification (UAPI.2).",
    check: Check::Disk(root_option),
};

/// Root partitions of x86-64. Source: UAPI.2.
const ROOT_X86_64: uuid::Uuid = uuid::uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");

fn root_option(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    let Some(partition) = facts.partition(system.root) else { return };
    for entry in entries(system) {
        let words = entry.options.split_whitespace();
        let Some(root) = words.filter_map(|word| word.strip_prefix("root=")).next_back() else {
            if partition.entry.type_guid != ROOT_X86_64 {
                out.report(
                    "the loader entry has no root=, and the root partition's type does not say what it is",
                )
                .path(&entry.path);
            }
            continue;
        };
        if !super::mounts::leads_to(facts, system, root, system.root) {
            out.report(format!("root={root} does not lead to partition {}, the root", system.root))
                .path(&entry.path)
                .help(
                    "the plan's command line does: look at `cmdline` and at hooks that change loader entries",
                );
        }
    }
}

pub static BOOT_SPACE: Rule = Rule {
    name: "boot-space",
    summary: "the loader's partition has no room for another kernel",
    level: Level::Note,
    why: "An update installs the new kernel beside the old one, and fails half-way where there is no room. Source: \
          `ister plan`, the space forecast.",
    check: Check::Disk(space),
};

fn space(facts: &Facts, out: &mut Found) {
    let Some(system) = bootable(facts) else { return };
    let by_uefi =
        facts.plan.as_ref().and_then(|p| p.boot.as_ref()).is_none_or(|b| b.firmware == Firmware::Uefi);
    let place = system.tree.find(ENTRIES).map(|entries| system.partition_of(entries));
    let esp = system.mounts.iter().find(|m| Some(m.partition) == place).filter(|_| by_uefi);
    let Some(mounted) = esp else { return };
    let Some(free) = facts.partition(mounted.partition).and_then(|p| p.free) else { return };
    let size = |prefix: &str| {
        let names = system.list("/boot");
        let sizes = names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .filter_map(|name| system.node(&format!("/boot/{name}")).map(|node| node.size));
        sizes.max().unwrap_or(0)
    };
    let need = size("vmlinuz-") + size("initrd.img-");
    if need > free.0 {
        out.report(format!("another kernel takes {}, {free} are free", Bytes(need)))
            .partition(mounted.partition)
            .help("make the partition larger: 512M has room for many");
    }
}
