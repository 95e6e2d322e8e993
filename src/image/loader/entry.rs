//! The loader entry in the tree.

use super::kernel::{Kernel, newest_kernel};
use super::systemd_boot;
use crate::content::Tree;
use crate::plan::{Boot, Loader, Plan};
use crate::tool::Failure;

pub const ENTRIES: &str = "/boot/loader/entries";

/// Writes the loader entry, and systemd-boot itself if it is the loader.
pub fn install_loader(plan: &Plan, tree: &Tree) -> Result<(), Failure> {
    let Some(boot) = &plan.boot else { return Ok(()) };
    let kernel = newest_kernel(|folder| tree.list(folder)).ok_or_else(|| {
        Failure::new("the content has no kernel: neither /boot/vmlinuz-*, /usr/lib/kernel nor /usr/lib/modules has one")
            .help("add a kernel bundle to `Bundles`: kernel-kvm for virtual machines, kernel-native for any machine")
    })?;
    for (from, to) in &kernel.copies {
        tree.copy(from, to)?;
    }
    let own = kernel.options.as_ref().map(|path| tree.read(path)).transpose()?.flatten().unwrap_or_default();
    let release = tree.read("/etc/os-release")?.or(tree.read("/usr/lib/os-release")?).unwrap_or_default();
    let field = |name: &str| {
        release
            .lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim_matches('"').to_owned()))
    };
    let id = field("ID").unwrap_or_else(|| "linux".to_owned());
    let title = field("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned());
    let text = entry(&title, &kernel, &folder_of_boot(plan), &own, boot);
    let name = kernel.entry.clone().unwrap_or_else(|| format!("{id}-{}", kernel.version));
    tree.write(&format!("{ENTRIES}/{name}.conf"), &text, 0o644)?;
    match boot.loader {
        Loader::SystemdBoot => systemd_boot::install(tree),
        Loader::Grub => Ok(()),
    }
}

/// Where the kernel's folder is for the loader: the boot partition's root, or /boot of the root partition.
fn folder_of_boot(plan: &Plan) -> String {
    if plan.partition_at("/boot").is_some() { String::new() } else { "/boot".to_owned() }
}

/// The kernel's own options come first: what the template says later counts more.
fn entry(title: &str, kernel: &Kernel, folder: &str, own: &str, boot: &Boot) -> String {
    let initramfs: String = kernel.initramfs.iter().map(|path| format!("initrd {folder}{path}\n")).collect();
    let options: Vec<&str> = own.split_whitespace().chain([boot.kernel_command_line.as_str()]).collect();
    format!(
        "title {title}\nversion {}\nlinux {folder}{}\n{initramfs}options {}\n",
        kernel.version,
        kernel.image,
        options.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Firmware, Place};

    #[test]
    fn an_entry_names_kernel_initramfs_and_options() {
        let kernel = Kernel {
            version: "6.10.0-1".into(),
            entry: None,
            image: "/vmlinuz-6.10.0-1".into(),
            initramfs: vec!["/a".into(), "/b".into()],
            options: None,
            copies: Vec::new(),
        };
        let boot = Boot {
            firmware: Firmware::Uefi,
            loader: Loader::SystemdBoot,
            boot_partition: Place { disk: "a.img".into(), partition: 1 },
            root_partition: Place { disk: "a.img".into(), partition: 2 },
            kernel_command_line: "root=PARTUUID=x rw".into(),
        };
        assert_eq!(
            entry("Debian", &kernel, "/boot", "quiet\n", &boot),
            "title Debian\nversion 6.10.0-1\nlinux /boot/vmlinuz-6.10.0-1\ninitrd /boot/a\ninitrd /boot/b\n\
             options quiet root=PARTUUID=x rw\n"
        );
    }
}
