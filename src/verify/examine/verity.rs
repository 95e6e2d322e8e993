//! dm-verity filesystems whose root hash is on the kernel command line. Source: systemd-veritysetup-generator(8).

use super::unreadable;
use crate::disk::verity::Verity;
use crate::disk::{ReadError, Window};
use crate::host::{Failure, with_causes};
use crate::plan::command_line::words;
use crate::verify::boot_path::BootPaths;
use crate::verify::facts::{PartitionFacts, VerityFacts};
use std::fs::File;
use uuid::Uuid;

/// Root hash options, and the prefixes of options that set the partitions explicitly. With the latter, nothing is
/// checked.
const OPTIONS: [(&str, &str); 2] =
    [("roothash=", "systemd.verity_root_"), ("usrhash=", "systemd.verity_usr_")];

/// Checks each root hash once.
pub(super) fn verity(
    image: &File,
    partitions: &[PartitionFacts],
    boot_paths: &BootPaths,
) -> Result<Vec<VerityFacts>, Failure> {
    let mut found: Vec<VerityFacts> = Vec::new();
    for (start, is_alternative) in boot_paths.kernels() {
        let words = words(&start.options);
        let setting =
            |word: &&&str| word.starts_with("systemd.verity=") || word.starts_with("rd.systemd.verity=");
        let is_off = words.iter().rfind(setting).is_some_and(|word| {
            ["0", "no", "n", "false", "f", "off"].iter().any(|off| word.ends_with(&format!("={off}")))
        });
        if is_off {
            continue;
        }
        for (option, own) in OPTIONS {
            let Some(word) = words.iter().rfind(|word| word.starts_with(option)) else { continue };
            if words.iter().any(|word| word.starts_with(own))
                || found.iter().any(|known| known.option == *word)
            {
                continue;
            }
            let ([partition, tree], fault) = look(image, partitions, &word[option.len()..])?;
            let (option, entry) = (word.to_string(), start.entry.clone());
            found.push(VerityFacts { option, entry, is_alternative, partition, tree, fault });
        }
    }
    Ok(found)
}

/// Finds and checks the data partition and the hash partition. The first 128 bits of the root hash are the GUID of the
/// data partition, the last 128 bits that of the hash partition. Source: UAPI.2.
fn look(
    image: &File,
    partitions: &[PartitionFacts],
    text: &str,
) -> Result<([Option<u32>; 2], Option<String>), Failure> {
    let digits = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let root: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digits).collect();
    let Some(root) = root.filter(|root| root.len() >= 32) else {
        return Ok((
            [None, None],
            Some("invalid root hash: expected at least 64 hexadecimal digits".to_owned()),
        ));
    };
    let guid = |bytes: &[u8]| Uuid::from_slice(bytes).expect("a GUID has 16 bytes");
    let (data, tree) = (guid(&root[..16]), guid(&root[root.len() - 16..]));
    let find = |guid: Uuid| partitions.iter().find(|partition| partition.entry.guid == guid);
    let (Some(data), Some(tree)) = (find(data), find(tree)) else {
        let missing = if find(data).is_none() { data } else { tree };
        return Ok(([None, None], Some(format!("missing partition with GUID {missing}"))));
    };
    let window =
        |partition: &PartitionFacts| Window { file: image, offset: partition.offset, size: partition.size.0 };
    let (data_window, tree_window) = (window(data), window(tree));
    let numbers = [Some(data.entry.number), Some(tree.entry.number)];
    match Verity::open(&tree_window).and_then(|verity| verity.check(&data_window, &root)) {
        Ok(fault) => Ok((numbers, fault)),
        Err(error @ ReadError::Damaged { .. }) => Ok((numbers, Some(with_causes(&error)))),
        // Unsupported formats are not checked.
        Err(ReadError::Unsupported(_)) => Ok((numbers, None)),
        Err(error) => Err(unreadable(&error)),
    }
}
