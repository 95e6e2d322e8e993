//! The name hash of directory and attribute indexes. Source: xfs_da_hashname in xfs_da_btree.c.

/// Hash of a directory entry's name, or of an attribute's name without its namespace.
pub(super) fn hash(name: &[u8]) -> u32 {
    let mut chunks = name.chunks_exact(4);
    let mut hash = 0_u32;
    for four in &mut chunks {
        let [a, b, c, d] = [four[0], four[1], four[2], four[3]].map(u32::from);
        hash = (a << 21) ^ (b << 14) ^ (c << 7) ^ d ^ hash.rotate_left(28);
    }
    match *chunks.remainder() {
        [a, b, c] => (u32::from(a) << 14) ^ (u32::from(b) << 7) ^ u32::from(c) ^ hash.rotate_left(21),
        [a, b] => (u32::from(a) << 7) ^ u32::from(b) ^ hash.rotate_left(14),
        [a] => u32::from(a) ^ hash.rotate_left(7),
        _ => hash,
    }
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn hashes_match_xfs_db() {
        // `xfs_db -c 'hash NAME'` of xfsprogs 6.1.
        assert_eq!(hash(b"."), 0x2e);
        assert_eq!(hash(b".."), 0x172e);
        assert_eq!(hash(b"abc"), 0x0018_7163);
        assert_eq!(hash(b"hello"), 0x8cbb_3669);
        assert_eq!(hash(b"SGI_ACL_FILE"), 0x275b_19c4);
    }
}
