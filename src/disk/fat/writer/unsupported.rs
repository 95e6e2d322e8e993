//! Checks for nodes that no FAT filesystem can store.

use super::super::new_name;
use super::MOST_ENTRIES;
use crate::disk::tree::{Body, Node, ROOT};
use std::collections::BTreeMap;

/// The first node that a FAT filesystem with this cluster size cannot store. `owner`: user and group that all files on
/// it will belong to.
pub fn first_unsupported(nodes: &[Node], cluster: u64, owner: (u32, u32)) -> Option<(String, String)> {
    let mut waiting = vec![(ROOT, String::new())];
    while let Some((id, directory)) = waiting.pop() {
        let Body::Directory(children) = &nodes[id].body else { continue };
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        let mut entries = 2;
        for (name, child) in children {
            let path = format!("{directory}/{}", String::from_utf8_lossy(name));
            let name = match new_name::check(name) {
                Ok(name) => name,
                Err(problem) => return Some((path, problem)),
            };
            if let Some(other) = seen.insert(new_name::folded(name), name) {
                let problem = format!("same name as `{other}`: vfat is not case-sensitive");
                return Some((path, problem));
            }
            if let Some(problem) = unholdable_node(&nodes[*child], cluster, owner) {
                return Some((path, problem));
            }
            entries += new_name::entries(name);
            waiting.push((*child, path));
        }
        if entries > MOST_ENTRIES {
            let problem = format!(
                "a directory has at most {MOST_ENTRIES} entries, a long name takes several, and these names take {entries}"
            );
            return Some((format!("{directory}/"), problem));
        }
    }
    None
}

pub(super) fn unholdable_node(node: &Node, cluster: u64, owner: (u32, u32)) -> Option<String> {
    let problem = match &node.body {
        Body::Link(_) => "vfat does not support symbolic links",
        Body::Device { .. } => "vfat does not support device nodes",
        Body::Other => "vfat does not support FIFOs and sockets",
        // The format allows 4 GiB minus one byte. fsck.fat 4.2 computes the size of a file's clusters in 32 bits,
        // though, and truncates a file whose clusters take 4 GiB to zero.
        Body::File(_) if node.size.next_multiple_of(cluster.max(1)) > u64::from(u32::MAX) => {
            return Some(format!(
                "vfat limits a file to 4 GiB minus one cluster of {cluster} bytes, this one has {}",
                node.size
            ));
        }
        _ if (node.uid, node.gid) != owner => {
            return Some(format!("vfat does not store owners, and the owner is {}:{}", node.uid, node.gid));
        }
        _ if !node.attributes.is_empty() => {
            let names: Vec<_> = node.attributes.keys().map(|name| String::from_utf8_lossy(name)).collect();
            return Some(format!("vfat does not store extended attributes, found {}", names.join(", ")));
        }
        _ => return None,
    };
    Some(problem.to_owned())
}
