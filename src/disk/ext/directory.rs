//! Directory entries, in blocks or inside the inode. The blocks of a hash tree look like blocks of entries, most of
//! them with one empty entry, so reading all blocks in order finds all names.
//!
//! Source: kernel, `Documentation/filesystems/ext4/directory.rst`.

use super::inode::{Inode, flag};
use crate::disk::bytes::{damaged, u16_at, u32_at};
use crate::disk::source::ReadError;

/// Bytes of an entry before its name.
const HEADER: usize = 8;

/// A name and its inode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExtEntry {
    pub name: Vec<u8>,
    pub number: u32,
}

/// The entries of one block (or one part of an inode), without `.` and `..`. `at` is the block's offset, for error
/// messages.
pub(super) fn entries(directory: &Inode, bytes: &[u8], at: u64) -> Result<Vec<ExtEntry>, ReadError> {
    let fault = |place: usize, problem: String| {
        damaged(format!("directory with inode {}", directory.number), at + place as u64, problem)
    };
    let mut found = Vec::new();
    let mut place = 0;
    while place < bytes.len() {
        let left = bytes.len() - place;
        if left < HEADER {
            return Err(fault(place, format!("{left} bytes left, too few for an entry")));
        }
        let entry = &bytes[place..];
        let (number, length, name_length) =
            (u32_at(entry, 0), entry_length(entry, bytes.len()), usize::from(entry[6]));
        if length < HEADER + name_length || length > left || !length.is_multiple_of(4) {
            return Err(fault(place, format!("an entry of {length} bytes with a name of {name_length}")));
        }
        let name = &entry[HEADER..HEADER + name_length];
        if number != 0 && name != b"." && name != b".." {
            // An encrypted name may contain any byte.
            let is_bad = name.is_empty() || name.iter().any(|byte| matches!(byte, 0 | b'/'));
            if is_bad && !directory.has_flag(flag::ENCRYPTED) {
                return Err(fault(place, format!("invalid name `{}`", name.escape_ascii())));
            }
            found.push(ExtEntry { name: name.to_vec(), number });
        }
        place += length;
    }
    Ok(found)
}

/// An entry's length in bytes. The length of a 64 KiB block does not fit into 16 bits: two special values mean a whole
/// block, and the lowest two bits of others are the highest ones.
fn entry_length(entry: &[u8], block_size: usize) -> usize {
    const WHOLE: [u16; 2] = [0, u16::MAX];
    let length = u16_at(entry, 4);
    if block_size >= 1 << 16 && WHOLE.contains(&length) {
        return block_size;
    }
    usize::from(length & !3) | usize::from(length & 3) << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Option<&[&str]>) {
        let directory = Inode { number: 2, at: 0, bytes: vec![0; 128] };
        let found = entries(&directory, bytes, 0).ok();
        let names = found.map(|found| found.into_iter().map(|entry| entry.name).collect::<Vec<_>>());
        let expect =
            expect.map(|names| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(names, expect);
    }

    #[test]
    fn names_and_bad_lengths_are_found() {
        check(b"\x02\0\0\0\x0c\0\x01\x02.\0\0\0\x0b\0\0\0\x0c\0\x02\x01ab\0\0", Some(&["ab"]));
        check(b"\0\0\0\0\x0c\0\0\xde1234", Some(&[]));
        check(b"\x0b\0\0\0\x08\0\x02\x01ab\0\0", None);
        check(b"\x0b\0\0\0\x10\0\x02\x01ab\0\0", None);
        check(b"\x0b\0\0\0\0\0\x02\x01ab\0\0", None);
        check(b"\x0b\0\0\0\x0c\0\x02\x01a/\0\0", None);
    }
}
