//! Encrypted partitions: LUKS version 2, made and read in user space.
//!
//! [`format`] makes the header of a volume and its key, [`encrypt`] carries a finished filesystem into it,
//! [`Luks`] reads both back. No device-mapper, no cryptsetup, no root. What is written is what cryptsetup 2.6 writes
//! for `luksFormat` with its defaults: AES-256 in XTS mode, one keyslot, data 16 MiB after the partition's start.
//! Cryptsetup, systemd-cryptsetup and (with PBKDF2) GRUB open it.
//!
//! Absent on purpose: LUKS1, changing a header, several keyslots in new ones, tokens, integrity, re-encryption, other
//! ciphers; randomness, which comes in as an argument; repairing a header from its copy, since an image that needs it
//! is not what was built.
//!
//! Terms: the *volume key* encrypts the data and is random. A *keyslot* holds it, encrypted by a key derived from a
//! passphrase, and split in *stripes*. A *digest* recognises the volume key. A *segment* is where the data is. A
//! *tweak* is the number of a sector, which makes equal sectors differ. *plain* is what a filesystem sees.
//!
//! Source: LUKS2 On-Disk Format Specification 1.1.1 (Milan Brož, 2022), and what cryptsetup 2.6.1 writes.

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
