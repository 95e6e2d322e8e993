//! The common header fields of metadata blocks in version 5: location, owner, filesystem UUID, checksum.

use uuid::Uuid;

/// Offsets of these fields in a block. The log sequence number is not needed here: it is 0 in blocks that did not go
/// through the log, as in a new block.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderOffsets {
    crc: usize,
    daddr: usize,
    uuid: usize,
    owner: usize,
    owner_width: usize,
}

impl HeaderOffsets {
    /// Data and free list blocks of directories: `xfs_dir3_blk_hdr`.
    pub(super) const DIRECTORY: Self = Self { crc: 4, daddr: 8, uuid: 24, owner: 40, owner_width: 8 };
    /// Index blocks of directories and attributes: `xfs_da3_blkinfo`.
    pub(super) const INDEX: Self = Self { crc: 12, daddr: 16, uuid: 32, owner: 48, owner_width: 8 };
    /// Attribute values and link targets outside the inode: `xfs_attr3_rmt_hdr`, `xfs_dsymlink_hdr`.
    pub(super) const REMOTE: Self = Self { crc: 12, daddr: 40, uuid: 16, owner: 32, owner_width: 8 };
    /// Btree blocks of a fork: `xfs_btree_lblock`.
    pub(super) const LONG_BTREE: Self = Self { crc: 64, daddr: 24, uuid: 40, owner: 56, owner_width: 8 };
    /// Btree blocks of a group: `xfs_btree_sblock`.
    pub(super) const SHORT_BTREE: Self = Self { crc: 52, daddr: 16, uuid: 32, owner: 48, owner_width: 4 };

    /// Fills in the fields. `owner` is an inode, or a group for [`HeaderOffsets::SHORT_BTREE`].
    pub(super) fn seal(self, block: &mut [u8], daddr: u64, owner: u64, uuid: Uuid) {
        put(block, self.daddr, &daddr.to_be_bytes());
        put(block, self.uuid, uuid.as_bytes());
        put(block, self.owner, &owner.to_be_bytes()[8 - self.owner_width..]);
        seal_crc(block, self.crc);
    }

    /// Checks the fields; returns the first mismatch. The block must be longer than any header.
    pub(super) fn fault(self, block: &[u8], daddr: u64, owner: u64, uuid: Uuid) -> Option<&'static str> {
        let holds = |at: usize, bytes: &[u8]| block.get(at..at + bytes.len()) == Some(bytes);
        if !crc_is_valid(block, self.crc) {
            Some("checksum mismatch")
        } else if !holds(self.daddr, &daddr.to_be_bytes()) {
            Some("the header has another location")
        } else if !holds(self.owner, &owner.to_be_bytes()[8 - self.owner_width..]) {
            Some("the block belongs to another owner")
        } else if !holds(self.uuid, uuid.as_bytes()) {
            Some("the block belongs to another filesystem")
        } else {
            None
        }
    }
}

/// Overwrites bytes of a buffer at `at`.
pub(super) fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Stores the checksum of the whole buffer: CRC-32C with the field itself zeroed, little-endian.
pub(super) fn seal_crc(buffer: &mut [u8], at: usize) {
    let crc = crc(buffer, at);
    put(buffer, at, &crc.to_le_bytes());
}

pub(super) fn crc_is_valid(buffer: &[u8], at: usize) -> bool {
    buffer.get(at..at + 4).is_some_and(|stored| stored == crc(buffer, at).to_le_bytes())
}

fn crc(buffer: &[u8], at: usize) -> u32 {
    let before = crc32c::crc32c(&buffer[..at]);
    crc32c::crc32c_append(crc32c::crc32c_append(before, &[0; 4]), &buffer[at + 4..])
}
