//! The space forecast: the capacity of filesystems, the space that the content takes, and minimum partition sizes.
//!
//! The forecast uses the content of the packages. Files added by hooks are not known yet; space is checked again after
//! the hooks and before anything is written. The forecast is conservative: a filesystem never has less capacity than
//! forecast, and the known files never take more.

use super::capacity::{Capacity, CapacityRequest, capacity, minimum_size as least_of};
use super::inputs::{ContentItem, Footprint, ItemKind, PlanError};
use super::model::*;
use crate::plan::layout::SectorSize;
use crate::template::{Bytes, ESP_OF_KERNEL_INSTALL, FilesystemEntry, FilesystemType, Size, Template};
use std::collections::{BTreeSet, HashMap};

/// The capacity of an empty partition; `None` if it cannot be computed.
pub(super) fn empty(
    partition: &Partition,
    entry: Option<&FilesystemEntry>,
    sector: SectorSize,
) -> Option<Space> {
    let filesystem = partition.filesystem.as_ref().filter(|f| !f.keep)?;
    let size = partition.size.0.checked_sub(partition.filesystem_offset().0)?;
    let capacity = capacity(&CapacityRequest {
        kind: filesystem.kind,
        size: Bytes(size),
        options: options(entry),
        sector: sector.bytes(),
    })?;
    Some(space_of(&capacity))
}

/// Rejects partitions below the minimum size of their filesystem.
pub(super) fn check_least(template: &Template, disks: &[Disk]) -> Result<(), Vec<PlanError>> {
    let mut refusals = Vec::new();
    for (disk, partition) in disks.iter().flat_map(|disk| disk.partitions.iter().map(move |p| (disk, p))) {
        let Some(filesystem) = partition.filesystem.as_ref().filter(|f| !f.keep) else { continue };
        let entry = filesystem_entry(template, &disk.name, partition.number);
        let around = partition.filesystem_offset();
        let least = match least_of(filesystem.kind, options(entry)) {
            Some(least) => least,
            // There must be space after the LUKS header.
            None if partition.encryption.is_some() => Bytes::mib(1),
            None => continue,
        };
        if partition.size.0 < least.0 + around.0 {
            let layout = template.layout().iter().find(|e| is_at(&e.place, &disk.name, partition.number));
            let span = layout.and_then(|e| e.size.as_ref()).map_or(template.span, |size| size.span);
            refusals.push(PlanError::new(
                span,
                format!("{} of {} is too small for {}", partition.title(), partition.size, filesystem.kind),
                format!("make it {} or larger", Bytes(least.0 + around.0)),
            ));
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

fn space_of(capacity: &Capacity) -> Space {
    Space {
        offers: capacity.bytes,
        inodes: capacity.inodes,
        allocation_unit: Bytes(capacity.unit),
        per_file: Bytes(capacity.per_node),
        holds: None,
        left: None,
        another_kernel: None,
    }
}

fn options(entry: Option<&FilesystemEntry>) -> &str {
    entry.and_then(|e| e.options.as_ref()).map_or("", |options| options.value.as_str())
}

/// Computes the space that the content takes on each partition. It is an error if the content does not fit.
pub(super) fn fill(
    template: &Template,
    disks: &mut [Disk],
    boot: Option<&Boot>,
    footprint: &Footprint,
) -> Result<(), Vec<PlanError>> {
    let mounts: Vec<String> =
        disks.iter().flat_map(|d| &d.partitions).filter_map(|p| p.mount.clone()).collect();
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let loader = loader_items(boot, footprint);
    let mut refusals = Vec::new();
    for disk in disks {
        let sector = disk.sector_size;
        for partition in &mut disk.partitions {
            let entry = filesystem_entry(template, &disk.name, partition.number);
            let (Some(space), Some(filesystem)) = (&mut partition.space, &partition.filesystem) else {
                continue;
            };
            let items = items_at(partition.mount.as_deref(), &mounts, footprint, &loader);
            let usage = usage(filesystem.kind, space, items);
            space.holds = Some(Bytes(usage.bytes));
            space.left = Some(Bytes(space.offers.0.saturating_sub(usage.bytes)));
            if boot.is_some_and(|b| {
                b.boot_partition.disk == disk.name && b.boot_partition.partition == partition.number
            }) {
                space.another_kernel = another_kernel(filesystem.kind, space, footprint);
            }
            if !usage.fits(space) {
                let space = *space;
                let wanted = SizeRequest {
                    filesystem: entry,
                    sector,
                    mount: partition.mount.as_deref(),
                    mounts: &mounts,
                };
                refusals
                    .push(does_not_fit(template, &disk.name, partition, &usage, &space, &wanted, footprint));
            }
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

fn does_not_fit(
    template: &Template,
    disk: &str,
    partition: &Partition,
    usage: &Usage,
    space: &Space,
    wanted: &SizeRequest,
    footprint: &Footprint,
) -> PlanError {
    let kind = partition.filesystem.as_ref().map_or(FilesystemType::Ext4, |f| f.kind);
    let entry = template.layout().iter().find(|e| is_at(&e.place, disk, partition.number));
    let span = entry.and_then(|e| e.size.as_ref()).map_or(template.span, |size| size.span);
    let detail = usage.against(kind, partition.size, space);
    let help = match entry.and_then(|e| e.size.as_ref()).map(|size| &size.value) {
        Some(Ok(Size::Rest)) => "increase the disk size, or remove bundles".to_owned(),
        _ => {
            format!(
                "make it {}M or larger, or remove bundles",
                minimum_size(wanted, footprint).0 / Bytes::MIB
            )
        }
    };
    PlanError::new(span, format!("the content does not fit into {}: {detail}", partition.title()), help)
}

/// A partition whose size is to be computed.
pub(super) struct SizeRequest<'a> {
    pub filesystem: Option<&'a FilesystemEntry>,
    pub sector: SectorSize,
    pub mount: Option<&'a str>,
    /// All mount points. Files below a deeper mount point are on another partition.
    pub mounts: &'a [&'a str],
}

/// Minimum headroom for logs, updates and user files.
const LEAST_HEADROOM: u64 = 256 * Bytes::MIB;

/// The partition size for its content and headroom, which is a quarter of the content and at least 256 MiB.
pub(super) fn minimum_size(wanted: &SizeRequest, footprint: &Footprint) -> Bytes {
    let encrypted = wanted.filesystem.is_some_and(|f| f.encryption.is_some());
    let around = if encrypted { LUKS_DATA_OFFSET.0 } else { 0 };
    let kind = wanted.filesystem.and_then(|f| f.kind.as_ref()?.known()).unwrap_or(FilesystemType::Ext4);
    let fits = |mebibytes: u64| {
        let request = CapacityRequest {
            kind,
            size: Bytes::mib(mebibytes),
            options: options(wanted.filesystem),
            sector: wanted.sector.bytes(),
        };
        capacity(&request).is_some_and(|capacity| {
            let items = items_at(wanted.mount, wanted.mounts, footprint, &[]);
            let usage = usage(kind, &space_of(&capacity), items);
            let need = usage.bytes + (usage.bytes / 4).max(LEAST_HEADROOM);
            need <= capacity.bytes.0
                && capacity.inodes.is_none_or(|have| usage.nodes + usage.nodes / 4 <= have)
        })
    };
    // Capacity grows with the partition size, except for small steps between filesystem parameters: binary search.
    const MOST: u64 = 1 << 24;
    let mut enough = 64;
    while enough < MOST && !fits(enough) {
        enough *= 2;
    }
    let mut short = enough / 2;
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        if fits(middle) { enough = middle } else { short = middle }
    }
    Bytes(Bytes::mib(enough).0 + around)
}

/// The approximate files that the boot loader adds: its programs, its configuration and copied kernels.
fn loader_items(boot: Option<&Boot>, footprint: &Footprint) -> Vec<ContentItem> {
    let Some(boot) = boot else { return Vec::new() };
    let named =
        |end: &str| footprint.items.iter().find(|item| item.path.ends_with(end)).map_or(0, |i| i.bytes);
    let Some(esp) = &boot.esp else {
        let modules = footprint.items.iter().filter_map(|item| {
            let name = item.path.strip_prefix("/usr/lib/grub/i386-pc/")?;
            Some(file(format!("/boot/grub/i386-pc/{name}"), item.bytes))
        });
        return modules.collect();
    };
    let mut items = Vec::new();
    match boot.loader {
        Loader::SystemdBoot => {
            let program = named("/systemd-bootx64.efi");
            items.push(file(format!("{esp}/EFI/BOOT/BOOTX64.EFI"), program));
            items.push(file(format!("{esp}/EFI/systemd/systemd-bootx64.efi"), program));
            items.push(file(format!("{esp}/loader/entries/entry.conf"), 1));
            items.push(file(format!("{esp}/loader/loader.conf"), 1));
            if esp == ESP_OF_KERNEL_INSTALL {
                let copies = footprint.items.iter().filter_map(|item| {
                    let name = item.path.strip_prefix("/boot/")?;
                    let version =
                        name.strip_prefix("vmlinuz-").or_else(|| name.strip_prefix("initrd.img-"))?;
                    Some(file(format!("{esp}/linux/{version}/{name}"), item.bytes))
                });
                items.extend(copies);
            }
        }
        Loader::Grub => {
            items.push(file(format!("{esp}/EFI/BOOT/BOOTX64.EFI"), named("/shimx64.efi.signed")));
            items.push(file(format!("{esp}/EFI/BOOT/grubx64.efi"), named("/grubx64.efi.signed")));
            items.push(file(format!("{esp}/EFI/BOOT/mmx64.efi"), named("/mmx64.efi.signed")));
            items.push(file(format!("{esp}/EFI/linux/grub.cfg"), 1));
        }
    }
    let directories: BTreeSet<String> =
        items.iter().flat_map(|item| directories_of(&item.path, esp)).collect();
    items.extend(directories.into_iter().map(|path| ContentItem {
        path,
        bytes: 0,
        kind: ItemKind::Directory,
    }));
    items
}

fn file(path: String, bytes: u64) -> ContentItem {
    ContentItem { path, bytes, kind: ItemKind::File }
}

/// The parent directories of a path that are below `top`.
fn directories_of(path: &str, top: &str) -> Vec<String> {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > top.len());
    ends.map(|at| path[..at].to_owned()).collect()
}

/// The sizes of the largest kernel and the largest initramfs.
fn kernel_sizes(footprint: &Footprint) -> Option<[u64; 2]> {
    let largest = |prefix: &str| {
        let items = footprint.items.iter().filter(|item| item.path.starts_with(prefix));
        items.map(|item| item.bytes).max()
    };
    Some([largest("/boot/vmlinuz-")?, largest("/boot/initrd.img-").unwrap_or(0)])
}

/// The space for another kernel with its initramfs.
fn another_kernel(kind: FilesystemType, space: &Space, footprint: &Footprint) -> Option<Bytes> {
    let items: Vec<ContentItem> =
        kernel_sizes(footprint)?.into_iter().map(|bytes| file("/boot/kernel".to_owned(), bytes)).collect();
    Some(Bytes(usage(kind, space, items.iter()).bytes))
}

/// The items on the filesystem of a mount point, without those below deeper mount points. Unmounted partitions are
/// empty.
fn items_at<'a>(
    mount: Option<&'a str>,
    mounts: &'a [&'a str],
    footprint: &'a Footprint,
    more: &'a [ContentItem],
) -> impl Iterator<Item = &'a ContentItem> {
    let below = |path: &str, mount: &str| {
        let mount = mount.trim_end_matches('/');
        path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'))
    };
    let deeper: Vec<&str> = mounts
        .iter()
        .copied()
        .filter(|other| mount.is_some_and(|mount| *other != mount && (mount == "/" || below(other, mount))))
        .collect();
    footprint.items.iter().chain(more).filter(move |item| {
        mount.is_some_and(|mount| below(&item.path, mount))
            && !deeper.iter().any(|other| below(&item.path, other))
    })
}

/// The space that content takes on a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    /// The number of files, directories and links.
    pub nodes: u64,
}

impl Usage {
    pub fn fits(&self, space: &Space) -> bool {
        self.bytes <= space.offers.0 && space.inodes.is_none_or(|have| self.nodes <= have)
    }

    /// The needed and the available space, for messages.
    pub fn against(&self, kind: FilesystemType, size: Bytes, space: &Space) -> String {
        match space.inodes.filter(|have| self.nodes > *have) {
            Some(have) => {
                format!("it has {} files and directories, {kind} in {size} allows {have}", self.nodes)
            }
            None => {
                format!("it needs {}, {kind} in {size} has a capacity of {}", Bytes(self.bytes), space.offers)
            }
        }
    }
}

/// The space that items take on a filesystem with these parameters.
pub fn usage<'a>(kind: FilesystemType, space: &Space, items: impl Iterator<Item = &'a ContentItem>) -> Usage {
    let unit = space.allocation_unit.0.max(1);
    let whole = |bytes: u64| bytes.div_ceil(unit).saturating_mul(unit);
    // Shorter targets are stored in the inode. Source: Linux, fs/ext4/ext4.h, EXT4_N_BLOCKS; XFS Algorithms & Data
    // Structures, "Symbolic Links".
    let inline_link = match kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => 60,
        FilesystemType::Xfs => 336,
        _ => u64::MAX,
    };
    let mut usage = Usage { bytes: 0, nodes: 0 };
    // The names in a directory take space in that directory.
    let mut names: HashMap<&str, u64> = HashMap::new();
    for item in items {
        usage.nodes += 1;
        let (directory, name) = item.path.rsplit_once('/').unwrap_or(("", &item.path));
        *names.entry(directory).or_default() += name_bytes(kind, name);
        usage.bytes += space.per_file.0
            + match item.kind {
                ItemKind::File => {
                    whole(item.bytes) + map_blocks(kind, item.bytes.div_ceil(unit), unit) * unit
                }
                ItemKind::Directory => {
                    names.entry(&item.path).or_default();
                    0
                }
                ItemKind::Link if item.bytes >= inline_link => unit,
                ItemKind::Link | ItemKind::Other => 0,
            };
    }
    usage.bytes += names.values().map(|bytes| whole((*bytes).max(1))).sum::<u64>();
    usage
}

/// Blocks that map a file's data, in addition to the map in the inode. Source: Linux,
/// Documentation/filesystems/ext4/blockmap.rst (12 direct blocks, then up to three levels) and ifork.rst (4 extents of
/// 32,768 blocks).
fn map_blocks(kind: FilesystemType, blocks: u64, unit: u64) -> u64 {
    match kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 => {
            let mut level = blocks.saturating_sub(12);
            let mut total = 0;
            // The blocks of each level are mapped by the next level, until one block is left.
            while level > 0 {
                level = level.div_ceil(unit / 4);
                total += level;
                if level == 1 {
                    break;
                }
            }
            // Double and triple indirection each take one more block.
            total + if total > 1 { 2 } else { 0 }
        }
        FilesystemType::Ext4 if blocks > 4 * 32_768 => 1 + blocks / (32_768 * 300),
        _ => 0,
    }
}

/// The space of a directory entry with this name.
fn name_bytes(kind: FilesystemType, name: &str) -> u64 {
    let length = name.len() as u64;
    match kind {
        // 32 bytes for the short name and for each 13 UTF-16 units of the long one. Source: FAT specification 1.03.
        FilesystemType::Vfat => 32 * (1 + length.div_ceil(13)),
        // Linux, struct ext4_dir_entry_2, plus an allowance for unused space at block ends.
        _ => (8 + length.next_multiple_of(4)) * 9 / 8,
    }
}

fn filesystem_entry<'t>(template: &'t Template, disk: &str, number: u32) -> Option<&'t FilesystemEntry> {
    template.filesystems().iter().find(|f| is_at(&f.place, disk, number))
}

/// `disk` is the name in the plan, without a directory.
fn is_at(place: &crate::template::PartitionRef, disk: &str, number: u32) -> bool {
    place.partition.as_ref().is_some_and(|p| p.value == number)
        && place.disk.as_ref().is_some_and(|d| d.value.rsplit('/').next() == disk.rsplit('/').next())
}
