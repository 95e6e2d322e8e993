//! The key that encrypts the data of a volume.

use super::derivation::{Hash, pbkdf2};
use super::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// A volume key. Zeroed when dropped, never printed.
#[derive(Clone)]
pub struct VolumeKey(Zeroizing<Vec<u8>>);

/// XTS needs two AES-256 keys.
pub(super) const KEY_SIZE: usize = 64;

impl VolumeKey {
    pub(super) fn random(entropy: &mut Entropy) -> Self {
        let mut bytes = Zeroizing::new(vec![0; KEY_SIZE]);
        entropy(&mut bytes);
        Self(bytes)
    }

    pub(super) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digest by which the header identifies the key.
    pub(super) fn digest(&self, hash: Hash, salt: &[u8], iterations: u32, size: usize) -> Vec<u8> {
        let mut digest = vec![0; size];
        pbkdf2(hash, &self.0, salt, iterations, &mut digest);
        digest
    }
}

impl fmt::Debug for VolumeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "VolumeKey({} bits, not shown)", self.0.len() * 8)
    }
}
