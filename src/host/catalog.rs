//! All programs and files of the host that ister uses, with their Debian packages.

use super::{Invocation, find_program, run};
use std::path::Path;

/// What a tool is required for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Build,
    BuildBios,
    /// ISO images.
    BuildIso,
    Boot,
    /// RPM content.
    Dnf,
    /// Reading images of all formats, and the fsck programs of the filesystems.
    Verify,
    /// ister's long-running tests.
    Nightly,
    /// ister's tests, as independent readers of its output.
    Tests,
}

#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Name of a program, or absolute path of a required file.
    pub name: &'static str,
    pub package: &'static str,
    pub need: Need,
    pub purpose: &'static str,
    /// Minimum version, and the option that prints the version.
    pub least: Option<(&'static str, &'static str)>,
}

const fn tool(name: &'static str, package: &'static str, need: Need, purpose: &'static str) -> Tool {
    Tool { name, package, need, purpose, least: None }
}

const fn at_least(tool: Tool, option: &'static str, version: &'static str) -> Tool {
    Tool { least: Some((option, version)), ..tool }
}

pub const CATALOG: &[Tool] = &[
    at_least(tool("unshare", "util-linux", Need::Build, "namespaces for builds"), "--version", "2.38"),
    tool("setpriv", "util-linux", Need::Build, "ends child processes together with ister"),
    tool("newuidmap", "uidmap", Need::Build, "file owners in unprivileged builds"),
    at_least(tool("mmdebstrap", "mmdebstrap", Need::Build, "Debian and Ubuntu content"), "--version", "1.3"),
    tool("apt-get", "apt", Need::Build, "the host's package sources"),
    tool(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        Need::Build,
        "keys of the Debian archive",
    ),
    at_least(tool("mke2fs", "e2fsprogs", Need::Build, "ext2, ext3 and ext4 filesystems"), "-V", "1.47"),
    tool("mkfs.vfat", "dosfstools", Need::Build, "vfat filesystems"),
    tool("mkswap", "util-linux", Need::Build, "swap partitions"),
    at_least(tool("mkfs.xfs", "xfsprogs", Need::Build, "XFS filesystems"), "-V", "6.1"),
    at_least(tool("mkfs.btrfs", "btrfs-progs", Need::Build, "btrfs filesystems"), "--version", "6.2"),
    tool("ip", "iproute2", Need::Build, "network interface with the route to IsterCloudInitSvc"),
    tool("blkid", "util-linux", Need::Build, "existing content of target disks"),
    tool("grub-mkimage", "grub-common", Need::BuildBios, "GRUB's core image"),
    tool("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin", Need::BuildBios, "GRUB for BIOS"),
    tool("/usr/lib/grub/x86_64-efi/moddep.lst", "grub-efi-amd64-bin", Need::BuildIso, "GRUB for UEFI"),
    tool("/usr/lib/grub/i386-pc/boot_hybrid.img", "grub-pc-bin", Need::BuildIso, "GRUB for BIOS"),
    at_least(
        tool("mksquashfs", "squashfs-tools", Need::BuildIso, "root filesystem on ISO images"),
        "-version",
        "4.5.1",
    ),
    tool("unsquashfs", "squashfs-tools", Need::BuildIso, "reads the root filesystem of ISO images"),
    at_least(tool("xorriso", "xorriso", Need::BuildIso, "ISO images"), "--version", "1.5.4"),
    at_least(
        tool("qemu-system-x86_64", "qemu-system-x86", Need::Boot, "virtual machines"),
        "--version",
        "7.1",
    ),
    tool("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf", Need::Boot, "UEFI firmware"),
    tool("ssh", "openssh-client", Need::Boot, "key-based login to guests"),
    tool("dnf", "dnf", Need::Dnf, "RPM content"),
    tool("rpm", "rpm", Need::Dnf, "lists installed RPM packages"),
    tool("createrepo_c", "createrepo-c", Need::Dnf, "repositories for ister's tests"),
    tool("e2fsck", "e2fsprogs", Need::Verify, "checks ext2, ext3 and ext4"),
    tool("fsck.fat", "dosfstools", Need::Verify, "checks vfat"),
    tool("xfs_repair", "xfsprogs", Need::Verify, "checks XFS"),
    tool("btrfs", "btrfs-progs", Need::Verify, "checks btrfs"),
    tool("qemu-img", "qemu-utils", Need::Verify, "qcow2, vhd, vhdx, vmdk and vdi images"),
    tool("gpg", "gnupg", Need::Verify, "signatures of SHA512SUMS"),
    tool("gpgv", "gpgv", Need::Verify, "verifies the signature of SHA512SUMS"),
    tool("chromedriver", "chromium-driver", Need::Nightly, "displays report pages"),
    tool("genimage", "genimage", Need::Nightly, "builds images for comparison"),
    tool("syslinux", "syslinux", Need::Nightly, "boot loader of images for comparison"),
    tool("slurmctld", "slurmctld", Need::Nightly, "controller of a test cluster"),
    tool("slurmd", "slurmd", Need::Nightly, "nodes of a test cluster"),
    tool("sbatch", "slurm-client", Need::Nightly, "submits jobs to a test cluster"),
    tool("munged", "munge", Need::Nightly, "authentication in a test cluster"),
    tool("mandoc", "mandoc", Need::Tests, "checks the manual pages"),
    tool("mcopy", "mtools", Need::Tests, "reads and modifies vfat filesystems"),
    tool("mkfs.erofs", "erofs-utils", Need::Tests, "EROFS filesystems for comparison"),
    tool("rpmbuild", "rpm", Need::Tests, "builds test packages"),
    tool("rsync", "rsync", Need::Tests, "local runner of GitLab pipelines"),
    tool("cryptsetup", "cryptsetup-bin", Need::Tests, "opens LUKS2 headers"),
    tool("dpkg-scanpackages", "dpkg-dev", Need::Tests, "creates test archives"),
    tool("ssh-keygen", "openssh-client", Need::Tests, "generates keys of all types"),
    tool("openssl", "openssl", Need::Tests, "certificates and password hashes"),
    tool("pgrep", "procps", Need::Tests, "finds leftover processes"),
    tool("skopeo", "skopeo", Need::Tests, "reads OCI images"),
    tool("xz", "xz-utils", Need::Tests, "reads xz files"),
    tool("zstd", "zstd", Need::Tests, "reads zstd files"),
    tool("cpio", "cpio", Need::Tests, "reads archives appended to an initramfs"),
    tool("strace", "strace", Need::Tests, "traces opened files"),
    tool("getfattr", "attr", Need::Tests, "reads extended attributes"),
    tool("sfdisk", "fdisk", Need::Tests, "reads partition tables"),
    tool("sgdisk", "gdisk", Need::Tests, "checks partition tables"),
    tool("nvim", "neovim", Need::Tests, "an editor with a language client"),
    tool("git", "git", Need::Tests, "repositories for hooks"),
    tool("node", "nodejs", Need::Tests, "runs a second JSON Schema validator"),
    tool("npm", "npm", Need::Tests, "fetches that validator"),
    tool("python3", "python3", Need::Tests, "runs a third validator and a language client"),
    tool(
        "/usr/share/doc/python3-venv/copyright",
        "python3-venv",
        Need::Tests,
        "virtual environments for Python tools",
    ),
];

/// Availability of a tool on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Installed, with the version if a minimum version is required.
    There(Option<String>),
    TooOld(String),
    Missing,
}

pub fn package_of(program: &str) -> Option<&'static str> {
    let base = program.rsplit('/').next().unwrap_or(program);
    CATALOG.iter().find(|t| t.name == program || t.name == base).map(|t| t.package).or(match base {
        "mmd" | "mattrib" => Some("mtools"),
        "blockdev" => Some("util-linux"),
        "gzip" => Some("gzip"),
        "sudo" => Some("sudo"),
        "chroot" => Some("coreutils"),
        _ => None,
    })
}

pub fn check(tool: &Tool) -> Presence {
    if tool.name.starts_with('/') {
        return if Path::new(tool.name).exists() { Presence::There(None) } else { Presence::Missing };
    }
    if find_program(tool.name).is_none() {
        return Presence::Missing;
    }
    let Some((option, least)) = tool.least else { return Presence::There(None) };
    match version_of(tool.name, option) {
        Some(version) if !is_at_least(&version, least) => Presence::TooOld(version),
        version => Presence::There(version),
    }
}

/// Returns the version that a program prints with `option`.
pub fn version_of(program: &str, option: &str) -> Option<String> {
    let finished = run(&Invocation::new(program).arg(option)).ok()?;
    first_version(&(String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr))
}

/// Whether a version is at least `least`, comparing numbers.
pub fn is_at_least(version: &str, least: &str) -> bool {
    compare(version, least).is_ge()
}

/// Returns the first word that looks like a version: digits with at least one dot between them.
fn first_version(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.'))
        .map(str::to_owned)
}

fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    let numbers = |text: &str| -> Vec<u64> { text.split('.').filter_map(|part| part.parse().ok()).collect() };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_compared_as_numbers() {
        for (text, version) in [
            ("unshare from util-linux 2.38.1", "2.38.1"),
            ("mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library", "1.47.0"),
            ("QEMU emulator version 7.2.18 (Debian 1:7.2+dfsg-7)", "7.2.18"),
            ("mmdebstrap 1.3.5", "1.3.5"),
        ] {
            assert_eq!(first_version(text).as_deref(), Some(version));
        }
        assert!(compare("2.9", "2.38").is_lt());
        assert!(compare("2.38.1", "2.38").is_gt());
    }

    #[test]
    fn tools_are_unique() {
        let mut names: Vec<_> = CATALOG.iter().map(|t| t.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), CATALOG.len());
    }
}
