//! What a caller decides about an encrypted partition.

use super::derivation::{Argon2Cost, KeyDerivation};
use super::header::LABEL_SIZE;
use crate::plan::layout::SectorSize;
use uuid::Uuid;

/// Everything about a LUKS2 partition but its passphrase and its random bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Of the LUKS header, as `crypttab` and `cryptdevice=UUID=` name it; not the filesystem's inside.
    pub uuid: Uuid,
    /// At most 47 bytes.
    pub label: Option<String>,
    /// How many bytes are encrypted as one. 4096 is quicker in the guest, and cannot be mounted there unless the
    /// filesystem's blocks have 4096 bytes too.
    pub sector_size: SectorSize,
    pub key_derivation: KeyDerivation,
}

impl Parameters {
    /// No label, 512-byte sectors, [`KeyDerivation::default`].
    pub fn new(uuid: Uuid) -> Self {
        Self { uuid, label: None, sector_size: SectorSize::B512, key_derivation: KeyDerivation::default() }
    }

    /// Whether cryptsetup 2.6 would take the same values.
    pub(super) fn check(&self) -> Result<(), LuksError> {
        if let Some(label) = &self.label
            && (label.is_empty() || label.len() >= LABEL_SIZE || label.contains('\0'))
        {
            return Err(LuksError::Label { label: label.clone(), size: label.len() });
        }
        self.key_derivation.check_new()
    }
}

/// Argon2id with RFC 9106's second recommended parameters (section 4: 3 passes, 64 MiB, 4 lanes) and one pass more,
/// since cryptsetup takes no fewer than 4. Cryptsetup itself measures the host and takes up to 1 GiB; an image is not
/// for the host that built it: it must open in a guest with 512 MiB, whose initramfs has less, and its bytes must not
/// depend on how busy the host was.
impl Default for KeyDerivation {
    fn default() -> Self {
        Self::Argon2id(Argon2Cost { time: 4, memory_kib: 65_536, lanes: 4 })
    }
}

/// Why a volume could not be formatted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LuksError {
    #[error("the LUKS label `{label}` has {size} bytes; it needs 1 to 47, and no NUL")]
    Label { label: String, size: usize },
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// One number of the key derivation.
    #[error("{derivation}'s {number} is {value}; {least} to {most} will do")]
    Cost { derivation: &'static str, number: &'static str, value: u64, least: u64, most: u64 },
    #[error("{0}")]
    Derivation(#[from] super::derivation::DerivationError),
}
