//! Every program and file of the host that ister uses, and the Debian package that has it.

use super::{Invocation, find_program, run};
use std::path::Path;

/// What a tool is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Build,
    BuildBios,
    /// Formats with iso.
    BuildIso,
    Boot,
    /// Content of rpm packages.
    Dnf,
    /// Reading images of every format, and each filesystem's own fsck.
    Verify,
    /// The longest of ister's own tests.
    Nightly,
    /// Only ister's own tests, as independent readers of what it wrote.
    Tests,
}

#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// A program's name, or an absolute path of a file that must exist.
    pub name: &'static str,
    pub package: &'static str,
    pub need: Need,
    pub purpose: &'static str,
    /// The least version, and the option that prints it.
    pub least: Option<(&'static str, &'static str)>,
}

const fn tool(name: &'static str, package: &'static str, need: Need, purpose: &'static str) -> Tool {
    Tool { name, package, need, purpose, least: None }
}

const fn at_least(tool: Tool, option: &'static str, version: &'static str) -> Tool {
    Tool { least: Some((option, version)), ..tool }
}

pub const CATALOG: &[Tool] = &[
    at_least(
        tool("unshare", "util-linux", Need::Build, "the namespace an image is built in"),
        "--version",
        "2.38",
    ),
    tool("setpriv", "util-linux", Need::Build, "ends helpers together with ister"),
    tool("newuidmap", "uidmap", Need::Build, "owners of files, for ordinary users"),
    at_least(tool("mmdebstrap", "mmdebstrap", Need::Build, "Debian and Ubuntu content"), "--version", "1.3"),
    tool("apt-get", "apt", Need::Build, "the host's package sources"),
    tool(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        Need::Build,
        "trust in Debian's archive",
    ),
    at_least(tool("mke2fs", "e2fsprogs", Need::Build, "ext2, ext3 and ext4 filesystems"), "-V", "1.47"),
    tool("mkfs.vfat", "dosfstools", Need::Build, "vfat filesystems"),
    tool("mkswap", "util-linux", Need::Build, "swap partitions"),
    at_least(tool("mkfs.xfs", "xfsprogs", Need::Build, "XFS filesystems"), "-V", "6.1"),
    at_least(tool("mkfs.btrfs", "btrfs-progs", Need::Build, "btrfs filesystems"), "--version", "6.2"),
    tool("ip", "iproute2", Need::Build, "the interface that leads to IsterCloudInitSvc"),
    tool("blkid", "util-linux", Need::Build, "what is on a disk that is to be written to"),
    tool("grub-mkimage", "grub-common", Need::BuildBios, "GRUB's core image"),
    tool("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin", Need::BuildBios, "GRUB for BIOS"),
    tool(
        "/usr/lib/grub/x86_64-efi/moddep.lst",
        "grub-efi-amd64-bin",
        Need::BuildIso,
        "GRUB for UEFI, on a CD",
    ),
    tool("/usr/lib/grub/i386-pc/boot_hybrid.img", "grub-pc-bin", Need::BuildIso, "GRUB for BIOS, on a CD"),
    at_least(
        tool("mksquashfs", "squashfs-tools", Need::BuildIso, "the root tree on a CD"),
        "-version",
        "4.5.1",
    ),
    tool("unsquashfs", "squashfs-tools", Need::BuildIso, "reading that root tree back"),
    at_least(tool("xorriso", "xorriso", Need::BuildIso, "CDs"), "--version", "1.5.4"),
    at_least(
        tool("qemu-system-x86_64", "qemu-system-x86", Need::Boot, "virtual machines"),
        "--version",
        "7.1",
    ),
    tool("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf", Need::Boot, "UEFI firmware"),
    tool("ssh", "openssh-client", Need::Boot, "logs in to the guest with a key"),
    tool("dnf", "dnf", Need::Dnf, "content of rpm packages"),
    tool("rpm", "rpm", Need::Dnf, "what is installed of them"),
    tool("createrepo_c", "createrepo-c", Need::Dnf, "repositories of ister's tests"),
    tool("e2fsck", "e2fsprogs", Need::Verify, "checks ext2, ext3 and ext4"),
    tool("fsck.fat", "dosfstools", Need::Verify, "checks vfat"),
    tool("xfs_repair", "xfsprogs", Need::Verify, "checks XFS"),
    tool("btrfs", "btrfs-progs", Need::Verify, "checks btrfs"),
    tool("qemu-img", "qemu-utils", Need::Verify, "qcow2, vhd, vhdx, vmdk and vdi images"),
    tool("gpg", "gnupg", Need::Verify, "signs and checks SHA512SUMS"),
    tool("gpgv", "gpgv", Need::Verify, "checks the signature of SHA512SUMS"),
    tool("chromedriver", "chromium-driver", Need::Nightly, "looks at the pages of reports"),
    tool("genimage", "genimage", Need::Nightly, "makes images as other builders do"),
    tool("syslinux", "syslinux", Need::Nightly, "the same"),
    tool("slurmctld", "slurmctld", Need::Nightly, "a cluster that tests are spread over"),
    tool("slurmd", "slurmd", Need::Nightly, "its nodes"),
    tool("sbatch", "slurm-client", Need::Nightly, "gives it work"),
    tool("munged", "munge", Need::Nightly, "how its parts know each other"),
    tool("mcopy", "mtools", Need::Tests, "reads and changes vfat filesystems"),
    tool("mkfs.erofs", "erofs-utils", Need::Tests, "filesystems as other builders make them"),
    tool("rpmbuild", "rpm", Need::Tests, "makes packages whose digests are compared"),
    tool("rsync", "rsync", Need::Tests, "a local runner of GitLab's pipelines"),
    tool("cryptsetup", "cryptsetup-bin", Need::Tests, "opens LUKS2 headers"),
    tool("dpkg-scanpackages", "dpkg-dev", Need::Tests, "makes an archive of one's own"),
    tool("ssh-keygen", "openssh-client", Need::Tests, "makes keys of every type"),
    tool("openssl", "openssl", Need::Tests, "certificates and password hashes"),
    tool("pgrep", "procps", Need::Tests, "looks for what is left running"),
    tool("skopeo", "skopeo", Need::Tests, "reads OCI images"),
    tool("xz", "xz-utils", Need::Tests, "reads what was packed as xz"),
    tool("zstd", "zstd", Need::Tests, "reads what was packed as zstd"),
    tool("cpio", "cpio", Need::Tests, "reads what is put behind an initramfs"),
    tool("strace", "strace", Need::Tests, "sees which files are opened"),
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
        "keeps what Python's tools need apart",
    ),
];

/// What the host has of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// With its version, where a least one is asked for.
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

/// What a program prints as its version when it is called with `option`.
pub fn version_of(program: &str, option: &str) -> Option<String> {
    let finished = run(&Invocation::new(program).arg(option)).ok()?;
    first_version(&(String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr))
}

/// Whether a version is `least` or later, by its numbers.
pub fn is_at_least(version: &str, least: &str) -> bool {
    compare(version, least).is_ge()
}

/// The first word that looks like a version: digits with at least one dot between them.
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
    fn each_tool_stands_once() {
        let mut names: Vec<_> = CATALOG.iter().map(|t| t.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), CATALOG.len());
    }
}
