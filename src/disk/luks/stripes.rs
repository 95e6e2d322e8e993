//! Spreads a key over many stripes, so that wiping any part of them destroys the key (anti-forensic split).
//!
//! All stripes but the last are random. The last one is the key XORed with a hash of the others. Source: LUKS1 On-Disk
//! Format Specification 1.2.3, section 2.4, which LUKS2 calls `luks1`.

use super::derivation::Hash;
use super::entropy::Entropy;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

/// The number that cryptsetup always uses, and the only one that the format allows.
pub(super) const STRIPES: usize = 4000;

/// Returns [`STRIPES`] times the size of the key.
pub(super) fn split(key: &[u8], hash: Hash, entropy: &mut Entropy) -> Zeroizing<Vec<u8>> {
    let mut stripes = Zeroizing::new(vec![0; key.len() * STRIPES]);
    let (random, last) = stripes.split_at_mut(key.len() * (STRIPES - 1));
    entropy(random);
    let mixed = mix(random, key.len(), hash);
    last.copy_from_slice(&mixed);
    exclusive_or(last, key);
    stripes
}

/// Restores the key that was passed to [`split`]. `stripes` has [`STRIPES`] times the size of the key.
pub(super) fn merge(stripes: &[u8], hash: Hash) -> Zeroizing<Vec<u8>> {
    let size = stripes.len() / STRIPES;
    let (random, last) = stripes.split_at(size * (STRIPES - 1));
    let mut key = mix(random, size, hash);
    exclusive_or(&mut key, last);
    key
}

fn mix(stripes: &[u8], size: usize, hash: Hash) -> Zeroizing<Vec<u8>> {
    let mut mixed = Zeroizing::new(vec![0; size]);
    for stripe in stripes.chunks_exact(size) {
        exclusive_or(&mut mixed, stripe);
        match hash {
            Hash::Sha256 => diffuse::<Sha256>(&mut mixed),
            Hash::Sha512 => diffuse::<Sha512>(&mut mixed),
        }
    }
    mixed
}

/// Replaces each piece of a digest's length by the digest of its number and itself. The last piece may be shorter.
fn diffuse<D: Digest>(bytes: &mut [u8]) {
    for (number, piece) in (0u32..).zip(bytes.chunks_mut(<D as Digest>::output_size())) {
        let digest = D::new().chain_update(number.to_be_bytes()).chain_update(&*piece).finalize();
        piece.copy_from_slice(&digest[..piece.len()]);
    }
}

fn exclusive_or(bytes: &mut [u8], with: &[u8]) {
    for (byte, with) in bytes.iter_mut().zip(with) {
        *byte ^= with;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::luks::seeded;

    #[test]
    fn merging_undoes_splitting() {
        for hash in [Hash::Sha256, Hash::Sha512] {
            for size in [32, 64] {
                let key: Vec<u8> = (0..size).collect();
                let stripes = split(&key, hash, &mut seeded(b"stripes"));
                assert_eq!(*merge(&stripes, hash), key);
            }
        }
    }

    #[test]
    fn one_bit_of_any_stripe_changes_the_key() {
        let key = [7; 64];
        let mut stripes = split(&key, Hash::Sha256, &mut seeded(b"stripes"));
        for at in [0, 64 * 1999 + 40, 64 * STRIPES - 1] {
            stripes[at] ^= 1;
            assert_ne!(*merge(&stripes, Hash::Sha256), key);
            stripes[at] ^= 1;
        }
    }
}
