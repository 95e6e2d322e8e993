//! POSIX ACLs. XFS stores them as attributes in the root namespace in its own form; the kernel shows them as
//! `system.posix_acl_*` in another form.
//!
//! Source: struct xfs_acl in xfs_format.h; struct posix_acl_xattr_header in the kernel's posix_acl_xattr.h.

/// (name shown by the kernel, on-disk name in the root namespace).
pub(super) const NAMES: [(&[u8], &[u8]); 2] =
    [(b"system.posix_acl_access", b"SGI_ACL_FILE"), (b"system.posix_acl_default", b"SGI_ACL_DEFAULT")];

/// The kernel's form: a version, then entries of 8 bytes, little-endian.
const VERSION: u32 = 2;
const SHOWN_HEADER: usize = 4;
const SHOWN_ENTRY: usize = 8;
/// The on-disk form: a count, then entries of 12 bytes, big-endian.
const DISK_HEADER: usize = 4;
const DISK_ENTRY: usize = 12;

/// Tags of entries for a named user or group.
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
/// The ID in all other entries.
const UNDEFINED_ID: u32 = u32::MAX;

/// `None` if `shown` is not an ACL.
pub(super) fn to_disk(shown: &[u8]) -> Option<Vec<u8>> {
    let entries = shown.get(SHOWN_HEADER..)?;
    if shown[..SHOWN_HEADER] != VERSION.to_le_bytes() || entries.len() % SHOWN_ENTRY != 0 {
        return None;
    }
    let mut disk = Vec::with_capacity(DISK_HEADER + entries.len() / SHOWN_ENTRY * DISK_ENTRY);
    disk.extend(u32::try_from(entries.len() / SHOWN_ENTRY).ok()?.to_be_bytes());
    for entry in entries.chunks_exact(SHOWN_ENTRY) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let permissions = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        disk.extend(u32::from(tag).to_be_bytes());
        disk.extend(identity(tag, id).to_be_bytes());
        disk.extend(permissions.to_be_bytes());
        disk.extend([0; 2]);
    }
    Some(disk)
}

/// `None` if `disk` is not an ACL.
pub(super) fn from_disk(disk: &[u8]) -> Option<Vec<u8>> {
    let (count, entries) = disk.split_first_chunk::<DISK_HEADER>()?;
    let length = usize::try_from(u32::from_be_bytes(*count)).ok()?.checked_mul(DISK_ENTRY)?;
    let mut shown = VERSION.to_le_bytes().to_vec();
    for entry in entries.get(..length)?.chunks_exact(DISK_ENTRY) {
        let tag = u16::try_from(u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]])).ok()?;
        let id = u32::from_be_bytes([entry[4], entry[5], entry[6], entry[7]]);
        shown.extend(tag.to_le_bytes());
        shown.extend([entry[9], entry[8]]);
        shown.extend(identity(tag, id).to_le_bytes());
    }
    Some(shown)
}

fn identity(tag: u16, id: u32) -> u32 {
    if tag == USER || tag == GROUP { id } else { UNDEFINED_ID }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_round_trips() {
        let shown =
            [&[2, 0, 0, 0][..], &[1, 0, 6, 0, 255, 255, 255, 255], &[2, 0, 4, 0, 0xe8, 3, 0, 0]].concat();
        let disk = to_disk(&shown).unwrap();
        assert_eq!(
            disk,
            [
                &[0, 0, 0, 2][..],
                &[0, 0, 0, 1, 255, 255, 255, 255, 0, 6, 0, 0],
                &[0, 0, 0, 2, 0, 0, 3, 0xe8, 0, 4, 0, 0]
            ]
            .concat()
        );
        assert_eq!(from_disk(&disk).unwrap(), shown);
    }

    #[test]
    fn invalid_acls_are_rejected() {
        assert_eq!(to_disk(b"abc"), None);
        assert_eq!(to_disk(&[1, 0, 0, 0]), None);
        assert_eq!(from_disk(&[0, 0, 0, 9, 1]), None);
        assert_eq!(from_disk(&[255; 16]), None);
    }
}
