//! Differences in groups: real changes come before what differs between any two builds.

use super::images::Difference;
use super::packages::PLACE;
use serde::Serialize;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceGroup {
    Packages,
    /// Kernels, boot loaders, their entries and options.
    Boot,
    Files,
    /// Sizes, positions, labels.
    Layout,
    /// GUIDs, UUIDs, and files that differ only in these.
    Identifiers,
    Times,
    /// Filesystem structures.
    Structures,
}

impl DifferenceGroup {
    pub const ALL: [DifferenceGroup; 7] = [
        DifferenceGroup::Packages,
        DifferenceGroup::Boot,
        DifferenceGroup::Files,
        DifferenceGroup::Layout,
        DifferenceGroup::Identifiers,
        DifferenceGroup::Times,
        DifferenceGroup::Structures,
    ];

    /// Whether the group differs between any two builds of a template that are not identical.
    pub fn differs_in_every_build(self) -> bool {
        self >= DifferenceGroup::Identifiers
    }
}

impl fmt::Display for DifferenceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DifferenceGroup::Packages => "packages",
            DifferenceGroup::Boot => "boot",
            DifferenceGroup::Files => "files",
            DifferenceGroup::Layout => "layout",
            DifferenceGroup::Identifiers => "identifiers",
            DifferenceGroup::Times => "times",
            DifferenceGroup::Structures => "filesystem structures",
        })
    }
}

/// Paths of boot files, on any filesystem.
const BOOT: &[&str] = &["/boot/", "/efi/", "/loader/", "/EFI/", "/etc/kernel/", "/etc/default/grub"];

pub fn group(difference: &Difference) -> DifferenceGroup {
    let place = &difference.place;
    let last = place.last().map_or("", String::as_str);
    if place.first().is_some_and(|first| first == PLACE) {
        return DifferenceGroup::Packages;
    }
    if difference.is_identity || last == "GUID" || last == "disk GUID" || last == "UUID" {
        return DifferenceGroup::Identifiers;
    }
    if last.ends_with(" time") {
        return DifferenceGroup::Times;
    }
    // For files the third component is the path; for structures it is a description.
    let path = place.get(2).filter(|path| path.starts_with('/') && place.len() > 3);
    match path {
        Some(_) if last == "inode number" || last == "links" => DifferenceGroup::Structures,
        Some(path) if BOOT.iter().any(|start| path.starts_with(start)) => DifferenceGroup::Boot,
        Some(_) => DifferenceGroup::Files,
        None if difference.a == difference.b => DifferenceGroup::Structures,
        None if last.starts_with("boot code") || last.contains("core image") => DifferenceGroup::Boot,
        None => DifferenceGroup::Layout,
    }
}

/// The groups that have differences, in order.
pub fn grouped(differences: &[Difference]) -> Vec<(DifferenceGroup, Vec<&Difference>)> {
    DifferenceGroup::ALL
        .into_iter()
        .map(|wanted| (wanted, differences.iter().filter(|difference| group(difference) == wanted).collect()))
        .filter(|(_, list): &(DifferenceGroup, Vec<&Difference>)| !list.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_changes_come_first() {
        let difference = |place: &[&str], same: bool| Difference {
            place: place.iter().map(|part| (*part).to_owned()).collect(),
            a: "1".into(),
            b: if same { "1" } else { "2" }.into(),
            is_identity: false,
        };
        let root = "partition 3 (`root`)";
        let all = [
            (
                difference(&["primary partition table", "partition 1", "GUID"], false),
                DifferenceGroup::Identifiers,
            ),
            (difference(&[root, "ext", "/etc/hostname", "content"], false), DifferenceGroup::Files),
            (difference(&[root, "ext", "/etc/hostname", "modification time"], false), DifferenceGroup::Times),
            (difference(&[root, "ext", "/boot/grub/grub.cfg", "content"], false), DifferenceGroup::Boot),
            (difference(&[root, "ext", "inode table of group 1"], true), DifferenceGroup::Structures),
            (difference(&[root, "size"], false), DifferenceGroup::Layout),
            (difference(&["packages", "netbase"], false), DifferenceGroup::Packages),
        ];
        for (difference, expected) in &all {
            assert_eq!(group(difference), *expected, "{:?}", difference.place);
        }
        let list: Vec<Difference> = all.into_iter().map(|(difference, _)| difference).collect();
        let order: Vec<DifferenceGroup> = grouped(&list).into_iter().map(|(group, _)| group).collect();
        assert_eq!(order, DifferenceGroup::ALL);
    }
}
