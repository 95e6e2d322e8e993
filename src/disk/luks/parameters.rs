//! Parameters of an encrypted partition.

use super::derivation::{Argon2Cost, KeyDerivation};
use super::header::LABEL_SIZE;
use crate::plan::layout::SectorSize;
use uuid::Uuid;

/// Everything about a LUKS2 partition except its passphrase and random bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// UUID of the LUKS header, as used in `crypttab` and `cryptdevice=UUID=`; not that of the filesystem inside.
    pub uuid: Uuid,
    /// At most 47 bytes.
    pub label: Option<String>,
    /// Encryption sector size. 4096 is faster in the guest, but the guest can only mount the filesystem if its blocks
    /// have 4096 bytes, too.
    pub sector_size: SectorSize,
    pub key_derivation: KeyDerivation,
}

impl Parameters {
    /// No label, 512-byte sectors, [`KeyDerivation::default`].
    pub fn new(uuid: Uuid) -> Self {
        Self { uuid, label: None, sector_size: SectorSize::B512, key_derivation: KeyDerivation::default() }
    }

    /// Checks that cryptsetup 2.6 would accept the same values.
    pub(super) fn check(&self) -> Result<(), LuksError> {
        if let Some(label) = &self.label
            && (label.is_empty() || label.len() >= LABEL_SIZE || label.contains('\0'))
        {
            return Err(LuksError::Label { label: label.clone(), size: label.len() });
        }
        self.key_derivation.check_new()
    }
}

/// Argon2id with RFC 9106's second recommended parameters (section 4: 3 passes, 64 MiB, 4 lanes), but with 4 passes,
/// cryptsetup's minimum. cryptsetup itself benchmarks the host and uses up to 1 GiB. An image, however, must open in a
/// guest with 512 MiB of memory, of which the initramfs has less, and its bytes must not depend on the load of the
/// build host.
impl Default for KeyDerivation {
    fn default() -> Self {
        Self::Argon2id(Argon2Cost { time: 4, memory_kib: 65_536, lanes: 4 })
    }
}

/// Why a volume could not be formatted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LuksError {
    #[error("the LUKS label `{label}` has {size} bytes, expected 1 to 47 without NUL")]
    Label { label: String, size: usize },
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// A parameter of the key derivation.
    #[error("{derivation} {number} is {value}, expected {least} to {most}")]
    Cost { derivation: &'static str, number: &'static str, value: u64, least: u64, most: u64 },
    #[error("{0}")]
    Derivation(#[from] super::derivation::DerivationError),
}
