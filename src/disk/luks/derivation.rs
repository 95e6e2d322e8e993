//! From a passphrase to the key that encrypts a keyslot: Argon2 (RFC 9106) and PBKDF2 (RFC 8018).
//!
//! What is written keeps to cryptsetup's limits, so that all of its tools accept it. What is read may be cheaper, but
//! not dearer: these limits bound what a damaged or hostile header makes this program do. Source of the limits:
//! cryptsetup 2.6.1, `lib/utils_pbkdf.c` and `lib/crypto_backend/pbkdf_check.c`.

use super::parameters::LuksError;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Sha256, Sha512};
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// `cryptsetup open` takes fewer passes; `cryptsetup reencrypt` refuses a keyslot that has them.
const TIME: RangeInclusive<u64> = 4..=u32::MAX as u64;
const MEMORY_KIB: RangeInclusive<u64> = 32..=1 << 20;
const LANES: RangeInclusive<u64> = 1..=4;
/// Memory in KiB times passes, about ten seconds of one processor; not cryptsetup's, which takes what its host does in two seconds with
/// four.
const WORK_KIB: RangeInclusive<u64> = 1..=12 << 20;
/// The least is that of NIST SP 800-132, the most about ten seconds of one processor.
const ITERATIONS: RangeInclusive<u64> = 1000..=1 << 25;
/// What all keyslots of a header may take together for one passphrase, in the unit of [`KeyDerivation::work`].
pub(super) const MOST_WORK: u64 = 16 << 20;

/// How a passphrase becomes a key, without the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyDerivation {
    Argon2id(Argon2Cost),
    /// What cryptsetup 2.0 wrote; take [`Self::Argon2id`] for new ones.
    Argon2i(Argon2Cost),
    /// The only one that GRUB 2.06, which Debian 12 has, can open.
    Pbkdf2 {
        hash: Hash,
        iterations: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Passes over the memory.
    pub time: u32,
    pub memory_kib: u32,
    pub lanes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|hash| hash.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DerivationError {
    #[error("there is no memory for argon2's {memory_kib} KiB")]
    Memory { memory_kib: u32 },
    #[error("argon2 does not take its parameters: {0}")]
    Argon2(String),
}

impl KeyDerivation {
    /// As the header names it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Argon2id(_) => "argon2id",
            Self::Argon2i(_) => "argon2i",
            Self::Pbkdf2 { .. } => "pbkdf2",
        }
    }

    /// Whether it is fit to be written.
    pub(super) fn check_new(&self) -> Result<(), LuksError> {
        self.check(|range| range)
    }

    /// Whether it can be carried out.
    pub(super) fn check_read(&self) -> Result<(), LuksError> {
        self.check(|range| 1..=*range.end())
    }

    fn check(&self, limits: impl Fn(RangeInclusive<u64>) -> RangeInclusive<u64>) -> Result<(), LuksError> {
        let within = |number, value: u64, range: RangeInclusive<u64>| {
            let range = limits(range);
            if range.contains(&value) {
                return Ok(());
            }
            let (least, most) = range.into_inner();
            Err(LuksError::Cost { derivation: self.name(), number, value, least, most })
        };
        match self {
            Self::Argon2id(cost) | Self::Argon2i(cost) => {
                within("number of passes", cost.time.into(), TIME)?;
                within("memory in KiB", cost.memory_kib.into(), MEMORY_KIB)?;
                within("number of lanes", cost.lanes.into(), LANES)?;
                within(
                    "memory in KiB times passes",
                    u64::from(cost.time) * u64::from(cost.memory_kib),
                    WORK_KIB,
                )
            }
            Self::Pbkdf2 { iterations, .. } => {
                within("number of iterations", (*iterations).into(), ITERATIONS)
            }
        }
    }

    /// How long it takes, in KiB that are filled once.
    pub(super) fn work(&self) -> u64 {
        match self {
            Self::Argon2id(cost) | Self::Argon2i(cost) => u64::from(cost.time) * u64::from(cost.memory_kib),
            // As long as the limits of both say.
            Self::Pbkdf2 { iterations, .. } => u64::from(*iterations) * WORK_KIB.end() / ITERATIONS.end(),
        }
    }

    /// A key of `size` bytes. [`Self::check_new`] or [`Self::check_read`] comes first.
    pub(super) fn derive(
        &self,
        passphrase: &[u8],
        salt: &[u8],
        size: usize,
    ) -> Result<Zeroizing<Vec<u8>>, DerivationError> {
        let mut key = Zeroizing::new(vec![0; size]);
        match self {
            Self::Argon2id(cost) => cost.derive(Algorithm::Argon2id, passphrase, salt, &mut key)?,
            Self::Argon2i(cost) => cost.derive(Algorithm::Argon2i, passphrase, salt, &mut key)?,
            Self::Pbkdf2 { hash, iterations } => pbkdf2(*hash, passphrase, salt, *iterations, &mut key),
        }
        Ok(key)
    }
}

impl Argon2Cost {
    fn derive(
        &self,
        algorithm: Algorithm,
        passphrase: &[u8],
        salt: &[u8],
        key: &mut [u8],
    ) -> Result<(), DerivationError> {
        let refused = |error: argon2::Error| DerivationError::Argon2(error.to_string());
        let parameters =
            Params::new(self.memory_kib, self.time, self.lanes, Some(key.len())).map_err(refused)?;
        // Own memory rather than the crate's, which would be given back with the key's makings in it.
        let mut memory = Zeroizing::new(Vec::new());
        let count = parameters.block_count();
        memory
            .try_reserve_exact(count)
            .map_err(|_| DerivationError::Memory { memory_kib: self.memory_kib })?;
        memory.resize(count, Block::new());
        Argon2::new(algorithm, Version::V0x13, parameters)
            .hash_password_into_with_memory(passphrase, salt, key, memory.as_mut_slice())
            .map_err(refused)
    }
}

pub(super) fn pbkdf2(hash: Hash, secret: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
    match hash {
        Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(secret, salt, iterations, key),
        Hash::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(secret, salt, iterations, key),
    }
}
