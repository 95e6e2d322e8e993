//! The loader entry in the root tree.

use super::kernel::{Kernel, kernels};
use super::{grub_efi, systemd_boot};
use crate::content::Tree;
use crate::host::Failure;
use crate::plan::bls::{self, LoaderEntry};
use crate::plan::command_line::{ADDED_BY_LOADERS, LONGEST, words};
use crate::plan::{Boot, Loader, Plan};
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

/// Writes the loader entries and those files of the loader that do not depend on hooks. Returns the versions of the
/// kernels.
pub fn install_loader(plan: &Plan, tree: &Tree) -> Result<Vec<String>, Failure> {
    let Some(boot) = &plan.boot else { return Ok(Vec::new()) };
    let kernels = kernels(|directory| tree.list(directory));
    let kernel = kernels.first().ok_or_else(|| {
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
    let distribution = Distribution::of(tree)?;
    if is_on_esp(boot) {
        prepare_kernel_install_layout(tree, &distribution.id)?;
    } else if has_kernels_of_rpm(plan, tree) {
        tree.write(ENTRY_TOKEN, &format!("{}\n", distribution.id), 0o644)?;
        tree.write(&format!("/boot/{ENTRIES_SREL}"), "type1\n", 0o644)?;
    }
    for kernel in &kernels {
        let files = Files::of(plan, &distribution.id, kernel);
        if is_on_esp(boot) {
            copy_to_esp(tree, kernel, &files)?;
        }
        write_entry(plan, tree, &distribution, kernel, &files, &options)?;
    }
    match (boot.loader, &boot.esp) {
        (Loader::SystemdBoot, esp) => systemd_boot::install(tree, esp.as_deref().unwrap_or(ESP_AS_BOOT))?,
        (Loader::Grub, Some(esp)) => grub_efi::install(plan, tree, esp, &distribution.id)?,
        (Loader::Grub, None) => {}
    }
    Ok(kernels.into_iter().map(|kernel| kernel.version).collect())
}

/// Copies kernels and initramfs that hooks changed to the ESP, adds entries for kernels that hooks installed, with the
/// options of the entry that boots, and removes those of kernels that hooks removed. In the namespace of the hooks the
/// ESP is not mounted, so the hooks of kernel packages do nothing. Entries that a hook removed stay removed.
pub(super) fn follow_kernels(plan: &Plan, tree: &Tree, before: &[String]) -> Result<(), Failure> {
    let Some(boot) = plan.boot.as_ref().filter(|_| plan.content.manager != SoftwareManager::Swupd) else {
        return Ok(());
    };
    let kernels = kernels(|directory| tree.list(directory));
    let Some(starting) = starting_entry(boot.loader, tree)?.filter(|_| !kernels.is_empty()) else {
        return Ok(());
    };
    let distribution = Distribution::of(tree)?;
    for kernel in &kernels {
        let files = Files::of(plan, &distribution.id, kernel);
        let is_new = !before.contains(&kernel.version);
        if is_on_esp(boot) && (is_new || tree.exists(&format!("{ESP_OF_KERNEL_INSTALL}{}", files.linux))) {
            copy_to_esp(tree, kernel, &files)?;
        }
        if is_new {
            kernel.copies.iter().try_for_each(|(from, to)| tree.copy(from, to))?;
            write_entry(plan, tree, &distribution, kernel, &files, &starting.options)?;
        }
    }
    for version in before.iter().filter(|version| kernels.iter().all(|kernel| kernel.version != **version)) {
        let entry = format!("{ENTRIES}/{}.conf", distribution.entry_name(version));
        if tree.exists(&entry) {
            tree.remove(&entry)?;
        }
        let directory = format!("{ESP_OF_KERNEL_INSTALL}/{}/{version}", distribution.id);
        if is_on_esp(boot) && tree.exists(&directory) {
            tree.empty_directory(&directory)?;
            tree.remove_empty_directory(&directory);
        }
    }
    Ok(())
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

/// Whether kernel-install copies kernels to the ESP.
fn is_on_esp(boot: &Boot) -> bool {
    boot.esp.as_deref() == Some(ESP_OF_KERNEL_INSTALL)
}

/// Makes the directories and settings that kernel-install expects on the ESP. Source: kernel-install(8), "The Boot
/// Loader Specification".
fn prepare_kernel_install_layout(tree: &Tree, token: &str) -> Result<(), Failure> {
    const ESP: &str = ESP_OF_KERNEL_INSTALL;
    tree.make_directory(ESP)?;
    tree.make_directory(&format!("{ESP}/loader/entries"))?;
    tree.write(&format!("{ESP}/{ENTRIES_SREL}"), "type1\n", 0o644)?;
    tree.write(ENTRY_TOKEN, &format!("{token}\n"), 0o644)?;
    // Hooks of published templates edit entries below /boot.
    tree.remove_empty_directory(ENTRIES);
    tree.remove_empty_directory("/boot/loader");
    tree.symlink("/boot/loader", "../efi/loader")?;
    // They also add EFI programs.
    tree.make_directory(&format!("{ESP}/EFI"))?;
    tree.remove_empty_directory("/boot/EFI");
    tree.symlink("/boot/EFI", "../efi/EFI")
}

/// Copies the files of a kernel from /boot to the paths where kernel-install puts and expects them, unless they are
/// already the same.
fn copy_to_esp(tree: &Tree, kernel: &Kernel, files: &Files) -> Result<(), Failure> {
    let initrds = kernel.initramfs.iter().zip(&files.initrds);
    for (from, to) in initrds.chain([(&kernel.image, &files.linux)]) {
        let (from, to) = (format!("/boot{from}"), format!("{ESP_OF_KERNEL_INSTALL}{to}"));
        let is_same = tree.exists(&to) && tree.read_bytes(&from)? == tree.read_bytes(&to)?;
        if !is_same {
            tree.copy(&from, &to)?;
        }
    }
    Ok(())
}

fn write_entry(
    plan: &Plan,
    tree: &Tree,
    distribution: &Distribution,
    kernel: &Kernel,
    files: &Files,
    options: &str,
) -> Result<(), Failure> {
    let has_sort_key = plan.boot.as_ref().is_some_and(is_on_esp) || has_kernels_of_rpm(plan, tree);
    let sort_key = has_sort_key.then_some(distribution.id.as_str());
    let name = kernel.entry.clone().unwrap_or_else(|| distribution.entry_name(&kernel.version));
    let text = entry(&distribution.title, kernel, files, sort_key, options);
    tree.write(&format!("{ENTRIES}/{name}.conf"), &text, 0o644)
}

/// The names of the distribution in loader entries.
struct Distribution {
    id: String,
    title: String,
}

impl Distribution {
    /// Source: os-release(5).
    fn of(tree: &Tree) -> Result<Distribution, Failure> {
        let release = tree.read("/etc/os-release")?.or(tree.read("/usr/lib/os-release")?).unwrap_or_default();
        let field = |name: &str| {
            release.lines().find_map(|line| {
                Some(line.strip_prefix(name)?.strip_prefix('=')?.trim_matches('"').to_owned())
            })
        };
        Ok(Distribution {
            id: field("ID").unwrap_or_else(|| "linux".to_owned()),
            title: field("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        })
    }

    /// The file name of a kernel's loader entry, without `.conf`.
    fn entry_name(&self, version: &str) -> String {
        format!("{}-{version}", self.id)
    }
}

/// Paths as seen by the loader.
struct Files {
    linux: String,
    initrds: Vec<String>,
}

impl Files {
    fn of(plan: &Plan, token: &str, kernel: &Kernel) -> Files {
        if plan.boot.as_ref().is_some_and(is_on_esp) {
            return Files::of_kernel_install(token, kernel);
        }
        let directory = directory_of_boot(plan);
        Files {
            linux: format!("{directory}{}", kernel.image),
            initrds: kernel.initramfs.iter().map(|path| format!("{directory}{path}")).collect(),
        }
    }

    fn of_kernel_install(token: &str, kernel: &Kernel) -> Files {
        let directory = format!("/{token}/{}", kernel.version);
        Files {
            linux: format!("{directory}/linux"),
            initrds: kernel.initramfs.iter().map(|path| format!("{directory}{path}")).collect(),
        }
    }
}

fn entry(title: &str, kernel: &Kernel, files: &Files, sort_key: Option<&str>, options: &str) -> String {
    let initramfs: String = files.initrds.iter().map(|path| format!("initrd {path}\n")).collect();
    let sort_key = sort_key.map(|key| format!("sort-key {key}\n")).unwrap_or_default();
    format!(
        "title {title}\nversion {}\n{sort_key}linux {}\n{initramfs}options {options}\n",
        kernel.version, files.linux,
    )
}

/// Returns the default entry among those with a kernel.
pub(super) fn starting_entry(loader: Loader, tree: &Tree) -> Result<Option<LoaderEntry>, Failure> {
    Ok(entries_of_kernels(loader, tree)?.into_iter().next())
}

/// Returns the entries with a kernel, the default one first. Hooks may add entries of EFI programs.
pub(super) fn entries_of_kernels(loader: Loader, tree: &Tree) -> Result<Vec<LoaderEntry>, Failure> {
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
    if let Some(chosen) = chosen {
        entries[..=chosen].rotate_right(1);
    }
    entries.retain(|entry| entry.linux.is_some());
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, bundle, decide};
    use crate::template::{SourceText, parse};

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

    /// A hook installed a kernel, changed an initramfs, and removed another kernel.
    #[test]
    fn kernels_of_hooks_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        let write = |path: &str, text: &str| tree.write(path, text, 0o644).unwrap();
        write("/usr/lib/os-release", "ID=debian\nPRETTY_NAME=\"Debian 12\"\n");
        for version in ["6.1", "6.2"] {
            write(&format!("/boot/vmlinuz-{version}"), version);
            write(&format!("/boot/initrd.img-{version}"), "old");
        }
        write("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "loader");
        let text = include_str!("../../../vm-tests/kvm/template.json");
        let (template, node, _) = parse(&SourceText::new("t.json", text.to_owned()));
        let (plan, _) = decide(&template, &node, &Inputs::new(&bundle::builtin())).unwrap();
        assert!(is_on_esp(plan.boot.as_ref().unwrap()));
        let before = install_loader(&plan, &tree).unwrap();
        assert_eq!(before, ["6.2", "6.1"]);
        tree.edit("/efi/loader/entries/debian-6.2.conf", |text| text.replace("options ", "options mine "))
            .unwrap();
        write("/boot/initrd.img-6.2", "new");
        write("/boot/vmlinuz-6.3-rt", "6.3-rt");
        write("/boot/initrd.img-6.3-rt", "rt");
        tree.remove("/boot/vmlinuz-6.1").unwrap();
        follow_kernels(&plan, &tree, &before).unwrap();
        let read = |path: &str| tree.read(path).unwrap();
        assert_eq!(read("/efi/debian/6.2/initrd.img-6.2").as_deref(), Some("new"));
        assert_eq!(read("/efi/debian/6.3-rt/linux").as_deref(), Some("6.3-rt"));
        let entry = read("/efi/loader/entries/debian-6.3-rt.conf").unwrap();
        assert!(entry.contains("linux /debian/6.3-rt/linux\n") && entry.contains("options mine "), "{entry}");
        assert_eq!(tree.list("/efi/loader/entries"), ["debian-6.2.conf", "debian-6.3-rt.conf"]);
        assert_eq!(tree.list("/efi/debian"), ["6.2", "6.3-rt"]);
        // An entry that a hook removed stays removed.
        tree.remove("/efi/loader/entries/debian-6.2.conf").unwrap();
        follow_kernels(&plan, &tree, &["6.3-rt".to_owned(), "6.2".to_owned()]).unwrap();
        assert_eq!(tree.list("/efi/loader/entries"), ["debian-6.3-rt.conf"]);
    }

    #[test]
    fn entry_matches_kernel_install() {
        let files = Files::of_kernel_install("debian", &kernel());
        assert_eq!(
            entry("Debian", &kernel(), &files, Some("debian"), "root=PARTUUID=x rw"),
            "title Debian\nversion 6.10.0-1\nsort-key debian\nlinux /debian/6.10.0-1/linux\ninitrd /debian/6.10.0-1/a\n\
             initrd /debian/6.10.0-1/b\noptions root=PARTUUID=x rw\n"
        );
    }
}
