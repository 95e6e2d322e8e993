//! dm-verity: a hash tree for the blocks of a filesystem. The root hash is on the kernel's command line. Source: the
//! DMVerity page of cryptsetup's wiki; Linux, Documentation/admin-guide/device-mapper/verity.rst.

use super::bytes::{damaged, joined, read, u16_at, u32_at};
use super::source::{ReadError, Source};
use sha2::{Digest, Sha256, Sha512};

const SUPERBLOCK: usize = 512;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
/// The hash type that current tools create: the salt is hashed before the data.
const NORMAL: u32 = 1;
/// Number of data blocks per read.
const AT_ONCE: u64 = 64;

#[derive(Clone, Copy)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn digest(self, salt: &[u8], block: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Sha256 => Sha256::new().chain_update(salt).chain_update(block).finalize().to_vec(),
            Algorithm::Sha512 => Sha512::new().chain_update(salt).chain_update(block).finalize().to_vec(),
        }
    }

    /// Size in bytes.
    fn size(self) -> u64 {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

/// A hash tree with its superblock.
pub struct Verity<'a> {
    source: &'a dyn Source,
    algorithm: Algorithm,
    data_block: u64,
    hash_block: u64,
    data_blocks: u64,
    salt: Vec<u8>,
}

impl<'a> Verity<'a> {
    pub fn open(source: &'a dyn Source) -> Result<Verity<'a>, ReadError> {
        let bytes = read(source, 0, SUPERBLOCK)?;
        let fault = |at: u64, problem: String| damaged("verity superblock", at, problem);
        if bytes[..8] != *SIGNATURE {
            return Err(fault(0, "no dm-verity superblock found".to_owned()));
        }
        let (version, kind) = (u32_at(&bytes, 8), u32_at(&bytes, 12));
        if (version, kind) != (1, NORMAL) {
            return Err(ReadError::Unsupported(format!("dm-verity version {version}, hash type {kind}")));
        }
        let name = bytes[32..64].split(|byte| *byte == 0).next().unwrap_or_default();
        let algorithm = match name {
            b"sha256" => Algorithm::Sha256,
            b"sha512" => Algorithm::Sha512,
            name => {
                let name = String::from_utf8_lossy(name);
                return Err(ReadError::Unsupported(format!("dm-verity hash algorithm {name}")));
            }
        };
        let (data_block, hash_block) = (u64::from(u32_at(&bytes, 64)), u64::from(u32_at(&bytes, 68)));
        for size in [data_block, hash_block] {
            if !(512..=1 << 16).contains(&size) || !size.is_power_of_two() {
                return Err(fault(64, format!("block size of {size} bytes")));
            }
        }
        let (data_blocks, salt) =
            (joined(u32_at(&bytes, 72), u32_at(&bytes, 76)), usize::from(u16_at(&bytes, 80)));
        if salt > 256 || data_blocks == 0 || data_blocks.checked_mul(data_block).is_none() {
            return Err(fault(72, format!("{data_blocks} data blocks, salt of {salt} bytes")));
        }
        let salt = bytes[88..88 + salt].to_vec();
        Ok(Verity { source, algorithm, data_block, hash_block, data_blocks, salt })
    }

    /// Verifies all data blocks against the hash tree, and the tree against the root hash. Returns the first mismatch.
    ///
    /// # Errors
    /// The tree or the data is truncated, or reading failed.
    pub fn check(&self, data: &dyn Source, root: &[u8]) -> Result<Option<String>, ReadError> {
        let end = self.data_blocks * self.data_block;
        if end > data.size() {
            let problem = format!("{end} bytes of data, but the partition has {} bytes", data.size());
            return Err(damaged("verity superblock", 72, problem));
        }
        let per_block = self.hash_block / self.algorithm.size();
        // Levels from the data blocks up.
        let mut levels = vec![self.data_blocks.div_ceil(per_block)];
        while self.data_blocks > 1 && *levels.last().expect("levels starts with one element") > 1 {
            levels.push(levels.last().expect("levels starts with one element").div_ceil(per_block));
        }
        if self.data_blocks == 1 {
            levels.clear();
        }
        // The topmost level is stored first, after the superblock.
        let first = (SUPERBLOCK as u64).div_ceil(self.hash_block);
        let place = |level: usize| first + levels[level + 1..].iter().sum::<u64>();
        let blocks = first + levels.iter().sum::<u64>();
        if blocks.saturating_mul(self.hash_block) > self.source.size() {
            let problem = format!("{blocks} hash blocks, but the partition has {} bytes", self.source.size());
            return Err(damaged("verity superblock", 72, problem));
        }
        for (level, _) in levels.iter().enumerate() {
            let (below, from, size, count) = match level {
                0 => (data, 0, self.data_block, self.data_blocks),
                _ => (self.source, place(level - 1), self.hash_block, levels[level - 1]),
            };
            if let Some(index) = self.differing(below, from, size, count, place(level))? {
                return Ok(Some(match level {
                    0 => format!("hash mismatch in the data block at byte {}", index * size),
                    _ => {
                        format!("hash mismatch in the hash block at byte {}", (from + index) * size)
                    }
                }));
            }
        }
        let top = match levels.is_empty() {
            true => read(data, 0, self.data_block as usize)?,
            false => read(self.source, first * self.hash_block, self.hash_block as usize)?,
        };
        let own = self.algorithm.digest(&self.salt, &top);
        Ok((own != root).then(|| "root hash mismatch".to_owned()))
    }

    /// The index of the first of `count` blocks, starting at block `from`, whose digest differs from the one stored in
    /// the hash blocks from `place` on.
    fn differing(
        &self,
        below: &dyn Source,
        from: u64,
        size: u64,
        count: u64,
        place: u64,
    ) -> Result<Option<u64>, ReadError> {
        let per_block = self.hash_block / self.algorithm.size();
        let mut digests = (u64::MAX, Vec::new());
        let mut index = 0;
        while index < count {
            let blocks = AT_ONCE.min(count - index);
            let bytes = read(below, (from + index) * size, (blocks * size) as usize)?;
            for block in bytes.chunks_exact(size as usize) {
                if digests.0 != index / per_block {
                    let at = (place + index / per_block) * self.hash_block;
                    digests = (index / per_block, read(self.source, at, self.hash_block as usize)?);
                }
                let start = (index % per_block * self.algorithm.size()) as usize;
                let expected = &digests.1[start..start + self.algorithm.size() as usize];
                if self.algorithm.digest(&self.salt, block) != expected {
                    return Ok(Some(index));
                }
                index += 1;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::judge;
    use proptest::prelude::*;

    /// Data, the hash tree as veritysetup writes it, and the root hash.
    fn made(blocks: usize, args: &[&str]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let (data, tree) = (directory.path().join("data"), directory.path().join("tree"));
        let bytes: Vec<u8> = (0..blocks * 4096).map(|at| (at / 4096 * 7 + at) as u8).collect();
        std::fs::write(&data, &bytes).unwrap();
        let output = judge("veritysetup").arg("format").args(args).args([&data, &tree]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let messages = String::from_utf8(output.stdout).unwrap();
        let root =
            messages.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim().to_owned();
        let root = (0..root.len()).step_by(2).map(|at| u8::from_str_radix(&root[at..at + 2], 16).unwrap());
        (bytes, std::fs::read(tree).unwrap(), root.collect())
    }

    #[test]
    fn changes_to_veritysetup_output_are_detected() {
        for (blocks, args) in [
            (1, &[][..]),
            (2, &[]),
            (128, &[]),
            (129, &[]),
            (20_000, &[]),
            (300, &["--hash=sha512"]),
            (300, &["--salt=-"]),
            (300, &["--hash-block-size=1024"]),
        ] {
            let (mut data, mut tree, mut root) = made(blocks, args);
            let check = |data: &[u8], tree: &[u8], root: &[u8]| {
                Verity::open(&tree).unwrap().check(&data, root).unwrap()
            };
            assert_eq!(check(&data, &tree, &root), None, "{blocks} {args:?}");
            let last = data.len() - 1;
            data[last] ^= 1;
            let messages = check(&data, &tree, &root).unwrap_or_default();
            assert!(
                messages.contains(&format!("byte {}", last / 4096 * 4096)) || blocks == 1,
                "{blocks} {args:?}: {messages}"
            );
            data[last] ^= 1;
            if blocks > 1 {
                let at = tree.len() - 4096 + 5;
                tree[at] ^= 1;
                assert!(check(&data, &tree, &root).is_some(), "{blocks} {args:?}");
                tree[at] ^= 1;
            }
            root[0] ^= 1;
            assert_eq!(check(&data, &tree, &root).as_deref(), Some("root hash mismatch"));
            assert!(Verity::open(&&tree[..]).unwrap().check(&&data[..data.len() - 1], &root).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 504)) {
            let bytes = [&SIGNATURE[..], &1_u32.to_le_bytes(), &1_u32.to_le_bytes(), &bytes].concat();
            if let Ok(verity) = Verity::open(&&bytes[..]) {
                let _ = verity.check(&&bytes[..], &[0; 32]);
            }
        }
    }
}
