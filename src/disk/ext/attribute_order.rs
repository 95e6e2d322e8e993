//! Normalizes the extended attributes inside an inode: one order, and no attributes of the host.
//!
//! `mke2fs -d` copies all attributes, including the host's SELinux labels, in the order in which the host lists them,
//! which depends on the host's filesystem. mke2fs sorts only the attributes in separate blocks.

use super::attributes::{ENTRY_HEADER, INLINE_DATA, MAGIC, SYSTEM, full_name};
use super::inode::{BASE_SIZE, EXTRA_SIZE};
use crate::disk::bytes::{u16_at, u32_at};
use crate::disk::scan;

/// Offset of the value's place in an entry.
const VALUE_OFFSET: usize = 2;

struct Attribute {
    /// Header and name.
    entry: Vec<u8>,
    /// Empty if the value is in an inode of its own.
    value: Vec<u8>,
}

impl Attribute {
    fn name(&self) -> &[u8] {
        &self.entry[ENTRY_HEADER..]
    }

    /// Whether the attribute belongs to the content. An attribute whose value has an inode of its own is kept, since
    /// that inode would become unreferenced.
    fn is_kept(&self) -> bool {
        u32_at(&self.entry, 4) != 0
            || full_name(self.entry[1], self.name()).is_none_or(|name| scan::is_kept(&name))
    }

    /// The kernel's order for attributes in blocks, except that the rest of inline data comes first.
    fn rank(&self) -> (bool, u8, usize, Vec<u8>) {
        let index = self.entry[1];
        let is_inline_data = index == SYSTEM && self.name() == INLINE_DATA;
        (!is_inline_data, index, self.name().len(), self.name().to_vec())
    }
}

/// Sorts the attributes inside an inode, packs their values in the same order with the first one last, and removes
/// those of the host. Inodes with invalid attributes are left unchanged.
pub(super) fn normalize_attributes(inode: &mut [u8]) {
    if inode.len() <= BASE_SIZE {
        return;
    }
    let start = BASE_SIZE + usize::from(u16_at(inode, EXTRA_SIZE)) + 4;
    if start > inode.len() || u32_at(inode, start - 4) != MAGIC {
        return;
    }
    let Some(mut attributes) = parse(&inode[start..]) else { return };
    let before = attributes.len();
    attributes.retain(Attribute::is_kept);
    if attributes.is_empty() && before > 0 {
        // As in an inode that never had attributes.
        inode[start - 4..].fill(0);
    } else if let Some(sorted) = packed(attributes, inode.len() - start) {
        inode[start..].copy_from_slice(&sorted);
    }
}

fn parse(area: &[u8]) -> Option<Vec<Attribute>> {
    let mut found = Vec::new();
    let mut place = 0;
    while area.get(place..place + 4).is_some_and(|bytes| bytes != [0; 4]) {
        let header = area.get(place..place + ENTRY_HEADER)?;
        let end = place + ENTRY_HEADER + usize::from(header[0]);
        let value = if u32_at(header, 4) == 0 {
            let start = usize::from(u16_at(header, VALUE_OFFSET));
            area.get(start..start.checked_add(u32_at(header, 8) as usize)?)?.to_vec()
        } else {
            Vec::new()
        };
        found.push(Attribute { entry: area.get(place..end)?.to_vec(), value });
        place = end.next_multiple_of(4);
    }
    Some(found)
}

/// `None` if the attributes do not fit into `length` bytes, as is the case for overlapping values.
fn packed(mut attributes: Vec<Attribute>, length: usize) -> Option<Vec<u8>> {
    attributes.sort_by_key(Attribute::rank);
    let mut area = vec![0; length];
    let (mut place, mut end) = (0, length);
    for Attribute { mut entry, value } in attributes {
        if !value.is_empty() {
            end = end.checked_sub(value.len().next_multiple_of(4))?;
            area.get_mut(end..end + value.len())?.copy_from_slice(&value);
            entry[VALUE_OFFSET..VALUE_OFFSET + 2].copy_from_slice(&u16::try_from(end).ok()?.to_le_bytes());
        }
        area.get_mut(place..place + entry.len())?.copy_from_slice(&entry);
        place = (place + entry.len()).next_multiple_of(4);
    }
    // Four zero bytes terminate the entries, unless they fill the area.
    (place <= end && (place == length || place + 4 <= end)).then_some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(names: [(&[u8], &[u8]); 2]) -> Vec<u8> {
        let attributes = names.map(|(name, value)| {
            let mut entry =
                vec![name.len() as u8, 1, 0, 0, 0, 0, 0, 0, value.len() as u8, 0, 0, 0, 0, 0, 0, 0];
            entry.extend(name);
            Attribute { entry, value: value.to_vec() }
        });
        let mut bytes = vec![0; 256];
        bytes[EXTRA_SIZE] = 32;
        bytes[160..164].copy_from_slice(&MAGIC.to_le_bytes());
        let (mut place, mut end) = (164, 256);
        for Attribute { mut entry, value } in attributes {
            end -= value.len().next_multiple_of(4);
            bytes[end..end + value.len()].copy_from_slice(&value);
            entry[2] = (end - 164) as u8;
            bytes[place..place + entry.len()].copy_from_slice(&entry);
            place += entry.len().next_multiple_of(4);
        }
        bytes
    }

    #[test]
    fn the_order_of_writing_does_not_matter() {
        let sorted = inode([(b"b", b"12345"), (b"aa", b"67")]);
        let mut other = inode([(b"aa", b"67"), (b"b", b"12345")]);
        assert_ne!(other, sorted);
        normalize_attributes(&mut other);
        assert_eq!(other, sorted);
    }

    #[test]
    fn host_attributes_are_removed() {
        let with = |indices: [u8; 2]| {
            let mut bytes = inode([(b"capability", b"12345"), (b"selinux", b"67")]);
            // The second entry starts after 16 bytes and a name of 10 bytes, rounded up to 4 bytes.
            (bytes[164 + 1], bytes[164 + 28 + 1]) = indices.into();
            normalize_attributes(&mut bytes);
            bytes
        };
        let (user, trusted, security) = (1, 4, 6);
        let mut kept = with([security, security]);
        assert_eq!(kept[164 + 28..164 + 32], [0; 4]);
        assert_eq!(kept[164 + 16..164 + 26], *b"capability");
        kept = with([trusted, security]);
        assert!(kept[160..].iter().all(|byte| *byte == 0));
        assert!(with([user, user]).windows(7).any(|name| name == b"selinux"));
    }

    #[test]
    fn malformed_attributes_are_unchanged() {
        let mut bytes = inode([(b"b", b"12345"), (b"aa", b"67")]);
        bytes[164 + 2] = 0xff;
        let before = bytes.clone();
        normalize_attributes(&mut bytes);
        assert_eq!(bytes, before);
    }
}
