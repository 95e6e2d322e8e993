//! Creates the header of a new volume.

use super::derivation::{Hash, KeyDerivation};
use super::entropy::Entropy;
use super::header::{BINARY_SIZE, HEADER_SIZE, HeaderCopy, LuksHeader, SALT_SIZE};
use super::key::{KEY_SIZE, VolumeKey};
use super::parameters::{LuksError, Parameters};
use super::stripes::{STRIPES, split};
use super::xts::{self, Xts};
use crate::plan::LUKS_DATA_OFFSET;
use crate::plan::layout::SectorSize;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Start of the data, in bytes from the partition's start: cryptsetup's default.
pub const DATA_OFFSET: u64 = LUKS_DATA_OFFSET.0;

/// Start of the only keyslot's area, in bytes from the partition's start.
const KEYSLOT_OFFSET: usize = 2 * HEADER_SIZE;

/// Size of the stripes, rounded up to 4096 bytes.
const KEYSLOT_SIZE: usize = (KEY_SIZE * STRIPES).next_multiple_of(4096);

/// Size of the salts of keyslot and digest in bytes, as in cryptsetup.
const JSON_SALT_SIZE: usize = 32;

/// The minimum of NIST SP 800-132, and cryptsetup's value when it does not benchmark. The volume key is random, so a
/// slower digest would not make it harder to guess.
const DIGEST_ITERATIONS: u32 = 1000;

/// The result of [`format`].
#[derive(Debug)]
pub struct Volume {
    /// The first bytes of the partition. The rest up to [`DATA_OFFSET`] must be zeros; on a used block device it must
    /// be zeroed, since it may hold keyslots of an older header.
    pub header: Vec<u8>,
    pub key: VolumeKey,
}

/// Creates a volume with one keyslot for the passphrase. The passphrase is used as it is: callers remove a line feed at
/// the end of a file.
///
/// Reads from `entropy`, in this order: the volume key, the salts of keyslot, digest, primary and secondary header, and
/// the stripes.
pub fn format(
    parameters: &Parameters,
    passphrase: &[u8],
    entropy: &mut Entropy,
) -> Result<Volume, LuksError> {
    parameters.check()?;
    if passphrase.is_empty() {
        return Err(LuksError::EmptyPassphrase);
    }
    let key = VolumeKey::random(entropy);
    let keyslot_salt: [u8; JSON_SALT_SIZE] = random(entropy);
    let digest_salt: [u8; JSON_SALT_SIZE] = random(entropy);
    let primary_salt: [u8; SALT_SIZE] = random(entropy);
    let secondary_salt: [u8; SALT_SIZE] = random(entropy);
    let digest = key.digest(Hash::Sha256, &digest_salt, DIGEST_ITERATIONS, JSON_SALT_SIZE);
    let stripes = encrypted_stripes(&key, parameters, passphrase, &keyslot_salt, entropy)?;
    let metadata = json!({
        "keyslots": { "0": keyslot(&parameters.key_derivation, &keyslot_salt) },
        "tokens": {},
        "segments": { "0": segment(parameters.sector_size) },
        "digests": { "0": {
            "type": "pbkdf2",
            "keyslots": ["0"],
            "segments": ["0"],
            "hash": Hash::Sha256.name(),
            "iterations": DIGEST_ITERATIONS,
            "salt": STANDARD.encode(digest_salt),
            "digest": STANDARD.encode(digest),
        } },
        "config": {
            "json_size": (HEADER_SIZE - BINARY_SIZE).to_string(),
            "keyslots_size": (DATA_OFFSET - KEYSLOT_OFFSET as u64).to_string(),
        },
    });
    let header = LuksHeader {
        size: HEADER_SIZE as u64,
        sequence: 1,
        label: parameters.label.clone().unwrap_or_default(),
        subsystem: String::new(),
        uuid: parameters.uuid,
        json: metadata.to_string().into_bytes(),
    };
    let mut bytes = header.encode(HeaderCopy::Primary, &primary_salt);
    bytes.extend(header.encode(HeaderCopy::Secondary, &secondary_salt));
    bytes.extend_from_slice(&stripes);
    Ok(Volume { header: bytes, key })
}

fn encrypted_stripes(
    key: &VolumeKey,
    parameters: &Parameters,
    passphrase: &[u8],
    salt: &[u8],
    entropy: &mut Entropy,
) -> Result<Zeroizing<Vec<u8>>, LuksError> {
    let derived = parameters.key_derivation.derive(passphrase, salt, KEY_SIZE)?;
    let cipher = Xts::new(&derived).expect("AES-256 in XTS takes 64 bytes");
    let mut stripes = split(key.bytes(), Hash::Sha256, entropy);
    // The sectors of a keyslot are numbered from its own start and have 512 bytes, independent of the data's sector
    // size.
    cipher.encrypt(&mut stripes, 0, SectorSize::B512);
    Ok(stripes)
}

fn keyslot(derivation: &KeyDerivation, salt: &[u8]) -> Value {
    json!({
        "type": "luks2",
        "key_size": KEY_SIZE,
        "af": { "type": "luks1", "stripes": STRIPES, "hash": Hash::Sha256.name() },
        "area": {
            "type": "raw",
            "offset": KEYSLOT_OFFSET.to_string(),
            "size": KEYSLOT_SIZE.to_string(),
            "encryption": xts::NAME,
            "key_size": KEY_SIZE,
        },
        "kdf": key_derivation(derivation, salt),
    })
}

fn key_derivation(derivation: &KeyDerivation, salt: &[u8]) -> Value {
    let salt = STANDARD.encode(salt);
    match derivation {
        KeyDerivation::Argon2id(cost) | KeyDerivation::Argon2i(cost) => json!({
            "type": derivation.name(),
            "time": cost.time,
            "memory": cost.memory_kib,
            "cpus": cost.lanes,
            "salt": salt,
        }),
        KeyDerivation::Pbkdf2 { hash, iterations } => json!({
            "type": derivation.name(),
            "hash": hash.name(),
            "iterations": iterations,
            "salt": salt,
        }),
    }
}

fn segment(sector_size: SectorSize) -> Value {
    json!({
        "type": "crypt",
        "offset": DATA_OFFSET.to_string(),
        "size": "dynamic",
        "iv_tweak": "0",
        "encryption": xts::NAME,
        "sector_size": sector_size.bytes(),
    })
}

fn random<const SIZE: usize>(entropy: &mut Entropy) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    entropy(&mut bytes);
    bytes
}
