//! AES in XTS mode with dm-crypt's `plain64` tweak. Source: IEEE 1619-2018, section 5.
//!
//! The tweak of a sector is its number in units of 512 bytes, little-endian, independent of the sector size (dm-crypt
//! without `iv_large_sectors`, as cryptsetup opens LUKS2). Sectors are whole blocks, so there is no ciphertext
//! stealing. The crate xts-mode is not used because it processes one block at a time. This implementation passes many
//! blocks at once to the cipher, which AES-NI needs for full speed.

use crate::plan::layout::SectorSize;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};

/// Unit of sector numbers, in bytes.
pub(super) const TWEAK_UNIT: u64 = 512;

/// The name of this cipher in the header.
pub(super) const NAME: &str = "aes-xts-plain64";

/// Number of tweaks that are encrypted at once.
const SECTORS_AT_ONCE: usize = 16;

/// Number of blocks in the largest sector.
const BLOCKS_MAX: usize = 4096 / 16;

/// Boxed, so that moving does not leave copies of the keys in memory.
pub(super) enum Xts {
    Aes128(Box<Pair<Aes128>>),
    Aes256(Box<Pair<Aes256>>),
}

/// XTS uses one key for the data and another one for the tweaks.
pub(super) struct Pair<C> {
    data: C,
    tweak: C,
}

impl<C: KeyInit> Pair<C> {
    fn new(key: &[u8]) -> Option<Self> {
        let (data, tweak) = key.split_at(key.len() / 2);
        Some(Self { data: C::new_from_slice(data).ok()?, tweak: C::new_from_slice(tweak).ok()? })
    }
}

impl Xts {
    /// `None` unless the key has 32 (AES-128) or 64 bytes (AES-256).
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            32 => Pair::new(key).map(Box::new).map(Self::Aes128),
            64 => Pair::new(key).map(Box::new).map(Self::Aes256),
            _ => None,
        }
    }

    /// Encrypts whole sectors, the first of which is `first` units of 512 bytes after the start of the data.
    pub(super) fn encrypt(&self, sectors: &mut [u8], first: u64, size: SectorSize) {
        match self {
            Self::Aes128(pair) => {
                pair.each_sector(sectors, first, size, |cipher, b| cipher.encrypt_blocks(b))
            }
            Self::Aes256(pair) => {
                pair.each_sector(sectors, first, size, |cipher, b| cipher.encrypt_blocks(b))
            }
        }
    }

    /// The reverse of [`Self::encrypt`].
    pub(super) fn decrypt(&self, sectors: &mut [u8], first: u64, size: SectorSize) {
        match self {
            Self::Aes128(pair) => {
                pair.each_sector(sectors, first, size, |cipher, b| cipher.decrypt_blocks(b))
            }
            Self::Aes256(pair) => {
                pair.each_sector(sectors, first, size, |cipher, b| cipher.decrypt_blocks(b))
            }
        }
    }
}

impl<C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>> Pair<C> {
    fn each_sector(
        &self,
        sectors: &mut [u8],
        first: u64,
        size: SectorSize,
        transform: impl Fn(&C, &mut [Block]),
    ) {
        let bytes = size.bytes() as usize;
        debug_assert_eq!(sectors.len() % bytes, 0, "whole sectors");
        let mut number = first;
        for group in sectors.chunks_mut(bytes * SECTORS_AT_ONCE) {
            let mut tweaks = [Block::default(); SECTORS_AT_ONCE];
            for tweak in &mut tweaks {
                tweak[..8].copy_from_slice(&number.to_le_bytes());
                number = number.wrapping_add(size.bytes() / TWEAK_UNIT);
            }
            self.tweak.encrypt_blocks(&mut tweaks);
            for (sector, tweak) in group.chunks_exact_mut(bytes).zip(tweaks) {
                let (blocks, _) = Block::slice_as_chunks_mut(sector);
                let mut masks = [0; BLOCKS_MAX];
                let masks = &mut masks[..blocks.len()];
                fill_masks(masks, u128::from_le_bytes(tweak.into()));
                exclusive_or(blocks, masks);
                transform(&self.data, blocks);
                exclusive_or(blocks, masks);
            }
        }
    }
}

/// Each block's mask is the previous one times x in GF(2^128).
fn fill_masks(masks: &mut [u128], tweak: u128) {
    /// x^7 + x^2 + x + 1, which equals x^128.
    const POLYNOMIAL: u128 = 0x87;
    let mut mask = tweak;
    for place in masks {
        *place = mask;
        mask = (mask << 1) ^ ((mask >> 127) * POLYNOMIAL);
    }
}

fn exclusive_or(blocks: &mut [Block], masks: &[u128]) {
    for (block, mask) in blocks.iter_mut().zip(masks) {
        let mixed = u128::from_le_bytes((*block).into()) ^ mask;
        *block = mixed.to_le_bytes().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 1619-2018, annex B, vector 10: XTS-AES-256, data unit 255 of 512 bytes.
    const KEY: &str = "2718281828459045235360287471352662497757247093699959574966967627\
        3141592653589793238462643383279502884197169399375105820974944592";
    const CIPHERTEXT: &str = "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b5d31e276f8fe4a8d66b317f9ac683f44\
        680a86ac35adfc3345befecb4bb188fd5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0\
        c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca2a3e7a7d7df7b10355165c8b9a6d0a7d\
        e8b062c4500dc4cd120c0f7418dae3d0b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f\
        93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec583e9645e07b8d9670655ba5bbcfecc6\
        dc3966380ad8fecb17b6ba02469a020a84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1\
        505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae9be69a2ffeceb1bec9de244fbe15992b\
        11b77c040f12bd8f6a975a44a0f90c29a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac\
        6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f645e8b7e9bfdef33943054ff84011493\
        c27b3429eaedb4ed5376441a77ed43851ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa\
        773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn counting(size: usize) -> Vec<u8> {
        (0..size).map(|at| at as u8).collect()
    }

    #[test]
    fn the_test_vector_of_the_standard_matches() {
        let cipher = Xts::new(&bytes(KEY)).unwrap();
        let mut sector = counting(512);
        cipher.encrypt(&mut sector, 255, SectorSize::B512);
        assert_eq!(sector, bytes(CIPHERTEXT));
        cipher.decrypt(&mut sector, 255, SectorSize::B512);
        assert_eq!(sector, counting(512));
    }

    /// IEEE 1619-2018, annex B, vector 4: XTS-AES-128, data unit 0; its first and last block.
    #[test]
    fn keys_of_32_bytes_select_aes_128() {
        let cipher =
            Xts::new(&bytes("2718281828459045235360287471352631415926535897932384626433832795")).unwrap();
        let mut sector = counting(512);
        cipher.encrypt(&mut sector, 0, SectorSize::B512);
        assert_eq!(sector[..16], bytes("27a7479befa1d476489f308cd4cfa6e2"));
    }

    #[test]
    fn sectors_are_encrypted_independently() {
        let cipher = Xts::new(&bytes(KEY)).unwrap();
        for size in [SectorSize::B512, SectorSize::B4096] {
            let sector = size.bytes() as usize;
            let mut together = counting(37 * sector);
            cipher.encrypt(&mut together, 8000, size);
            for (number, found) in (0u64..).zip(together.chunks(sector)) {
                let mut alone = counting(sector);
                cipher.encrypt(&mut alone, 8000 + number * size.bytes() / 512, size);
                assert_eq!(found, alone, "sector {number} of {sector} bytes");
            }
            cipher.decrypt(&mut together, 8000, size);
            assert_eq!(together, counting(37 * sector));
        }
    }

    /// Tweaks count units of 512 bytes, so the first 512 bytes of a large sector equal a small sector at the same
    /// position.
    #[test]
    fn a_large_sector_starts_like_a_small_one() {
        let cipher = Xts::new(&bytes(KEY)).unwrap();
        let (mut large, mut small) = (counting(8192), counting(512));
        cipher.encrypt(&mut large, 0, SectorSize::B4096);
        cipher.encrypt(&mut small, 8, SectorSize::B512);
        assert_eq!(large[4096..4608], small);
        assert_ne!(large[..512], large[4096..4608], "equal sectors differ");
    }

    #[test]
    fn other_key_sizes_are_rejected() {
        assert!([0, 16, 31, 33, 48, 63, 65].iter().all(|size| Xts::new(&vec![1; *size]).is_none()));
    }
}
