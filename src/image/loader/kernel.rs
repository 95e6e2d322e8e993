//! Finds the kernels of the image, and the files that they need on the boot partition. The newest one boots.
//!
//! Three layouts are supported: that of Debian and rpm distributions (`/boot/vmlinuz-*`, already in place), that of
//! Clear Linux (`/usr/lib/kernel/org.clearlinux.*`, copied to the ESP by clr-boot-manager) and kernels next to their
//! modules (`/usr/lib/modules/*/vmlinuz`, copied by kernel-install). Sources: clr-boot-manager, docs;
//! kernel-install(8).

use crate::plan::bls::compare_versions;

/// A kernel. Paths are relative to the boot partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    pub version: String,
    /// File name of the loader entry without `.conf`.
    pub entry: Option<String>,
    pub image: String,
    pub initramfs: Vec<String>,
    /// File in the tree with the default options of this kernel.
    pub options: Option<String>,
    /// Files to copy: source in the tree, destination below /boot.
    pub copies: Vec<(String, String)>,
}

const CLEAR: &str = "/usr/lib/kernel";
/// Prefix of the names of Clear Linux kernels, followed by type, version and release.
const CLEAR_NAME: &str = "org.clearlinux.";
/// Initramfs parts for all kernels: firmware, microcode.
const CLEAR_PARTS: &str = "/usr/lib/initrd.d";
/// Directory on the ESP where clr-boot-manager stores kernels and replaces them in updates.
const CLEAR_PLACE: &str = "/EFI/org.clearlinux";

/// Returns the kernels of a tree, the newest first. `list` returns the sorted names in a directory of the tree.
///
/// In the layouts without files in /boot, it is only the newest one.
pub(super) fn kernels(list: impl Fn(&str) -> Vec<String>) -> Vec<Kernel> {
    let kernels = in_boot(&list("/boot"));
    if !kernels.is_empty() {
        return kernels;
    }
    let kernel = in_clear_linux(&list(CLEAR), &list(CLEAR_PARTS)).or_else(|| next_to_modules(&list));
    kernel.into_iter().collect()
}

/// Returns the newest kernel of a tree, like [`kernels`].
pub fn newest_kernel(list: impl Fn(&str) -> Vec<String>) -> Option<Kernel> {
    kernels(list).into_iter().next()
}

fn newest<'n>(names: impl Iterator<Item = (&'n str, &'n str)>) -> Option<(&'n str, &'n str)> {
    names.max_by(|(one, _), (other, _)| compare_versions(one, other))
}

fn in_boot(names: &[String]) -> Vec<Kernel> {
    let kernel = |name: &String| {
        let version = name.strip_prefix("vmlinuz-")?;
        // The names used by Debian and by distributions with dracut.
        let initramfs = [format!("initrd.img-{version}"), format!("initramfs-{version}.img")];
        let initramfs = initramfs.into_iter().find(|name| names.contains(name));
        Some(Kernel {
            version: version.to_owned(),
            entry: None,
            image: format!("/{name}"),
            initramfs: initramfs.map(|name| format!("/{name}")).into_iter().collect(),
            options: None,
            copies: Vec::new(),
        })
    };
    let mut kernels: Vec<Kernel> = names.iter().filter_map(kernel).collect();
    kernels.sort_by(|one, other| compare_versions(&other.version, &one.version));
    // Without an initramfs it is only a choice if there is no other. Rescue kernels have entries of their own. Source:
    // dracut, install.d/51-dracut-rescue.install.
    let mut is_first = true;
    kernels.retain(|kernel| {
        let is_choice = !kernel.initramfs.is_empty() && !kernel.version.starts_with("0-rescue-");
        std::mem::take(&mut is_first) || is_choice
    });
    kernels
}

/// Finds `org.clearlinux.TYPE.VERSION-RELEASE`, preferring types for which `default-TYPE` exists.
fn in_clear_linux(names: &[String], parts: &[String]) -> Option<Kernel> {
    let kernels = names.iter().filter_map(|name| {
        let (kind, version) = name.strip_prefix(CLEAR_NAME)?.split_once('.')?;
        Some((version, name.as_str())).filter(|_| !kind.is_empty() && version.contains('-'))
    });
    let kernels: Vec<(&str, &str)> = kernels.collect();
    let is_default = |(version, name): &&(&str, &str)| {
        let kind = name.strip_prefix(CLEAR_NAME).and_then(|rest| rest.strip_suffix(version));
        kind.is_some_and(|kind| {
            names.iter().any(|other| *other == format!("default-{}", kind.trim_end_matches('.')))
        })
    };
    let (version, name) =
        newest(kernels.iter().filter(is_default).copied()).or_else(|| newest(kernels.iter().copied()))?;
    let kind = name.strip_prefix(CLEAR_NAME)?.strip_suffix(version)?.trim_end_matches('.');
    let image = format!("{CLEAR_PLACE}/kernel-{name}");
    let mut copies = vec![(format!("{CLEAR}/{name}"), format!("/boot{image}"))];
    let mut initramfs = Vec::new();
    let own = format!("initrd-{name}");
    if names.contains(&own) {
        initramfs.push(format!("{CLEAR_PLACE}/{own}"));
        copies.push((format!("{CLEAR}/{own}"), format!("/boot{CLEAR_PLACE}/{own}")));
    }
    for part in parts.iter().filter(|name| name.contains(".cpio")) {
        initramfs.push(format!("{CLEAR_PLACE}/freestanding-{part}"));
        copies.push((format!("{CLEAR_PARTS}/{part}"), format!("/boot{CLEAR_PLACE}/freestanding-{part}")));
    }
    let options = format!("cmdline-{version}.{kind}");
    Some(Kernel {
        version: version.to_owned(),
        entry: Some(format!("Clear-linux-{kind}-{version}")),
        image,
        initramfs,
        options: names.contains(&options).then(|| format!("{CLEAR}/{options}")),
        copies,
    })
}

fn next_to_modules(list: &impl Fn(&str) -> Vec<String>) -> Option<Kernel> {
    const MODULES: &str = "/usr/lib/modules";
    let versions = list(MODULES);
    let with_kernel = versions.iter().filter_map(|version| {
        let has = list(&format!("{MODULES}/{version}")).iter().any(|name| name == "vmlinuz");
        has.then_some((version.as_str(), version.as_str()))
    });
    let (version, _) = newest(with_kernel)?;
    let image = format!("/vmlinuz-{version}");
    let mut copies = vec![(format!("{MODULES}/{version}/vmlinuz"), format!("/boot{image}"))];
    let mut initramfs: Vec<String> = Vec::new();
    // The initramfs may have been created in /boot when the kernel was installed.
    let made = [format!("initrd.img-{version}"), format!("initramfs-{version}.img")];
    let in_boot = list("/boot");
    let next_to_kernel = ["initrd", "initramfs.img"];
    let names = list(&format!("{MODULES}/{version}"));
    if let Some(name) = made.iter().find(|name| in_boot.contains(name)) {
        initramfs.push(format!("/{name}"));
    } else if let Some(name) = next_to_kernel.into_iter().find(|name| names.iter().any(|other| other == name))
    {
        initramfs.push(format!("/initramfs-{version}.img"));
        copies.push((format!("{MODULES}/{version}/{name}"), format!("/boot/initramfs-{version}.img")));
    }
    Some(Kernel { version: version.to_owned(), entry: None, image, initramfs, options: None, copies })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Option<Kernel> {
        newest_kernel(|directory| {
            let inside = |path: &&&str| {
                Some(path.strip_prefix(directory)?.strip_prefix('/')?.split('/').next()?.to_owned())
            };
            let mut names: Vec<String> = paths.iter().filter_map(|path| inside(&path)).collect();
            names.sort();
            names.dedup();
            names
        })
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(of(&["/boot/x"]), None);
        let kernel = of(&[
            "/boot/vmlinuz-6.9.0-1-amd64",
            "/boot/vmlinuz-6.10.0-1-amd64",
            "/boot/initrd.img-6.10.0-1-amd64",
        ])
        .unwrap();
        assert_eq!(kernel.image, "/vmlinuz-6.10.0-1-amd64");
        assert_eq!(kernel.initramfs, ["/initrd.img-6.10.0-1-amd64"]);
        assert!(kernel.copies.is_empty());
    }

    #[test]
    fn clear_linux_kernels_are_found() {
        let kernel = of(&[
            "/usr/lib/kernel/org.clearlinux.kvm.6.2.9-100",
            "/usr/lib/kernel/org.clearlinux.kvm.6.12.3-99",
            "/usr/lib/kernel/cmdline-6.12.3-99.kvm",
            "/usr/lib/kernel/initrd-org.clearlinux.kvm.6.12.3-99",
            "/usr/lib/kernel/default-kvm",
            "/usr/lib/initrd.d/00-intel-ucode.cpio",
        ])
        .unwrap();
        assert_eq!(kernel.entry.as_deref(), Some("Clear-linux-kvm-6.12.3-99"));
        assert_eq!(kernel.image, "/EFI/org.clearlinux/kernel-org.clearlinux.kvm.6.12.3-99");
        assert_eq!(
            kernel.initramfs,
            [
                "/EFI/org.clearlinux/initrd-org.clearlinux.kvm.6.12.3-99",
                "/EFI/org.clearlinux/freestanding-00-intel-ucode.cpio"
            ]
        );
        assert_eq!(kernel.options.as_deref(), Some("/usr/lib/kernel/cmdline-6.12.3-99.kvm"));
        assert_eq!(kernel.copies.len(), 3);
    }

    #[test]
    fn kernel_next_to_its_modules_is_copied() {
        let kernel = of(&[
            "/usr/lib/modules/6.1.0/kernel/fs/ext4.ko",
            "/usr/lib/modules/6.2.0/vmlinuz",
            "/usr/lib/modules/6.2.0/initrd",
        ])
        .unwrap();
        assert_eq!(kernel.image, "/vmlinuz-6.2.0");
        assert_eq!(kernel.initramfs, ["/initramfs-6.2.0.img"]);
        assert_eq!(
            kernel.copies[1],
            ("/usr/lib/modules/6.2.0/initrd".to_owned(), "/boot/initramfs-6.2.0.img".to_owned())
        );
    }
}
