//! Derives the key of a keyslot from a passphrase: Argon2 (RFC 9106) and PBKDF2 (RFC 8018).
//!
//! New headers stay within cryptsetup's limits, so that all of its tools accept them. Existing headers may use cheaper
//! parameters, but not more expensive ones: the limits bound the work that a damaged or hostile header can cause.
//! Source of the limits: cryptsetup 2.6.1, `lib/utils_pbkdf.c` and `lib/crypto_backend/pbkdf_check.c`.

use super::parameters::LuksError;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Sha256, Sha512};
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// `cryptsetup open` accepts fewer passes, but `cryptsetup reencrypt` rejects such a keyslot.
const TIME: RangeInclusive<u64> = 4..=u32::MAX as u64;
const MEMORY_KIB: RangeInclusive<u64> = 32..=1 << 20;
const LANES: RangeInclusive<u64> = 1..=4;
/// Memory in KiB times passes: at most about ten seconds of one processor. This is not cryptsetup's limit, which is
/// what the host computes in two seconds with four processors.
const WORK_KIB: RangeInclusive<u64> = 1..=12 << 20;
/// The minimum is that of NIST SP 800-132; the maximum takes about ten seconds of one processor.
const ITERATIONS: RangeInclusive<u64> = 1000..=1 << 25;
/// Limit for all keyslots of a header together, per passphrase, in the unit of [`KeyDerivation::work`].
pub(super) const MOST_WORK: u64 = 16 << 20;

/// The key derivation function and its costs, without the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyDerivation {
    Argon2id(Argon2Cost),
    /// The default of cryptsetup 2.0. Use [`Self::Argon2id`] for new volumes.
    Argon2i(Argon2Cost),
    /// The only function that GRUB 2.06 (Debian 12) supports.
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
    #[error("not enough memory for argon2: {memory_kib} KiB needed")]
    Memory { memory_kib: u32 },
    #[error("invalid argon2 parameters: {0}")]
    Argon2(String),
}

impl KeyDerivation {
    /// The name in the header.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Argon2id(_) => "argon2id",
            Self::Argon2i(_) => "argon2i",
            Self::Pbkdf2 { .. } => "pbkdf2",
        }
    }

    /// Checks the limits for new headers.
    pub(super) fn check_new(&self) -> Result<(), LuksError> {
        self.check(|range| range)
    }

    /// Checks the limits for existing headers.
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

    /// The amount of work, in KiB of memory filled once.
    pub(super) fn work(&self) -> u64 {
        match self {
            Self::Argon2id(cost) | Self::Argon2i(cost) => u64::from(cost.time) * u64::from(cost.memory_kib),
            // Scaled so that the maximum of PBKDF2 counts as much as the maximum of Argon2.
            Self::Pbkdf2 { iterations, .. } => u64::from(*iterations) * WORK_KIB.end() / ITERATIONS.end(),
        }
    }

    /// Derives a key of `size` bytes. Call [`Self::check_new`] or [`Self::check_read`] first.
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
        let rejected = |error: argon2::Error| DerivationError::Argon2(error.to_string());
        let parameters =
            Params::new(self.memory_kib, self.time, self.lanes, Some(key.len())).map_err(rejected)?;
        // Memory owned here is zeroed on release; the crate's own would be freed with key material in it.
        let mut memory = Zeroizing::new(Vec::new());
        let count = parameters.block_count();
        memory
            .try_reserve_exact(count)
            .map_err(|_| DerivationError::Memory { memory_kib: self.memory_kib })?;
        memory.resize(count, Block::new());
        Argon2::new(algorithm, Version::V0x13, parameters)
            .hash_password_into_with_memory(passphrase, salt, key, memory.as_mut_slice())
            .map_err(rejected)
    }
}

pub(super) fn pbkdf2(hash: Hash, secret: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
    match hash {
        Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(secret, salt, iterations, key),
        Hash::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(secret, salt, iterations, key),
    }
}
