//! Turns a freshly installed tree into reusable image content: removes traces of the build host and of this run, leaves
//! machine-specific data to the first boot, and generates the initramfs.

use super::apt::Keyring;
use super::tree::Tree;
use crate::host::{Chroot, Context, Failure, Progress, run};
use std::path::Path;

/// Kernel modules needed to mount a root filesystem: buses, disks and filesystems of all machines that a published
/// image type runs on, and of common servers. Compared with `MODULES=most` of initramfs-tools, this list makes the
/// initramfs a third of the size (10 instead of 30 MB, so that it fits a 32 MB ESP) in a seventh of the time. Modules
/// that a kernel does not have are skipped.
const MODULES: &[&str] = &[
    "ext4",
    "btrfs",
    "xfs",
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "nvme",
    "ahci",
    "ata_piix",
    "ata_generic",
    "pata_acpi",
    "sd_mod",
    "sr_mod",
    "usb_storage",
    "uas",
    "xhci_pci",
    "ehci_pci",
    "ohci_pci",
    "uhci_hcd",
    "usbhid",
    "hid_generic",
    "hv_vmbus",
    "hv_storvsc",
    "hyperv_keyboard",
    "vmw_pvscsi",
    "mptspi",
    "mptsas",
    "mpt3sas",
    "megaraid_sas",
    "aacraid",
    "hpsa",
    "smartpqi",
    "xen_blkfront",
    "mmc_block",
    "sdhci_pci",
    "sdhci_acpi",
    "dm_mod",
    "dm_crypt",
    "xts",
    "aesni_intel",
    "sha256_generic",
    "algif_skcipher",
    "af_alg",
];

/// Additional modules for the live-boot medium: the hook of live-boot relies on `MODULES=most`.
const LIVE_MODULES: &[&str] = &["isofs"];
const LIVE_BOOT: [&str; 2] = ["/usr/lib/live/boot", "/lib/live/boot"];

const INITRAMFS_CONFIG: &str = "/etc/initramfs-tools/conf.d/ister";
const INITRAMFS_MODULES: &str = "/etc/initramfs-tools/modules";
const CRYPTSETUP_CONFIG: &str = "/etc/cryptsetup-initramfs/conf-hook";

/// Placeholders for SSH host keys: without them the installation of openssh-server generates keys that are removed
/// again.
const HOST_KEYS: &[&str] = &["ssh_host_ecdsa_key", "ssh_host_ed25519_key", "ssh_host_rsa_key"];

const PREFERENCES: &str = "/etc/apt/preferences.d/ister";
const SOURCES: &str = "/etc/apt/sources.list";

/// Creates the files that must exist before the first package is installed.
///
/// Debian 12 and later require a merged /usr. If the links are missing, apt installs `usrmerge`, which converts the
/// tree at the end and pulls in 50 MB of Perl.
pub(super) fn prepare_target(target: &Path, packages: &[String]) -> Result<(), Failure> {
    std::fs::create_dir(target).context(|| format!("could not create `{}`", target.display()))?;
    let tree = Tree::open(target)?;
    for name in ["bin", "sbin", "lib", "lib64"] {
        tree.make_directory(&format!("/usr/{name}"))?;
        tree.symlink(&format!("/{name}"), &format!("usr/{name}"))?;
    }
    if !packages.iter().any(|name| name == "usrmerge") {
        tree.write(PREFERENCES, "Package: usrmerge\nPin: release *\nPin-Priority: -1\n", 0o644)?;
    }
    if packages.iter().any(|name| name == "openssh-server") {
        for key in HOST_KEYS {
            tree.write(&format!("/etc/ssh/{key}"), "", 0o600)?;
        }
    }
    Ok(())
}

/// A tree from which any image can be built.
pub(super) struct Ready {
    /// Date of the content in seconds since 1970. No timestamp in the tree is later.
    pub epoch: u64,
}

/// Runs all preparation steps that depend only on the installed packages, not on the rest of the template.
pub(super) fn prepare(tree: &Tree, epoch: u64, progress: &dyn Progress) -> Result<(), Failure> {
    preseed_grub(tree)?;
    remove_build_traces(tree)?;
    limit_password_days(tree, epoch)?;
    remove_machine_state(tree)?;
    default_network(tree)?;
    default_locale(tree)?;
    disable_ssh_passwords(tree)?;
    if tree.exists("/usr/sbin/update-initramfs") {
        progress.begin("generating the initramfs");
        initramfs(tree, epoch)?;
    }
    // Programs that ran inside the tree may have left files here.
    for directory in ["/run", "/tmp", "/var/tmp"] {
        tree.empty_directory(directory)?;
    }
    Ok(())
}

/// Writes the package sources of the installed system: the sources of the build without those that exist only on the
/// build host, verified with the same keys.
pub(super) fn write_sources(tree: &Tree, keyring: Option<&Keyring>) -> Result<(), Failure> {
    if let Some(keyring) = keyring {
        tree.write_bytes(&keyring.path(), &keyring.data, 0o644)?;
    }
    let Some(text) = tree.read(SOURCES)? else { return Ok(()) };
    let mut text = installed_sources(&text, keyring);
    // Copies the keys of additional sources, which exist only on the build host.
    for path in key_files(&text) {
        if !tree.exists(&path)
            && let Ok(data) = std::fs::read(&path)
        {
            let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let own = Keyring { name, data };
            tree.write_bytes(&own.path(), &own.data, 0o644)?;
            text = text.replace(&format!("signed-by={path}"), &format!("signed-by={}", own.path()));
        }
    }
    tree.edit(SOURCES, |_| text)
}

/// Returns the key files that the sources refer to.
fn key_files(text: &str) -> Vec<String> {
    let options = text.lines().filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0));
    let words = options.flat_map(|options| options.split([' ', ',']));
    words
        .filter_map(|word| word.strip_prefix("signed-by="))
        .filter(|p| p.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

fn installed_sources(text: &str, keyring: Option<&Keyring>) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.contains(" copy:")) {
        match (keyring, line.strip_prefix("deb ")) {
            (Some(_), Some(rest)) if rest.contains("signed-by=") || rest.contains("trusted=") => {
                out.push_str(&format!("{line}\n"));
            }
            (Some(keyring), Some(rest)) => {
                let key = format!("signed-by={}", keyring.path());
                let rest = match rest.strip_prefix('[') {
                    Some(options) => format!("[{key} {options}"),
                    None => format!("[{key}] {rest}"),
                };
                out.push_str(&format!("deb {rest}\n"));
            }
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

/// Preseeds the GRUB packages. Updates of shim and GRUB are also installed to EFI/BOOT, which firmware boots without a
/// boot entry. Firmware variables are left alone, because they belong to the machine. Source: debconf templates of
/// grub-efi-amd64.
fn preseed_grub(tree: &Tree) -> Result<(), Failure> {
    const ANSWERS: &str = "/tmp/ister-debconf";
    let wanted =
        tree.exists("/usr/lib/grub/x86_64-efi-signed") && tree.exists("/usr/bin/debconf-set-selections");
    if !wanted {
        return Ok(());
    }
    let text = "grub-efi-amd64 grub2/force_efi_extra_removable boolean true\n\
                grub-efi-amd64 grub2/update_nvram boolean false\n";
    tree.write(ANSWERS, text, 0o644)?;
    let chroot = Chroot::enter(tree.path())?;
    run(&chroot.invocation("debconf-set-selections").arg(ANSWERS))?;
    Ok(())
}

fn remove_build_traces(tree: &Tree) -> Result<(), Failure> {
    for file in [
        PREFERENCES,
        // Options of this run, such as the proxy of the host.
        "/etc/apt/apt.conf.d/99mmdebstrap",
        "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
        "/etc/hostname",
        // The resolv.conf of the host, backed up by the postinst of systemd-resolved.
        "/etc/.resolv.conf.systemd-resolved.bak",
        "/var/log/dpkg.log",
        "/var/log/alternatives.log",
        "/var/log/bootstrap.log",
        "/var/cache/ldconfig/aux-cache",
        "/var/cache/debconf/config.dat-old",
        "/var/cache/debconf/templates.dat-old",
        "/var/lib/dpkg/status-old",
        "/var/lib/dpkg/diversions-old",
        "/var/lib/dpkg/statoverride-old",
    ] {
        tree.remove(file)?;
    }
    // A regular file is the resolv.conf of the host. A symbolic link to the file of a resolver is part of the content
    // and stays.
    let resolver = tree.path().join("etc/resolv.conf");
    if resolver.symlink_metadata().is_ok_and(|m| m.is_file()) {
        tree.remove("/etc/resolv.conf")?;
    }
    for directory in ["/dev", "/var/cache/apt", "/var/lib/apt/lists", "/var/log/apt"] {
        tree.empty_directory(directory)?;
    }
    Ok(())
}

/// Clamps the dates of the last password changes in the shadow files of the tree to `epoch`.
pub fn limit_password_days(tree: &Tree, epoch: u64) -> Result<(), Failure> {
    for file in ["/etc/shadow", "/etc/shadow-"] {
        if tree.is_file(file) {
            tree.edit(file, |text| clamp_password_days(&text, epoch / 86_400))?;
        }
    }
    Ok(())
}

/// Clamps the date of the last password change, so that it is not the day of this run if the content is older. Source:
/// shadow(5): the third field counts days since 1970.
fn clamp_password_days(shadow: &str, day: u64) -> String {
    let mut out = String::new();
    for line in shadow.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        let limit = day.to_string();
        if fields.get(2).and_then(|changed| changed.parse().ok()).is_some_and(|changed: u64| changed > day) {
            fields[2] = &limit;
        }
        out.push_str(&format!("{}\n", fields.join(":")));
    }
    out
}

/// Removes machine-id, SSH host keys and random seed, which each machine generates itself.
fn remove_machine_state(tree: &Tree) -> Result<(), Failure> {
    // An empty file is filled at boot but not treated as a first boot, which would reset the units that packages
    // enabled. Source: machine-id(5), "First Boot Semantics".
    tree.write("/etc/machine-id", "", 0o444)?;
    tree.remove("/var/lib/dbus/machine-id")?;
    tree.remove("/var/lib/systemd/random-seed")?;
    if tree.exists("/usr/sbin/sshd") {
        for name in tree.list("/etc/ssh") {
            if name.starts_with("ssh_host_") {
                tree.remove(&format!("/etc/ssh/{name}"))?;
            }
        }
        tree.write(
            "/etc/systemd/system/ssh.service.d/10-host-keys.conf",
            "# Written by ister: images contain no host keys; each machine generates its own.\n[Service]\n\
             ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n",
            0o644,
        )?;
    }
    Ok(())
}

/// Enables DHCP on all Ethernet interfaces, except virtual ones such as those of containers, with systemd-networkd unless
/// another network manager is installed. The file of a template's `Static_IP` sorts before this one.
fn default_network(tree: &Tree) -> Result<(), Failure> {
    // cloud-init only writes configuration for one of these managers; for networkd its file sorts before this one.
    let others = ["/usr/sbin/NetworkManager", "/usr/sbin/ifup", "/usr/sbin/netplan"];
    if !tree.exists("/usr/lib/systemd/systemd-networkd") || others.iter().any(|path| tree.exists(path)) {
        return Ok(());
    }
    tree.write(
        "/etc/systemd/network/80-dhcp.network",
        "# Written by ister.\n[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nUseMTU=yes\n",
        0o644,
    )?;
    tree.symlink(
        "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        "/lib/systemd/system/systemd-networkd.service",
    )?;
    mtu_with_cloud_init(tree)?;
    default_resolver(tree)
}

/// Lets systemd-networkd use the MTU that DHCP announces where cloud-init writes the network file: that file has no
/// `UseMTU`, and the name of the interface is part of its name. Google's networks need it: their MTU is 1460, and path
/// MTU discovery does not work everywhere. Source: systemd.network(5), `UseMTU` and drop-in directories.
fn mtu_with_cloud_init(tree: &Tree) -> Result<(), Failure> {
    if !tree.exists("/usr/bin/cloud-init") {
        return Ok(());
    }
    tree.write(
        "/etc/systemd/system/cloud-init-local.service.d/10-mtu.conf",
        "# Written by ister: the MTU of DHCP for the interfaces that cloud-init configures.\n[Service]\n\
         ExecStartPost=/bin/sh -c 'for file in /etc/systemd/network/10-cloud-init-*.network; do [ -e \"$$file\" ] || \
         continue; dir=/run/systemd/network/$${file##*/}.d; mkdir -p \"$$dir\"; echo \"[DHCPv4]\" >\"$$dir/mtu.conf\"; \
         echo UseMTU=yes >>\"$$dir/mtu.conf\"; done'\n",
        0o644,
    )
}

/// Enables systemd-resolved, to which systemd-networkd passes the name servers it receives. Up to Debian 11 it is part
/// of systemd and disabled; from Debian 12 on it is a separate package that enables itself.
fn default_resolver(tree: &Tree) -> Result<(), Failure> {
    const ALIAS: &str = "/etc/systemd/system/dbus-org.freedesktop.resolve1.service";
    const UNIT: &str = "/lib/systemd/system/systemd-resolved.service";
    let is_resolved = tree.path().join("etc/resolv.conf").symlink_metadata().is_ok();
    if !tree.exists("/lib/systemd/systemd-resolved") || tree.exists(ALIAS) || is_resolved {
        return Ok(());
    }
    tree.symlink(ALIAS, UNIT)?;
    tree.symlink("/etc/systemd/system/multi-user.target.wants/systemd-resolved.service", UNIT)?;
    tree.symlink("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
}

/// Disables SSH password authentication in cloud images, because they are reachable from the Internet. A template that
/// needs passwords installs an sshd configuration file that sorts first, as `ssh_pwauth` of cloud-init does.
fn disable_ssh_passwords(tree: &Tree) -> Result<(), Failure> {
    if !tree.exists("/usr/bin/cloud-init") || !tree.is_directory("/etc/ssh/sshd_config.d") {
        return Ok(());
    }
    tree.write(
        "/etc/ssh/sshd_config.d/60-ister-cloud.conf",
        "# Written by ister.\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        0o644,
    )
}

/// Sets the locale to C.UTF-8, which needs only libc. Without a setting, cloud-init selects en_US, which a minimal
/// Debian does not have.
fn default_locale(tree: &Tree) -> Result<(), Failure> {
    const FILE: &str = "/etc/default/locale";
    let text = tree.read(FILE)?.unwrap_or_default();
    let is_set = text.lines().any(|line| line.starts_with("LANG="));
    if is_set || !tree.exists("/usr/lib/locale/C.utf8") {
        return Ok(());
    }
    tree.write(FILE, &(text + "LANG=C.UTF-8\n"), 0o644)
}

fn initramfs(tree: &Tree, epoch: u64) -> Result<(), Failure> {
    let compression =
        if tree.exists("/usr/bin/zstd") { "COMPRESS=zstd\nCOMPRESSLEVEL=3\n" } else { "COMPRESS=gzip\n" };
    // RESUME=none: otherwise the first boot waits for the swap device of the build host.
    tree.write(
        INITRAMFS_CONFIG,
        &format!("# Written by ister.\nMODULES=list\n{compression}RESUME=none\n"),
        0o644,
    )?;
    if tree.exists(CRYPTSETUP_CONFIG) {
        // The template defines which volumes are unlocked; their configuration is added to the initramfs later.
        tree.edit(CRYPTSETUP_CONFIG, |text| text + "# Added by ister.\nCRYPTSETUP=y\n")?;
    }
    let is_live = LIVE_BOOT.iter().any(|directory| tree.exists(directory));
    let modules = [MODULES, if is_live { LIVE_MODULES } else { &[] }].concat();
    tree.edit(INITRAMFS_MODULES, |text| text + "# Added by ister.\n" + &modules.join("\n") + "\n")?;
    let kernels = tree.list("/lib/modules");
    let chroot = Chroot::enter(tree.path())?;
    for kernel in kernels {
        let epoch = [("SOURCE_DATE_EPOCH", epoch.to_string())];
        let command = chroot.invocation_with(&epoch, "update-initramfs").args(["-c", "-k", &kernel]);
        run(&command)
            .map_err(|f| f.context(format!("could not generate the initramfs for kernel {kernel}")))?;
    }
    Ok(())
}

/// Returns the date of the newest package list, that is, of the archive state the content comes from.
pub(super) fn archive_epoch(tree: &Tree) -> Option<u64> {
    tree.list("/var/lib/apt/lists")
        .iter()
        .filter(|name| name.ends_with("InRelease") || name.ends_with("_Release"))
        .filter_map(|name| tree.read(&format!("/var/lib/apt/lists/{name}")).ok().flatten())
        .filter_map(|text| text.lines().find_map(|line| release_date(line.strip_prefix("Date:")?)))
        .max()
}

/// Parses a date in the format of a Release file, `Sat, 11 Jul 2026 09:15:42 UTC`, to seconds since 1970.
fn release_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace().skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|m| *m == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let seconds = clock.next()?? * 3600 + clock.next()?? * 60 + clock.next()??;
    // Days since 1970-01-01 in the proleptic Gregorian calendar, years beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 719_469;
    u64::try_from(days * 86_400 + seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_dates_of_release_files() {
        assert_eq!(release_date(" Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(release_date(" Tue, 29 Feb 2028 12:34:56 UTC"), Some(1_835_440_496));
        assert_eq!(release_date(" Sat, 17 May 2025 09:15:42 UTC"), Some(1_747_473_342));
        assert_eq!(release_date("nonsense"), None);
    }
    #[test]
    fn password_change_dates_are_clamped() {
        assert_eq!(
            clamp_password_days("root:*:20783:0:99999:7:::\nold:!:100::::::\nnone:!*:::::::\n", 20_781),
            "root:*:20781:0:99999:7:::\nold:!:100::::::\nnone:!*:::::::\n"
        );
    }

    #[test]
    fn sources_of_the_build_host_are_not_installed() {
        let text = "deb http://h/d bookworm main\n\ndeb [trusted=yes] copy:/srv/x local main\n";
        assert_eq!(installed_sources(text, None), "deb http://h/d bookworm main\n");
        let keyring = Keyring { name: "a.gpg".into(), data: Vec::new() };
        assert_eq!(
            installed_sources(text, Some(&keyring)),
            "deb [signed-by=/etc/apt/keyrings/a.gpg] http://h/d bookworm main\n"
        );
        let old = "deb [check-valid-until=no] http://h/20250520T000000Z bookworm main\n";
        assert_eq!(
            installed_sources(old, Some(&keyring)),
            "deb [signed-by=/etc/apt/keyrings/a.gpg check-valid-until=no] http://h/20250520T000000Z bookworm main\n"
        );
        assert_eq!(
            key_files("deb [arch=amd64 signed-by=/k.gpg] http://h x main\ndeb http://h x main\n"),
            ["/k.gpg"]
        );
    }
}
