//! Whether the installed kernels boot, and a new one after an update. No package is installed for this check.

use super::boot::{ENTRIES, entries, in_system};
use super::mounts::fstab;
use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::verify::boot_path::KernelStart;
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

pub(super) static KERNEL_ENTRY: Rule = Rule {
    name: "kernel-entry",
    summary: "an installed kernel has no menu entry, or an outdated copy of it boots",
    level: Level::Warning,
    why: "A kernel that was installed while the ESP was not mounted, for example by a hook of an image \
          builder, has no menu entry. For the same reason a regenerated initramfs may not have been copied \
          to the ESP. Source: kernel-install(8).",
    check: Check::Disk(installed_kernels),
};

fn installed_kernels(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let names = system.list("/boot");
    // Kernels without an initramfs may be something else, and rescue kernels need no entry.
    let installed: Vec<(&str, String)> = names
        .iter()
        .filter_map(|name| name.strip_prefix("vmlinuz-"))
        .filter(|version| !version.starts_with("0-rescue-"))
        .filter_map(|version| {
            let initramfs = [format!("initrd.img-{version}"), format!("initramfs-{version}.img")];
            Some((version, initramfs.into_iter().find(|name| names.contains(name))?))
        })
        .collect();
    let started: Vec<&KernelStart> = facts.boot_paths.kernels().map(|(start, _)| start).collect();
    let images: Vec<String> =
        started.iter().filter_map(|start| Some(in_system(facts, &start.image.as_ref()?.0).1)).collect();
    let is_of = |path: &str, version: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        path.split('/').any(|part| part == version)
            || name.strip_suffix(".efi").unwrap_or(name).ends_with(&format!("-{version}"))
    };
    let has_entry = |version: &str| images.iter().any(|path| is_of(path, version));
    // If no entry is named after a kernel, the names say nothing.
    if !installed.iter().any(|(version, _)| has_entry(version)) {
        return;
    }
    for (version, _) in installed.iter().filter(|(version, _)| !has_entry(version)) {
        out.report(format!("no boot loader entry starts the kernel {version}"))
            .path(format!("/boot/vmlinuz-{version}"))
            .help("add an entry, or remove the package of this kernel");
    }
    // Copies as kernel-install makes them. The content of both was read only partly.
    let copies = started.iter().flat_map(|start| {
        start.image.iter().map(|(at, _)| at).chain(start.initramfs.iter().map(|(at, _)| at))
    });
    for copy in copies {
        let path = in_system(facts, copy).1;
        let mut parts = path.rsplit('/');
        let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let Some((_, initramfs)) = installed.iter().find(|(other, _)| *other == version) else { continue };
        let original = match name {
            "linux" => format!("/boot/vmlinuz-{version}"),
            name if name == initramfs => format!("/boot/{name}"),
            _ => continue,
        };
        // A partition that fstab does not mount is not part of the system.
        let (Some(copied), Some(node)) = (system.node(&path), system.node(&original)) else { continue };
        let starts_differ =
            system.bytes(&path).zip(system.bytes(&original)).is_some_and(|(copy, original)| copy != original);
        if copied.size != node.size || starts_differ {
            out.report(format!("{path}, which boots, is not the same as {original}"))
                .path(path.clone())
                .help(format!("copy it again: `kernel-install add {version} /boot/vmlinuz-{version}`"));
        }
    }
}

const COMMAND_LINE: &str = "/etc/kernel/cmdline";
const TOKEN: &str = "/etc/kernel/entry-token";
const KERNEL_INSTALL: &str = "/usr/bin/kernel-install";
const GRUB_MKCONFIG: &str = "/usr/sbin/grub-mkconfig";
/// Hooks of kernel packages, in `postinst.d` and `postrm.d`.
const OF_KERNEL_INSTALL: &str = "zz-systemd-boot";
const OF_GRUB: &str = "zz-update-grub";
/// Programs that create an initramfs, and their hooks.
const INITRAMFS: [(&str, &str); 2] =
    [("/usr/sbin/update-initramfs", "initramfs-tools"), ("/usr/bin/dracut", "dracut")];

fn update(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let packages = system.list("/var/lib/dpkg/info");
    let has_kernel = packages.iter().any(|name| name.starts_with("linux-image-") && name.ends_with(".list"));
    let Some(place) = system.tree.find(ENTRIES).filter(|_| has_kernel) else { return };
    let partition = system.partition_of(place);
    let mounted = system.mounts.iter().find(|mounted| mounted.partition == partition);
    let is_vfat = facts.partition(partition).is_some_and(|p| p.kind == Some(VolumeKind::Vfat));
    for (program, hook) in INITRAMFS {
        if is_executable(system, program) {
            hooks(system, &["postinst.d"], hook, "no hook creates the initramfs of a new kernel", hook, out);
        }
    }
    match mounted {
        Some(mounted) if mounted.at == "/boot" && is_vfat => {
            out.report("/boot is FAT, so dpkg cannot replace the files of a kernel package")
                .partition(partition)
                .help("mount the EFI partition at /efi or /boot/efi; ister does so for apt content of Debian 12 and later");
        }
        Some(mounted) if is_vfat => on_esp(system, &mounted.at, out),
        // GRUB reads kernels from the root filesystem.
        _ if system.exists("/boot/grub/grub.cfg") => by_grub(facts, system, out),
        _ => {}
    }
}

fn is_executable(system: &System, path: &str) -> bool {
    system.node(path).is_some_and(|node| node.mode & 0o111 != 0)
}

/// Checks that the hooks of kernel packages are executable; run-parts(8) skips others silently.
fn hooks(system: &System, places: &[&str], hook: &str, without: &str, package: &str, out: &mut Findings) {
    for place in places {
        let path = format!("/etc/kernel/{place}/{hook}");
        if !system.exists(&path) {
            out.report(without).path(path).help(format!("install the package `{package}`"));
        } else if !is_executable(system, &path) {
            out.report(format!("{path} is not executable, so it does not run"))
                .path(path)
                .help("make it executable (mode 0755)");
        }
    }
}

fn program(system: &System, path: &str, package: &str, out: &mut Findings) {
    if !is_executable(system, path) {
        out.report(format!(
            "{path} is missing or not executable; the hooks of kernel packages do nothing without it"
        ))
        .path(path)
        .help(format!("install the package `{package}`"));
    }
}

/// Checks for kernels that GRUB reads from the root filesystem.
fn by_grub(facts: &Facts, system: &System, out: &mut Findings) {
    let without = "no hook regenerates the GRUB configuration after a kernel update";
    hooks(system, &["postinst.d", "postrm.d"], OF_GRUB, without, "grub2-common", out);
    program(system, GRUB_MKCONFIG, "grub-common", out);
    let Some((settings, later)) = options_of_grub(system) else { return };
    let Some((start, _)) = facts.boot_paths.kernels().find(|(_, chosen)| !chosen) else { return };
    // grub-mkconfig itself writes these.
    let is_own = |word: &&str| {
        !["BOOT_IMAGE=", "root=", "initrd="].iter().any(|own| word.starts_with(own)) && *word != "ro"
    };
    let missing: Vec<&str> = start
        .options
        .split_whitespace()
        .filter(is_own)
        .filter(|word| !later.iter().any(|other| other == word))
        .collect();
    let value = |words: &mut dyn Iterator<Item = &str>| {
        words.filter_map(|word| word.strip_prefix("root=")).last().map(str::to_owned)
    };
    let now = value(&mut start.options.split_whitespace());
    let root = value(&mut later.iter().map(String::as_str));
    if !missing.is_empty() || root.is_some() && root != now {
        let message = match root.filter(|root| Some(root) != now.as_ref()) {
            Some(root) => format!("the next kernel would get another root filesystem: `root={root}`"),
            None => format!("the next kernel would not get the options `{}`", missing.join(" ")),
        };
        out.report(message).path(settings).help(format!(
            "set GRUB_CMDLINE_LINUX to the options of the current kernel: `{}`",
            start.options
        ));
    }
}

/// Returns the options that grub-mkconfig gives kernels, and the file that sets them; `None` if they are computed. Source:
/// grub-mkconfig of Debian: /etc/default/grub, then /etc/default/grub.d/*.cfg.
fn options_of_grub(system: &System) -> Option<(String, Vec<String>)> {
    let directory = "/etc/default/grub.d";
    let more = system.list(directory).into_iter().filter(|name| name.ends_with(".cfg"));
    let files =
        std::iter::once("/etc/default/grub".to_owned()).chain(more.map(|name| format!("{directory}/{name}")));
    let mut last = "/etc/default/grub".to_owned();
    let (mut always, mut normally) = (String::new(), String::new());
    for path in files {
        for line in system.text(&path).unwrap_or_default().lines() {
            let Some((name, value)) = line.trim().split_once('=') else { continue };
            let place = match name {
                "GRUB_CMDLINE_LINUX" => &mut always,
                "GRUB_CMDLINE_LINUX_DEFAULT" => &mut normally,
                _ => continue,
            };
            if value.contains(['$', '`', '\\']) {
                return None;
            }
            last.clone_from(&path);
            *place = value.trim_matches(['"', '\'']).to_owned();
        }
    }
    let words = format!("{always} {normally}");
    Some((last, words.split_whitespace().map(str::to_owned).collect()))
}

/// Checks for kernels that kernel-install copies to the ESP.
fn on_esp(system: &System, esp: &str, out: &mut Findings) {
    let without =
        "the hook that copies kernels to the EFI partition, or removes old ones from it, is missing";
    hooks(system, &["postinst.d", "postrm.d"], OF_KERNEL_INSTALL, without, "systemd-boot", out);
    program(system, KERNEL_INSTALL, "systemd", out);
    let layout = system.text("/etc/kernel/install.conf").unwrap_or_default();
    let layout = layout.lines().filter_map(|line| line.trim().strip_prefix("layout=")).next_back();
    if let Some(layout) = layout.filter(|layout| !matches!(*layout, "bls" | "auto" | "uki")) {
        out.report(format!("kernel-install does not copy kernels in the layout `{layout}`"))
            .path("/etc/kernel/install.conf")
            .help("remove the line, or set `layout=bls`");
    }
    if !is_mounted_at_boot(system, esp) {
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

/// Whether fstab or a unit that is started at boot mounts it. An automount counts.
fn is_mounted_at_boot(system: &System, at: &str) -> bool {
    let by_fstab = fstab(system).into_iter().filter(|line| line.at.trim_end_matches('/') == at).any(|line| {
        let mut options = line.options.split(',');
        line.options.split(',').any(|option| option == "x-systemd.automount")
            || options.all(|option| option != "noauto")
    });
    let unit = at.trim_start_matches('/').replace('/', "-");
    let names = [format!("{unit}.mount"), format!("{unit}.automount")];
    let directories = ["/etc/systemd/system", "/usr/lib/systemd/system"];
    let by_unit = directories.iter().any(|directory| {
        let wanting = system.list(directory);
        let wanting = wanting.iter().filter(|name| name.ends_with(".wants") || name.ends_with(".requires"));
        wanting.into_iter().any(|wanting| {
            system.list(&format!("{directory}/{wanting}")).iter().any(|name| names.contains(name))
        })
    });
    by_fstab || by_unit
}
