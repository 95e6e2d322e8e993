//! Limits of each filesystem type, checked before a filesystem is made.

use super::fat;
use super::tree::{Body, Node, NodeId, PATH_MAX, ROOT, Tree};
use crate::template::FilesystemType;
use std::collections::BTreeMap;

/// A node that the filesystem cannot store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// Path from the filesystem's root.
    pub path: String,
    /// The reason.
    pub problem: String,
}

/// Limits, in bytes unless stated otherwise.
struct Limits {
    /// Size of a file.
    file: u64,
    /// Length of a symbolic link's target.
    link: u64,
    /// Number of hard links to a file.
    names: u64,
    /// Number of subdirectories of a directory.
    directories: u64,
    /// Size of one extended attribute's value.
    attribute: u64,
    /// Total size of a file's extended attributes, names included.
    attributes: u64,
}

/// The first node that a filesystem of this type cannot store. `unit`: block size in bytes. `owner`: user and group of
/// every file, for filesystems that do not store owners.
pub fn first_unsupported(
    kind: FilesystemType,
    unit: u64,
    owner: (u32, u32),
    tree: &Tree,
) -> Option<UnsupportedNode> {
    if kind == FilesystemType::Vfat {
        let found = fat::first_unsupported(&tree.nodes, unit, owner);
        return found.map(|(path, problem)| UnsupportedNode { path, problem });
    }
    let limits = limits(kind, unit)?;
    let mut names: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut waiting = vec![(ROOT, String::new())];
    while let Some((id, path)) = waiting.pop() {
        let node = &tree.nodes[id];
        if let Some(problem) = problem(kind, &limits, node, tree) {
            return Some(UnsupportedNode { path, problem });
        }
        if path.len() >= PATH_MAX {
            return Some(UnsupportedNode {
                path,
                problem: format!("path is longer than {} bytes", PATH_MAX - 1),
            });
        }
        let Body::Directory(children) = &node.body else { continue };
        for (name, child) in children {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            let count = names.entry(*child).or_insert(0);
            *count += 1;
            if *count > limits.names {
                let problem = format!("{kind} supports at most {} hard links to a file", limits.names);
                return Some(UnsupportedNode { path, problem });
            }
            if *count == 1 {
                waiting.push((*child, path));
            }
        }
    }
    None
}

fn problem(kind: FilesystemType, limits: &Limits, node: &Node, tree: &Tree) -> Option<String> {
    let most = |what: &str, have: u64, most: u64| {
        (have > most).then(|| format!("{kind} limits {what} to {most} bytes, this one has {have}"))
    };
    let size = node.attributes.iter().map(|(name, value)| (name.len() + value.len()) as u64);
    let body = match &node.body {
        Body::File(_) => most("a file", node.size, limits.file),
        Body::Link(target) => most("the target of a symbolic link", target.len() as u64, limits.link),
        Body::Directory(children) => {
            let is_directory = |id: &&NodeId| matches!(tree.nodes[**id].body, Body::Directory(_));
            let directories = children.values().filter(is_directory).count() as u64;
            (directories > limits.directories).then(|| {
                format!(
                    "{kind} supports at most {} subdirectories in a directory, this one has {directories}",
                    limits.directories
                )
            })
        }
        _ => None,
    };
    body.or_else(|| {
        node.attributes
            .values()
            .find_map(|value| most("an extended attribute", value.len() as u64, limits.attribute))
    })
    .or_else(|| most("all extended attributes of a file", size.sum(), limits.attributes))
}

/// Sources: ext4(5); Linux, fs/ext2/ext2.h and fs/ext4/ext4.h (`EXT2_LINK_MAX`, `EXT4_LINK_MAX`),
/// Documentation/filesystems/ext2.rst, "Limits"; fs/xfs/libxfs/xfs_format.h (`XFS_SYMLINK_MAXLEN`), attr(5);
/// fs/btrfs/ctree.h (`BTRFS_LINK_MAX`).
fn limits(kind: FilesystemType, unit: u64) -> Option<Limits> {
    const UNLIMITED: u64 = u64::MAX;
    // Bytes for extended attributes in an inode of the usual 256 bytes.
    const IN_INODE: u64 = 96;
    let ext = |file: u64, names: u64, directories: u64| Limits {
        file,
        link: unit - 1,
        names,
        directories,
        attribute: unit,
        attributes: unit + IN_INODE,
    };
    // Three levels of block pointers, and at most 2^32 sectors of 512 bytes.
    let pointers = unit / 4;
    let indirect = (unit * (12 + pointers + pointers.pow(2) + pointers.pow(3))).min((1 << 41) - 512);
    Some(match kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 => ext(indirect, 32_000, 31_998),
        FilesystemType::Ext4 => ext(unit << 32, 65_000, UNLIMITED),
        FilesystemType::Xfs => Limits {
            file: i64::MAX as u64,
            link: 1023,
            names: i32::MAX as u64,
            directories: UNLIMITED,
            attribute: 65_536,
            attributes: UNLIMITED,
        },
        FilesystemType::Btrfs => Limits {
            file: i64::MAX as u64,
            link: 4095,
            names: 65_535,
            directories: UNLIMITED,
            // The btrfs writer checks this itself: the limit depends on the node size.
            attribute: UNLIMITED,
            attributes: UNLIMITED,
        },
        FilesystemType::Vfat | FilesystemType::Swap => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scan::{Scan, survey};
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn surveyed(make: impl Fn(&Path)) -> Scan {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        survey(directory.path(), 0).unwrap()
    }

    fn check(kinds: &[FilesystemType], unit: u64, scan: &Scan, expect: Option<(&str, &str)>) {
        for kind in kinds {
            let found = first_unsupported(*kind, unit, (0, 0), &scan.tree);
            let found = found.as_ref().map(|found| (found.path.as_str(), found.problem.as_str()));
            assert_eq!(found, expect, "{kind}");
        }
    }

    #[test]
    fn limits_of_each_kind() {
        use FilesystemType::{Btrfs, Ext2, Ext3, Ext4, Xfs};
        let link = surveyed(|root| symlink("x".repeat(1024), root.join("l")).unwrap());
        check(&[Ext2, Ext4, Btrfs], 4096, &link, None);
        let message = |kind: &str| {
            format!("{kind} limits the target of a symbolic link to 1023 bytes, this one has 1024")
        };
        check(&[Xfs], 4096, &link, Some(("/l", &message("xfs"))));
        check(&[Ext4], 1024, &link, Some(("/l", &message("ext4"))));
        let big = surveyed(|root| File::create(root.join("f")).unwrap().set_len(17 << 30).unwrap());
        check(&[Ext2, Ext3, Ext4, Xfs, Btrfs], 4096, &big, None);
        check(
            &[Ext3],
            1024,
            &big,
            Some(("/f", "ext3 limits a file to 17247252480 bytes, this one has 18253611008")),
        );
        let names = surveyed(|root| {
            fs::write(root.join("0"), "").unwrap();
            for name in 1..=32_000 {
                // Some filesystems of the host support fewer links.
                if fs::hard_link(root.join("0"), root.join(name.to_string())).is_err() {
                    return;
                }
            }
        });
        let Body::Directory(children) = &names.tree.nodes[ROOT].body else { panic!() };
        if children.len() > 32_000 {
            check(&[Ext4, Xfs, Btrfs], 4096, &names, None);
            let found = first_unsupported(Ext2, 4096, (0, 0), &names.tree).unwrap();
            assert_eq!(found.problem, "ext2 supports at most 32000 hard links to a file");
        }
        let directories = surveyed(|root| {
            (0..31_999).for_each(|name| fs::create_dir(root.join(name.to_string())).unwrap())
        });
        check(&[Ext4, Xfs, Btrfs], 4096, &directories, None);
        check(
            &[Ext3],
            4096,
            &directories,
            Some(("", "ext3 supports at most 31998 subdirectories in a directory, this one has 31999")),
        );
    }

    #[test]
    fn attribute_limits() {
        use FilesystemType::{Ext4, Xfs};
        let mut scan = surveyed(|root| fs::write(root.join("f"), "").unwrap());
        scan.tree.nodes[1].attributes.insert(b"user.a".to_vec(), vec![1; 5000]);
        check(&[Xfs], 4096, &scan, None);
        check(
            &[Ext4],
            4096,
            &scan,
            Some(("/f", "ext4 limits an extended attribute to 4096 bytes, this one has 5000")),
        );
    }
}
