//! Encrypted partitions: reading and writing LUKS version 2 in user space.
//!
//! [`format`] creates the header of a volume and its key, [`encrypt`] encrypts a finished filesystem into it, and
//! [`Luks`] reads both. It needs no device-mapper, cryptsetup or root privileges. The output equals that of cryptsetup
//! 2.6 `luksFormat` with its defaults: AES-256 in XTS mode, one keyslot, data 16 MiB after the partition's start.
//! cryptsetup, systemd-cryptsetup and (with PBKDF2) GRUB can open it.
//!
//! Not supported on purpose: LUKS1, modifying a header, several keyslots in new headers, tokens, integrity,
//! re-encryption, other ciphers. Random bytes are passed in as an argument. A header is not repaired from its copy,
//! since an image that needs this is not what was built.
//!
//! Terms: the *volume key* is random and encrypts the data. A *keyslot* holds the volume key, split into *stripes* and
//! encrypted with a key derived from a passphrase. A *digest* identifies the volume key. A *segment* is the location of
//! the data. A *tweak* is the number of a sector, which makes equal sectors differ. *plain* is the decrypted data.
//!
//! Source: LUKS2 On-Disk Format Specification 1.1.1 (Milan Brož, 2022), and the output of cryptsetup 2.6.1.

mod derivation;
mod encrypt;
mod entropy;
mod fields;
mod format;
mod header;
mod key;
mod metadata;
mod parameters;
mod plain;
mod read;
mod stripes;
mod xts;

#[cfg(test)]
mod tests;

pub use derivation::{Argon2Cost, DerivationError, Hash, KeyDerivation};
pub use encrypt::encrypt;
pub use entropy::{Entropy, seeded};
pub use format::{DATA_OFFSET, Volume, format};
pub use key::VolumeKey;
pub use metadata::{Keyslot, Segment};
pub use parameters::{LuksError, Parameters};
pub use plain::Plain;
pub use read::{Luks, UnlockError};
