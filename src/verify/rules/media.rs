//! Published files that are not disks.

use crate::finding::Level;
use crate::image::format::MediumKind;
use crate::plan::Firmware;
use crate::verify::boot_path::is_initramfs;
use crate::verify::medium::MediumFacts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static CD_START: Rule = Rule {
    name: "cd-start",
    summary: "a CD does not boot with BIOS or with UEFI",
    level: Level::Error,
    why: "Firmware looks in the El Torito boot catalog for an image for its own platform. If there is \
          none, it boots from the disk. Sources: El Torito 1.0; UEFI 2.10, 13.3.2.",
    check: Check::Medium(cd_start),
};

fn cd_start(facts: &MediumFacts, out: &mut Findings) {
    let Some(images) = facts.start.as_ref().and_then(|start| start.cd.as_ref()) else {
        of_others(facts, out);
        return;
    };
    for (firmware, name) in [(Firmware::Bios, "BIOS"), (Firmware::Uefi, "UEFI")] {
        let mut of_it = images.iter().filter(|image| image.firmware == firmware).peekable();
        if of_it.peek().is_none() {
            out.report(format!("the boot catalog has no image for {name}"));
        }
        for fault in of_it.filter_map(|image| image.fault.as_ref()) {
            out.report(format!("the boot image for {name} is damaged: {fault}"));
        }
    }
}

/// A CD that ister did not build. It may support only one firmware.
fn of_others(facts: &MediumFacts, out: &mut Findings) {
    if facts.kind != MediumKind::Cd {
        return;
    }
    let paths = &facts.boot_paths.paths;
    for (firmware, name) in [(Firmware::Bios, "BIOS"), (Firmware::Uefi, "UEFI")] {
        if !paths.iter().any(|path| path.firmware == firmware) {
            let level = if paths.is_empty() { Level::Error } else { Level::Note };
            out.report(format!("the boot catalog has no image for {name}")).level(level);
        }
    }
    for (step, chosen) in facts.boot_paths.steps() {
        for issue in &step.issues {
            let added = out.report(issue.message.clone());
            let added = if chosen { added.level(Level::Warning) } else { added };
            if let Some(at) = &step.file {
                added.path(at.path.clone());
            }
        }
    }
}

pub(super) static MEDIUM_KERNEL: Rule = Rule {
    name: "medium-kernel",
    summary: "the kernel or initramfs of a CD or a network boot archive is missing or damaged",
    level: Level::Error,
    why: "The boot loader cannot load the file and stops. Sources: Linux, Documentation/arch/x86/boot.rst \
          and Documentation/driver-api/early-userspace/buffer-format.rst.",
    check: Check::Medium(kernel),
};

/// Whether the bytes are a Linux kernel, by its boot header. Source: Linux, Documentation/arch/x86/boot.rst.
fn is_kernel(bytes: &[u8]) -> bool {
    bytes.get(0x202..0x206) == Some(b"HdrS") && bytes.get(0x1fe..0x200) == Some(&[0x55, 0xaa])
}

fn kernel(facts: &MediumFacts, out: &mut Findings) {
    let Some(start) = &facts.start else {
        for (start, chosen) in facts.boot_paths.kernels() {
            let image = start.image.iter().filter_map(|(at, image)| Some((at, image.damage.as_ref()?)));
            let initramfs =
                start.initramfs.iter().filter_map(|(at, archive)| Some((at, archive.damage.as_ref()?)));
            for (at, damage) in image.chain(initramfs) {
                let level = if chosen { Level::Warning } else { Level::Error };
                out.report(damage.clone()).path(at.path.clone()).level(level);
            }
        }
        return;
    };
    let (name, bytes) = &start.kernel;
    match bytes {
        None => drop(out.report("kernel missing").path(name.clone())),
        Some(bytes) if !is_kernel(bytes) => {
            out.report("the kernel has no boot header (`HdrS`)").path(name.clone());
        }
        Some(_) => {}
    }
    if start.initrds.is_empty() {
        out.report("the boot configuration has no initramfs");
    }
    for (name, bytes) in &start.initrds {
        match bytes {
            None => drop(out.report("initramfs missing").path(name.clone())),
            Some(bytes) if !is_initramfs(bytes) => {
                out.report("the initramfs is neither a cpio archive nor compressed").path(name.clone());
            }
            Some(_) => {}
        }
    }
}

pub(super) static MEDIUM_TREE: Rule = Rule {
    name: "medium-tree",
    summary: "a root tree is unreadable or incomplete",
    level: Level::Error,
    why: "Unpacking it fails, or the result does not boot. Sources: POSIX.1-2017, pax; Linux, \
          Documentation/driver-api/early-userspace/buffer-format.rst and \
          Documentation/filesystems/squashfs.rst.",
    check: Check::Medium(tree),
};

fn tree(facts: &MediumFacts, out: &mut Findings) {
    if let Some(why) = facts.unreadable.as_ref().filter(|_| facts.kind != MediumKind::Damaged) {
        // A CD that ister did not build may not be a live system.
        let level =
            if facts.kind == MediumKind::Cd && facts.start.is_none() { Level::Note } else { Level::Error };
        out.report(format!("the root tree cannot be read: {why}")).level(level);
    }
    let Some(system) = &facts.system else { return };
    let is_there = |path: &&str| system.exists(path);
    if !["/bin/sh", "/usr/bin/sh"].iter().any(is_there) {
        out.report("the root tree has no shell").path("/bin/sh");
    }
    let starts = facts.start.is_some();
    if starts && !["/init", "/sbin/init", "/usr/sbin/init"].iter().any(is_there) {
        out.report("the root tree has no init").path("/sbin/init");
    }
    // After a network boot the kernel runs only /init. Source: Linux,
    // Documentation/filesystems/ramfs-rootfs-initramfs.rst.
    if facts.kind == MediumKind::NetworkBoot && !system.exists("/init") {
        out.report("the initramfs has no /init").path("/init");
    }
}

pub(super) static PUBLISHED_FILE: Rule = Rule {
    name: "published-file",
    summary: "a published file is truncated or damaged",
    level: Level::Error,
    why: "Users who download it get no disk, or one whose end is missing. Sources: qemu-img(1), check; \
          RFC 1952, 2.3.1; The .xz File Format 1.2, 2.1; RFC 8878, 3.1.1.",
    check: Check::Medium(published),
};

fn published(facts: &MediumFacts, out: &mut Findings) {
    if let Some(why) = facts.unreadable.as_ref().filter(|_| facts.kind == MediumKind::Damaged) {
        out.report(why.clone());
    }
}

pub(super) static OCI_LAYOUT: Rule = Rule {
    name: "oci-layout",
    summary: "an OCI image is incomplete or damaged",
    level: Level::Error,
    why: "Container tools check each digest when they pull or load an image, and reject a mismatch. \
          Source: OCI Image Format Specification 1.0, image-layout.md and descriptor.md.",
    check: Check::Medium(layout),
};

fn layout(facts: &MediumFacts, out: &mut Findings) {
    for damage in &facts.damage {
        out.report(damage.clone());
    }
}
