//! Filesystem types and mount options in fstab, for the filesystems of the image.

use super::boot::kernels;
use super::mounts::{find, fstab};
use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::plan::command_line::words;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static FSTAB_OPTIONS: Rule = Rule {
    name: "fstab-options",
    summary: "fstab has a mount option or filesystem type that makes the mount fail",
    level: Level::Error,
    why: "If the mount fails, systemd starts an emergency shell. If the options of the root filesystem \
          are invalid, it stays read-only. Sources: mount(8), \"Filesystem-independent mount options\"; \
          ext4(5); xfs(5); btrfs(5); Linux, Documentation/filesystems/vfat.rst.",
    check: Check::Disk(fstab_options),
};

/// An option that ends with `=` takes a value.
const COMMON: &str = "async atime noatime auto noauto context= fscontext= defcontext= rootcontext= seclabel defaults dev nodev diratime \
    nodiratime dirsync exec noexec group iversion noiversion mand nomand _netdev nofail relatime norelatime strictatime \
    nostrictatime lazytime nolazytime suid nosuid silent loud owner remount ro rw sync user user= nouser users nosymfollow \
    symfollow loop loop= offset= sizelimit= comment= helper= uhelper= bind rbind private rprivate shared rshared slave rslave \
    unbindable runbindable usrquota grpquota quota noquota umask= pri=";
const EXT: &str = "journal_checksum nojournal_checksum journal_async_commit journal_path= journal_dev= journal= norecovery noload data= \
    commit= orlov oldalloc user_xattr nouser_xattr acl noacl bsddf minixdf debug abort errors= data_err= grpid bsdgroups nogrpid \
    sysvgroups resgid= resuid= sb= prjquota usrjquota grpjquota usrjquota= grpjquota= jqfmt= barrier barrier= nobarrier \
    inode_readahead_blks= stripe= delalloc nodelalloc max_batch_time= min_batch_time= journal_ioprio= auto_da_alloc \
    auto_da_alloc= noauto_da_alloc noinit_itable init_itable init_itable= discard nodiscard block_validity noblock_validity \
    dioread_lock dioread_nolock nodioread_nolock max_dir_size_kb= i_version dax dax= inlinecrypt test_dummy_encryption \
    test_dummy_encryption= nombcache no_mbcache prefetch_block_bitmaps no_prefetch_block_bitmaps mb_optimize_scan= check= nocheck \
    bh nobh reservation noreservation xip mblk_io_submit nomblk_io_submit debug_want_extra_isize= warn_on_error nowarn_on_error \
    fc_debug_force fc_debug_max_replay= removed";
const XFS: &str = "allocsize= attr2 noattr2 dax dax= discard nodiscard grpid bsdgroups nogrpid sysvgroups filestreams ikeep noikeep \
    inode32 inode64 largeio nolargeio logbufs= logbsize= logdev= noalign norecovery nouuid uquota uqnoenforce qnoenforce gquota \
    gqnoenforce pquota prjquota pqnoenforce rtdev= sunit= swidth= swalloc wsync max_open_zones= lifetime nolifetime \
    max_atomic_write=";
const BTRFS: &str = "acl noacl autodefrag noautodefrag barrier nobarrier check_int check_int_data check_int_print_mask= clear_cache \
    commit= compress compress= compress-force compress-force= datacow nodatacow datasum nodatasum degraded device= discard \
    discard= nodiscard enospc_debug noenospc_debug fatal_errors= flushoncommit noflushoncommit fragment= nospace_cache \
    inode_cache noinode_cache max_inline= metadata_ratio= norecovery nologreplay rescan_uuid_tree rescue= skip_balance \
    space_cache space_cache= ssd nossd ssd_spread nossd_spread subvol= subvolid= subvolrootid= thread_pool= treelog notreelog \
    usebackuproot recovery user_subvol_rm_allowed ref_verify alloc_start=";
const FAT: &str = "allow_utime= check= codepage= conv= cvf_format= cvf_option= debug discard nodiscard dmask= dos1xfloppy errors= fat= \
    flush fmask= gid= iocharset= nfs nfs= dots nodots dotsOK= nonumtail nonumtail= posix quiet rodir showexec shortname= \
    sys_immutable time_offset= tz= uid= usefree utf8 utf8= uni_xlate uni_xlate=";

/// The valid types for a filesystem in fstab, and its mount options.
fn driver(kind: VolumeKind) -> Option<(&'static [&'static str], &'static str)> {
    Some(match kind {
        VolumeKind::Ext => (&["ext4", "ext3", "ext2"], EXT),
        VolumeKind::Xfs => (&["xfs"], XFS),
        VolumeKind::Btrfs => (&["btrfs"], BTRFS),
        VolumeKind::Vfat => (&["vfat", "msdos"], FAT),
        _ => return None,
    })
}

/// Whether mount(8) or the kernel accepts the option.
fn is_option(option: &str, own: &str) -> bool {
    // Comments for mount(8), and options for systemd.
    if option.is_empty() || option.starts_with("x-") || option.starts_with("X-") {
        return true;
    }
    let name = option.split_once('=').map_or(option.to_owned(), |(name, _)| format!("{name}="));
    COMMON.split_whitespace().chain(own.split_whitespace()).any(|known| known == name)
}

pub(super) static ROOT_READ_ONLY: Rule = Rule {
    name: "root-read-only",
    summary: "the root filesystem stays read-only",
    level: Level::Error,
    why: "The kernel command line has `ro`, and systemd makes the root filesystem writable only if fstab or \
          a mount unit has a line for it. Services that write, and changes of passwords, fail. Sources: \
          systemd-remount-fs.service(8); Linux, Documentation/admin-guide/kernel-parameters.txt, ro.",
    check: Check::Disk(root_read_only),
};

fn root_read_only(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let kind = facts.partition(system.root).and_then(|partition| partition.kind);
    let is_writable = matches!(kind, Some(VolumeKind::Ext | VolumeKind::Xfs | VolumeKind::Btrfs));
    if !is_writable
        || !system.exists("/usr/lib/systemd/systemd")
        || fstab(system).iter().any(|line| line.at == "/")
        || system.exists("/etc/systemd/system/-.mount")
    {
        return;
    }
    for (start, _) in kernels(facts).into_iter().filter(|(_, chosen)| !chosen) {
        let options = words(&start.options);
        // Live systems, overlays and verified root filesystems.
        let other = [
            "roothash=",
            "overlay",
            "systemd.volatile",
            "systemd.verity",
            "boot=live",
            "root=tmpfs",
            "rd.live",
        ];
        if options.iter().any(|word| other.iter().any(|start| word.starts_with(start))) {
            continue;
        }
        if options.iter().rfind(|word| matches!(**word, "ro" | "rw")) == Some(&"ro") {
            out.report("the kernel command line has `ro`, and /etc/fstab has no line for /")
                .path("/etc/fstab")
                .help("add a line for / to /etc/fstab, or replace `ro` by `rw`");
            return;
        }
    }
}

fn fstab_options(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    for line in fstab(system) {
        let optional = line.options.split(',').any(|option| option == "nofail" || option == "noauto");
        let number = find(&facts.partitions, system, &line.device);
        let kind = number.and_then(|number| facts.partition(number)).and_then(|partition| partition.kind);
        let Some((names, own)) = kind.and_then(driver) else { continue };
        let level = if optional { Level::Warning } else { Level::Error };
        if line.kind != "auto" && !line.kind.split(',').any(|name| names.contains(&name)) {
            // The root filesystem is already mounted, and nothing waits for swap.
            let level = if line.at == "/" || line.kind == "swap" { Level::Warning } else { level };
            out.report(format!(
                "{} has the type {} in fstab, but the filesystem is {}",
                line.at, line.kind, names[0]
            ))
            .path("/etc/fstab")
            .level(level);
        }
        for option in line.options.split(',').filter(|option| !is_option(option, own)) {
            out.report(format!(
                "invalid mount option for {}: {} has no option `{option}`",
                line.at, names[0]
            ))
            .path("/etc/fstab")
            .level(level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_match_by_name_and_value() {
        for option in
            ["defaults", "errors=remount-ro", "x-systemd.growfs", "discard", "noatime", "commit=30", ""]
        {
            assert!(is_option(option, EXT), "{option}");
        }
        for option in ["subvol=@", "errors", "no-such", "commit", "umask"] {
            assert!(!is_option(option, EXT), "{option}");
        }
        assert!(
            is_option("subvol=@", BTRFS)
                && is_option("compress=zstd:1", BTRFS)
                && is_option("umask=0077", FAT)
        );
        // Removed in Linux 4.19.
        assert!(!is_option("nobarrier", XFS));
    }
}
