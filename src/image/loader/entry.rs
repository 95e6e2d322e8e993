//! The loader entry in the root tree.

use super::kernel::{Kernel, newest_kernel};
use super::{grub_efi, systemd_boot};
use crate::content::Tree;
use crate::host::Failure;
use crate::plan::bls::{self, LoaderEntry};
use crate::plan::command_line::{ADDED_BY_LOADERS, LONGEST, words};
use crate::plan::{Loader, Plan};
use crate::template::{ESP_AS_BOOT, ESP_OF_KERNEL_INSTALL, SoftwareManager};

/// Directory of loader entries as seen by hooks, the same for all loaders.
pub(super) const ENTRIES: &str = "/boot/loader/entries";
const SETTINGS: &str = "/boot/loader/loader.conf";

/// Kernel options of kernels that are installed later. Source: kernel-install(8).
const COMMAND_LINE: &str = "/etc/kernel/cmdline";
/// Prefix of the names of kernel-install's entries.
const ENTRY_TOKEN: &str = "/etc/kernel/entry-token";
/// Makes kernel-install choose the layout of the Boot Loader Specification. Relative to the boot directory.
const ENTRIES_SREL: &str = "loader/entries.srel";
const KERNEL_INSTALL: &str = "/usr/bin/kernel-install";

/// Writes the loader entry and those files of the loader that do not depend on hooks.
pub fn install_loader(plan: &Plan, tree: &Tree) -> Result<(), Failure> {
    let Some(boot) = &plan.boot else { return Ok(()) };
    let kernel = newest_kernel(|directory| tree.list(directory)).ok_or_else(|| {
        Failure::new("no kernel in the package contents: /boot/vmlinuz-*, /usr/lib/kernel and /usr/lib/modules contain none")
            .help("add a kernel bundle to `Bundles`: kernel-kvm for virtual machines, kernel-native for any machine")
    })?;
    for (from, to) in &kernel.copies {
        tree.copy(from, to)?;
    }
    let own = kernel.options.as_ref().map(|path| tree.read(path)).transpose()?.flatten().unwrap_or_default();
    // The options of the kernel package come first, because later options override earlier ones.
    let options: Vec<&str> = words(&own).into_iter().chain([boot.kernel_command_line.as_str()]).collect();
    let options = options.join(" ");
    if options.len() + ADDED_BY_LOADERS > LONGEST {
        return Err(Failure::new(format!("the kernel command line is too long: {} bytes", options.len()))
            .detail(format!("the limit of the kernel is {LONGEST} bytes, of which a boot loader may use {ADDED_BY_LOADERS}"))
            .of_template());
    }
    let release = tree.read("/etc/os-release")?.or(tree.read("/usr/lib/os-release")?).unwrap_or_default();
    let field = |name: &str| {
        release
            .lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim_matches('"').to_owned()))
    };
    let id = field("ID").unwrap_or_else(|| "linux".to_owned());
    let title = field("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned());
    let name = kernel.entry.clone().unwrap_or_else(|| format!("{id}-{}", kernel.version));
    if boot.esp.as_deref() == Some(ESP_OF_KERNEL_INSTALL) {
        write_kernel_install_layout(tree, &id, &kernel)?;
        let text = entry(&title, &kernel, &kernel_install_paths(&id, &kernel), Some(&id), &options);
        tree.write(&format!("{ENTRIES}/{name}.conf"), &text, 0o644)?;
    } else {
        let kernels_of_rpm = has_kernels_of_rpm(plan, tree);
        if kernels_of_rpm {
            tree.write(ENTRY_TOKEN, &format!("{id}\n"), 0o644)?;
            tree.write(&format!("/boot/{ENTRIES_SREL}"), "type1\n", 0o644)?;
        }
        let directory = directory_of_boot(plan);
        let files = Files {
            linux: format!("{directory}{}", kernel.image),
            initrds: kernel.initramfs.iter().map(|path| format!("{directory}{path}")).collect(),
        };
        let sort_key = kernels_of_rpm.then_some(id.as_str());
        let text = entry(&title, &kernel, &files, sort_key, &options);
        tree.write(&format!("{ENTRIES}/{name}.conf"), &text, 0o644)?;
    }
    match (boot.loader, &boot.esp) {
        (Loader::SystemdBoot, esp) => systemd_boot::install(tree, esp.as_deref().unwrap_or(ESP_AS_BOOT)),
        (Loader::Grub, Some(esp)) => grub_efi::install(plan, tree, esp, &id),
        (Loader::Grub, None) => Ok(()),
    }
}

/// Writes the options of the entry, as changed by hooks, for kernels that are installed later. Clear Linux manages
/// them with clr-boot-manager instead.
pub(super) fn write_kernel_options(plan: &Plan, tree: &Tree) -> Result<(), Failure> {
    let Some(boot) = plan.boot.as_ref().filter(|_| plan.content.manager != SoftwareManager::Swupd) else {
        return Ok(());
    };
    // Without an entry there are no options. Other checks report that the image does not boot.
    let Some(entry) = starting_entry(boot.loader, tree)? else { return Ok(()) };
    // Do not overwrite the file if only the file, not the entry, was changed by a hook.
    if entry.options == boot.kernel_command_line {
        return Ok(());
    }
    tree.write(COMMAND_LINE, &format!("{}\n", entry.options), 0o644)
}

/// Returns whether kernel packages run kernel-install, as in rpm distributions.
pub(super) fn has_kernels_of_rpm(plan: &Plan, tree: &Tree) -> bool {
    plan.content.manager == SoftwareManager::Dnf && tree.exists(KERNEL_INSTALL)
}

/// Returns /boot as seen by the loader: the root of the boot partition, or /boot of the root partition.
pub(super) fn directory_of_boot(plan: &Plan) -> String {
    if plan.partition_at("/boot").is_some() { String::new() } else { "/boot".to_owned() }
}

/// Writes all files to the paths where kernel-install puts and expects them. Source: kernel-install(8), "The Boot
/// Loader Specification".
fn write_kernel_install_layout(tree: &Tree, token: &str, kernel: &Kernel) -> Result<(), Failure> {
    const ESP: &str = ESP_OF_KERNEL_INSTALL;
    tree.make_directory(ESP)?;
    tree.make_directory(&format!("{ESP}/loader/entries"))?;
    tree.write(&format!("{ESP}/{ENTRIES_SREL}"), "type1\n", 0o644)?;
    tree.write(ENTRY_TOKEN, &format!("{token}\n"), 0o644)?;
    // Hooks of published templates edit entries below /boot.
    tree.remove_empty_directory(ENTRIES);
    tree.remove_empty_directory("/boot/loader");
    tree.symlink("/boot/loader", "../efi/loader")?;
    let files = kernel_install_paths(token, kernel);
    tree.copy(&format!("/boot{}", kernel.image), &format!("{ESP}{}", files.linux))?;
    for (from, to) in kernel.initramfs.iter().zip(&files.initrds) {
        tree.copy(&format!("/boot{from}"), &format!("{ESP}{to}"))?;
    }
    Ok(())
}

fn kernel_install_paths(token: &str, kernel: &Kernel) -> Files {
    let directory = format!("/{token}/{}", kernel.version);
    Files {
        linux: format!("{directory}/linux"),
        initrds: kernel.initramfs.iter().map(|path| format!("{directory}{path}")).collect(),
    }
}

/// Paths as seen by the loader.
struct Files {
    linux: String,
    initrds: Vec<String>,
}

fn entry(title: &str, kernel: &Kernel, files: &Files, sort_key: Option<&str>, options: &str) -> String {
    let initramfs: String = files.initrds.iter().map(|path| format!("initrd {path}\n")).collect();
    let sort_key = sort_key.map(|key| format!("sort-key {key}\n")).unwrap_or_default();
    format!(
        "title {title}\nversion {}\n{sort_key}linux {}\n{initramfs}options {options}\n",
        kernel.version, files.linux,
    )
}

/// Returns the default entry among those with a kernel. Hooks may add entries of EFI programs.
pub(super) fn starting_entry(loader: Loader, tree: &Tree) -> Result<Option<LoaderEntry>, Failure> {
    let mut entries = Vec::new();
    for name in tree.list(ENTRIES).iter().filter(|name| name.ends_with(".conf")) {
        let text = tree.read(&format!("{ENTRIES}/{name}"))?.unwrap_or_default();
        entries.push(LoaderEntry::parse(name, &text));
    }
    entries.sort_by(bls::order);
    // Only systemd-boot has settings. GRUB boots the first entry in sort order.
    let settings = match loader {
        Loader::SystemdBoot => tree.read(SETTINGS)?.unwrap_or_default(),
        Loader::Grub => String::new(),
    };
    let chosen = bls::chosen(&entries, &settings, |index| entries[index].linux.is_some());
    Ok(chosen.map(|chosen| entries.swap_remove(chosen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        Kernel {
            version: "6.10.0-1".into(),
            entry: None,
            image: "/vmlinuz-6.10.0-1".into(),
            initramfs: vec!["/a".into(), "/b".into()],
            options: None,
            copies: Vec::new(),
        }
    }

    #[test]
    fn entry_contains_kernel_initramfs_and_options() {
        let files = Files {
            linux: "/boot/vmlinuz-6.10.0-1".into(),
            initrds: vec!["/boot/a".into(), "/boot/b".into()],
        };
        assert_eq!(
            entry("Debian", &kernel(), &files, None, "quiet root=PARTUUID=x rw"),
            "title Debian\nversion 6.10.0-1\nlinux /boot/vmlinuz-6.10.0-1\ninitrd /boot/a\ninitrd /boot/b\n\
             options quiet root=PARTUUID=x rw\n"
        );
    }

    /// The EFI program sorts first but is not a kernel.
    #[test]
    fn the_default_entry_is_the_newest_kernel() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        assert!(starting_entry(Loader::Grub, &tree).unwrap().is_none());
        tree.write(&format!("{ENTRIES}/debian-6.1.conf"), "linux /a\noptions rw quiet\n", 0o644).unwrap();
        tree.write(&format!("{ENTRIES}/memtest.conf"), "title Memory test\nefi /m.efi\n", 0o644).unwrap();
        let started = |loader| starting_entry(loader, &tree).unwrap().unwrap().options;
        assert_eq!(started(Loader::Grub), "rw quiet");
        tree.write(&format!("{ENTRIES}/debian-6.1.0-9.conf"), "linux /b\noptions b\n", 0o644).unwrap();
        tree.write(&format!("{ENTRIES}/debian-6.1.0-56.conf"), "linux /c\noptions c\n", 0o644).unwrap();
        assert_eq!(started(Loader::Grub), "c");
        tree.write(SETTINGS, "default debian-6.1.conf\n", 0o644).unwrap();
        assert_eq!(
            (started(Loader::Grub).as_str(), started(Loader::SystemdBoot).as_str()),
            ("c", "rw quiet")
        );
    }

    #[test]
    fn entry_matches_kernel_install() {
        let files = kernel_install_paths("debian", &kernel());
        assert_eq!(
            entry("Debian", &kernel(), &files, Some("debian"), "root=PARTUUID=x rw"),
            "title Debian\nversion 6.10.0-1\nsort-key debian\nlinux /debian/6.10.0-1/linux\ninitrd /debian/6.10.0-1/a\n\
             initrd /debian/6.10.0-1/b\noptions root=PARTUUID=x rw\n"
        );
    }
}
