//! The loader entry in the tree.

use super::systemd_boot;
use crate::content::Tree;
use crate::plan::{Boot, Loader, Plan};
use crate::tool::Failure;

pub const ENTRIES: &str = "/boot/loader/entries";

/// Writes the loader entry, and systemd-boot itself if it is the loader.
pub fn install_loader(plan: &Plan, tree: &Tree) -> Result<(), Failure> {
    let Some(boot) = &plan.boot else { return Ok(()) };
    let kernel = newest_kernel(tree)?;
    let release = tree.read("/etc/os-release")?.unwrap_or_default();
    let field = |name: &str| {
        release
            .lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim_matches('"').to_owned()))
    };
    let id = field("ID").unwrap_or_else(|| "linux".to_owned());
    let title = field("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned());
    let text = entry(&title, &kernel, &folder_of_boot(plan), boot);
    tree.write(&format!("{ENTRIES}/{id}-{}.conf", kernel.version), &text, 0o644)?;
    match boot.loader {
        Loader::SystemdBoot => systemd_boot::install(tree),
        Loader::Grub => Ok(()),
    }
}

struct Kernel {
    version: String,
    image: String,
    initramfs: Option<String>,
}

/// Where the kernel's folder is for the loader: the boot partition's root, or /boot of the root partition.
fn folder_of_boot(plan: &Plan) -> String {
    if plan.partition_at("/boot").is_some() { String::new() } else { "/boot".to_owned() }
}

fn newest_kernel(tree: &Tree) -> Result<Kernel, Failure> {
    let names = tree.list("/boot");
    let newest = names
        .iter()
        .filter_map(|name| Some((version_key(name.strip_prefix("vmlinuz-")?), name)))
        .max_by(|a, b| a.0.cmp(&b.0));
    let Some((_, image)) = newest else {
        return Err(Failure::new("the content has no kernel: there is no /boot/vmlinuz-*")
            .help("add a kernel bundle to `Bundles`: kernel-kvm for virtual machines, kernel-native for any machine"));
    };
    let version = image.trim_start_matches("vmlinuz-").to_owned();
    // Debian's name, and that of dracut's distributions.
    let initramfs = [format!("initrd.img-{version}"), format!("initramfs-{version}.img")];
    let initramfs = initramfs.into_iter().find(|name| names.contains(name));
    Ok(Kernel { image: image.clone(), initramfs, version })
}

/// Numbers compare as numbers: 6.10 is newer than 6.9.
fn version_key(version: &str) -> Vec<(u64, String)> {
    version
        .split(|c: char| !c.is_alphanumeric())
        .map(|part| (part.parse().unwrap_or(0), part.to_owned()))
        .collect()
}

fn entry(title: &str, kernel: &Kernel, folder: &str, boot: &Boot) -> String {
    let initramfs =
        kernel.initramfs.as_ref().map(|name| format!("initrd {folder}/{name}\n")).unwrap_or_default();
    format!(
        "title {title}\nversion {}\nlinux {folder}/{}\n{initramfs}options {}\n",
        kernel.version, kernel.image, boot.kernel_command_line
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Firmware, Place};

    #[test]
    fn the_newest_kernel_is_found_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        assert!(newest_kernel(&tree).is_err());
        for name in ["vmlinuz-6.9.0-1-amd64", "vmlinuz-6.10.0-1-amd64", "initrd.img-6.10.0-1-amd64"] {
            tree.write(&format!("/boot/{name}"), "", 0o644).unwrap();
        }
        let kernel = newest_kernel(&tree).unwrap();
        let boot = Boot {
            firmware: Firmware::Uefi,
            loader: Loader::SystemdBoot,
            boot_partition: Place { disk: "a.img".into(), partition: 1 },
            root_partition: Place { disk: "a.img".into(), partition: 2 },
            kernel_command_line: "root=PARTUUID=x rw".into(),
        };
        assert_eq!(
            entry("Debian", &kernel, "", &boot),
            "title Debian\nversion 6.10.0-1-amd64\nlinux /vmlinuz-6.10.0-1-amd64\n\
             initrd /initrd.img-6.10.0-1-amd64\noptions root=PARTUUID=x rw\n"
        );
    }
}
