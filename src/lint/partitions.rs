//! The three partition sections of a template, joined by disk and partition number.

use crate::finding::MAX_FINDINGS;
use crate::plan::layout::PartitionRequest;
use crate::template::{
    Bytes, FilesystemEntry, FilesystemType, LayoutEntry, MountEntry, PartitionRef, PartitionType, Size, Span,
    Spanned, Template, nearest,
};
use std::collections::BTreeMap;

/// The layout requests of all entries that have a valid number and size.
pub(super) fn requests<'t>(entries: impl IntoIterator<Item = &'t LayoutEntry>) -> Vec<PartitionRequest> {
    let requests = entries.into_iter().filter_map(|entry| match (&entry.place.partition, &entry.size) {
        (Some(number), Some(Spanned { value: Ok(size), .. })) => {
            Some(PartitionRequest { number: number.value, size: *size })
        }
        _ => None,
    });
    requests.collect()
}

/// One partition: the first entry for it in each section.
#[derive(Clone, Copy, Debug)]
pub struct Partition<'t> {
    pub disk: &'t str,
    pub number: u32,
    pub layout: Option<&'t LayoutEntry>,
    pub filesystem: Option<&'t FilesystemEntry>,
    pub mount: Option<&'t MountEntry>,
}

impl<'t> Partition<'t> {
    pub fn kind(&self) -> Option<PartitionType> {
        self.layout?.kind.as_ref()?.known()
    }

    pub fn is_efi(&self) -> bool {
        self.kind() == Some(PartitionType::Efi)
    }

    pub fn filesystem_kind(&self) -> Option<FilesystemType> {
        self.filesystem?.kind.as_ref()?.known()
    }

    pub fn mount_path(&self) -> Option<&'t Spanned<String>> {
        self.mount?.mount.as_ref()
    }

    pub fn is_at(&self, path: &str) -> bool {
        self.mount_path().is_some_and(|mount| mount.value == path)
    }

    /// The requested size, unless it is `rest` or invalid.
    pub fn size(&self) -> Option<Bytes> {
        match self.layout?.size.as_ref()?.value {
            Ok(Size::Exact(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The position of the partition in the layout, otherwise in the first section that names it.
    pub fn span(&self) -> Span {
        let layout = self.layout.map(|l| &l.place);
        let filesystem = self.filesystem.map(|f| &f.place);
        let mount = self.mount.map(|m| &m.place);
        layout.or(filesystem).or(mount).map_or_else(Span::default, PartitionRef::partition_span)
    }
}

/// Similar names are looked up among at most this many disks.
const MAX_COMPARED_DISKS: usize = 16;

/// All partitions named in any section, ordered by disk and number.
#[derive(Debug, Default)]
pub struct Partitions<'t> {
    by_key: BTreeMap<(&'t str, u32), Partition<'t>>,
    /// At least one entry has no valid disk or number, so a partition without an entry may be the one it was meant for.
    incomplete: bool,
    /// Filesystems and mount points, by position, whose disk is in PartitionLayout only under a similar name.
    misspelt: BTreeMap<usize, &'t str>,
}

impl<'t> Partitions<'t> {
    pub fn of(template: &'t Template) -> Self {
        let mut all = Partitions::default();
        for entry in template.layout() {
            if let Some(partition) = all.entry(&entry.place) {
                partition.layout.get_or_insert(entry);
            }
        }
        all.find_misspelt_disks(template);
        for entry in template.filesystems() {
            if let Some(partition) = all.entry(&entry.place) {
                partition.filesystem.get_or_insert(entry);
            }
        }
        for entry in template.mounts() {
            if let Some(partition) = all.entry(&entry.place) {
                partition.mount.get_or_insert(entry);
            }
        }
        all
    }

    fn find_misspelt_disks(&mut self, template: &'t Template) {
        let mut disks: Vec<&str> = self.by_key.keys().map(|(disk, _)| *disk).collect();
        disks.dedup();
        // Comparing names is slow, and a machine does not have many disks.
        if disks.len() > MAX_COMPARED_DISKS {
            return;
        }
        let filesystems = template.filesystems().iter().map(|entry| &entry.place);
        let mounts = template.mounts().iter().map(|entry| &entry.place);
        let named = filesystems.chain(mounts).filter_map(|place| Some((place, place.disk.as_ref()?)));
        let unknown = named.filter(|(_, disk)| !disks.contains(&disk.value.as_str()));
        for (place, disk) in unknown.take(MAX_FINDINGS) {
            if let Some(meant) = nearest(disk, &disks) {
                self.misspelt.insert(place.span.start, meant);
            }
        }
    }

    fn entry(&mut self, place: &'t PartitionRef) -> Option<&mut Partition<'t>> {
        let Some((disk, number)) = place.key() else {
            self.incomplete = true;
            return None;
        };
        let new = Partition { disk, number, layout: None, filesystem: None, mount: None };
        Some(self.by_key.entry((disk, number)).or_insert(new))
    }

    /// Whether every entry has a valid disk and partition number. Otherwise a partition that lacks an entry may have one.
    pub fn is_complete(&self) -> bool {
        !self.incomplete && self.misspelt.is_empty()
    }

    /// The disk that an entry probably means, if its own is not in PartitionLayout.
    pub fn meant_disk(&self, place: &PartitionRef) -> Option<&'t str> {
        self.misspelt.get(&place.span.start).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Partition<'t>> {
        self.by_key.values()
    }

    pub fn get(&self, place: &'t PartitionRef) -> Option<&Partition<'t>> {
        self.by_key.get(&place.key()?)
    }

    /// The partition mounted at a path.
    pub fn at(&self, path: &str) -> Option<&Partition<'t>> {
        self.iter().find(|partition| partition.is_at(path))
    }

    /// The first EFI system partition.
    pub fn efi(&self) -> Option<&Partition<'t>> {
        self.iter().find(|partition| partition.is_efi())
    }
}
