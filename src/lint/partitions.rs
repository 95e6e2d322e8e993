//! The three partition sections of a template, joined by disk and number.

use crate::plan::layout::Request;
use crate::template::{
    Bytes, FilesystemEntry, FilesystemType, LayoutEntry, MountEntry, PartitionType, Place, Size, Span,
    Spanned, Template,
};
use std::collections::BTreeMap;

/// What layout entries ask for, as far as it can be read.
pub(super) fn requests<'t>(entries: impl IntoIterator<Item = &'t LayoutEntry>) -> Vec<Request> {
    let requests = entries.into_iter().filter_map(|entry| match (&entry.place.partition, &entry.size) {
        (Some(number), Some(Spanned { value: Ok(size), .. })) => {
            Some(Request { number: number.value, size: *size })
        }
        _ => None,
    });
    requests.collect()
}

/// What a template says of one partition: the first entry of each section that speaks of it.
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

    /// The size it asks for, if that is an amount.
    pub fn size(&self) -> Option<Bytes> {
        match self.layout?.size.as_ref()?.value {
            Ok(Size::Exact(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The narrowest place that stands for the partition in the layout, else where it is named first.
    pub fn span(&self) -> Span {
        let layout = self.layout.map(|l| &l.place);
        let filesystem = self.filesystem.map(|f| &f.place);
        let mount = self.mount.map(|m| &m.place);
        layout.or(filesystem).or(mount).map_or_else(Span::default, Place::partition_span)
    }
}

/// Every partition that any section speaks of, in the order of disks and numbers.
#[derive(Debug, Default)]
pub struct Partitions<'t> {
    by_key: BTreeMap<(&'t str, u32), Partition<'t>>,
    /// An entry does not say which partition it is for: what seems to lack may be meant by it.
    incomplete: bool,
}

impl<'t> Partitions<'t> {
    pub fn of(template: &'t Template) -> Self {
        let mut all = Partitions::default();
        for entry in template.layout() {
            if let Some(partition) = all.entry(&entry.place) {
                partition.layout.get_or_insert(entry);
            }
        }
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

    fn entry(&mut self, place: &'t Place) -> Option<&mut Partition<'t>> {
        let Some((disk, number)) = place.key() else {
            self.incomplete = true;
            return None;
        };
        let new = Partition { disk, number, layout: None, filesystem: None, mount: None };
        Some(self.by_key.entry((disk, number)).or_insert(new))
    }

    /// Whether every entry says which partition it is for.
    pub fn is_complete(&self) -> bool {
        !self.incomplete
    }

    pub fn iter(&self) -> impl Iterator<Item = &Partition<'t>> {
        self.by_key.values()
    }

    pub fn get(&self, place: &'t Place) -> Option<&Partition<'t>> {
        self.by_key.get(&place.key()?)
    }

    /// What is mounted at a path.
    pub fn at(&self, path: &str) -> Option<&Partition<'t>> {
        self.iter().find(|partition| partition.is_at(path))
    }

    /// The first EFI system partition.
    pub fn efi(&self) -> Option<&Partition<'t>> {
        self.iter().find(|partition| partition.is_efi())
    }
}
