//! The contents of the JSON area: keyslots, the data segment and digests.
//!
//! Source: LUKS2 On-Disk Format Specification 1.1.1, section 3. Tokens are ignored: they only tell other programs where
//! to get a passphrase. A volume that is being re-encrypted is [`ReadError::Unsupported`].

use super::derivation::{Argon2Cost, Hash, KeyDerivation};
use super::fields::{Field, damaged};
use super::header::{BINARY_SIZE, LuksHeader};
use super::stripes::STRIPES;
use super::xts::TWEAK_UNIT;
use crate::disk::source::ReadError;
use crate::plan::layout::SectorSize;
use std::ops::Range;

/// cryptsetup's limit.
const KEYSLOTS_MAX: usize = 32;

/// Key sizes of `aes-xts`, in bytes.
const KEY_SIZES: [u32; 2] = [32, 64];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub keyslots: Vec<Keyslot>,
    pub segment: Segment,
    pub digests: Vec<Digest>,
}

/// A copy of the volume key, encrypted with a passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyslot {
    pub number: u32,
    pub derivation: KeyDerivation,
    pub(super) salt: Vec<u8>,
    /// Size of the volume key in bytes.
    pub key_size: u32,
    pub(super) stripes_hash: Hash,
    /// Area of the encrypted stripes, in bytes from the partition's start.
    pub(super) area: Range<u64>,
    /// Cipher of the stripes, such as `aes-xts-plain64`.
    pub cipher: String,
    pub(super) cipher_key_size: u32,
}

/// The location and the encryption of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bytes from the partition's start.
    pub offset: u64,
    /// Size in bytes; `None` means up to the partition's end.
    pub size: Option<u64>,
    pub sector_size: SectorSize,
    /// Cipher, such as `aes-xts-plain64`.
    pub cipher: String,
    /// The number of the first sector, in units of 512 bytes.
    pub(super) first_tweak: u64,
}

/// Identifies a volume key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub keyslots: Vec<u32>,
    pub hash: Hash,
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub digest: Vec<u8>,
}

impl Metadata {
    pub(super) fn parse(header: &LuksHeader) -> Result<Self, ReadError> {
        let at = BINARY_SIZE as u64;
        let value = serde_json::from_slice(&header.json)
            .map_err(|error| damaged("LUKS2 JSON area", at, error.to_string()))?;
        let root = Field::root(&value, at);
        let config = root.get("config")?;
        if let Some(requirements) = config.optional("requirements")
            && let Some(first) = requirements.get("mandatory")?.list()?.first()
        {
            return Err(first.unsupported(first.text()?));
        }
        let areas = keyslots_area(&config, header.size)?;
        let keyslots = root.get("keyslots")?;
        let slots = keyslots.numbered()?;
        if slots.len() > KEYSLOTS_MAX {
            return Err(keyslots.wrong(format!("{} keyslots, expected at most 32", slots.len())));
        }
        let digests = root.get("digests")?.numbered()?;
        Ok(Self {
            keyslots: slots
                .iter()
                .map(|(number, slot)| keyslot(*number, slot, &areas))
                .collect::<Result<_, _>>()?,
            segment: segment(&root.get("segments")?, areas.end)?,
            digests: digests.iter().map(|(_, field)| digest(field)).collect::<Result<_, _>>()?,
        })
    }

    /// The digest for the key of a keyslot.
    pub(super) fn digest_of(&self, keyslot: u32) -> Option<&Digest> {
        self.digests.iter().find(|digest| digest.keyslots.contains(&keyslot))
    }
}

/// The area for the stripes of keyslots, in bytes from the partition's start.
fn keyslots_area(config: &Field, header_size: u64) -> Result<Range<u64>, ReadError> {
    let json = config.get("json_size")?;
    if json.long()? != header_size - BINARY_SIZE as u64 {
        return Err(json.wrong(format!("is {}, but the header has {header_size} bytes", json.long()?)));
    }
    let size = config.get("keyslots_size")?;
    let start = 2 * header_size;
    let end = start.checked_add(size.long()?).ok_or_else(|| size.wrong("too large"))?;
    Ok(start..end)
}

fn keyslot(number: u32, field: &Field, areas: &Range<u64>) -> Result<Keyslot, ReadError> {
    expect_type(field, "luks2")?;
    let key_size = key_size(&field.get("key_size")?)?;
    let split = field.get("af")?;
    expect_type(&split, "luks1")?;
    let stripes = split.get("stripes")?;
    if stripes.number()? as usize != STRIPES {
        return Err(stripes.wrong(format!("is {}, expected {STRIPES}", stripes.number()?)));
    }
    let area = field.get("area")?;
    expect_type(&area, "raw")?;
    let needed = u64::from(key_size) * STRIPES as u64;
    let place = area.get("offset")?.long()?;
    let size = area.get("size")?.long()?;
    let end = place.checked_add(size).filter(|end| areas.start <= place && *end <= areas.end);
    let end = end.ok_or_else(|| {
        area.wrong(format!("{size} bytes at {place} are outside the keyslots area {areas:?}"))
    })?;
    if size < needed {
        return Err(area.wrong(format!("has {size} bytes, but the key's stripes need {needed}")));
    }
    let (derivation, salt) = derivation(&field.get("kdf")?)?;
    Ok(Keyslot {
        number,
        derivation,
        salt,
        key_size,
        stripes_hash: hash(&split.get("hash")?)?,
        area: place..end,
        cipher: area.get("encryption")?.text()?.into(),
        cipher_key_size: self::key_size(&area.get("key_size")?)?,
    })
}

fn derivation(field: &Field) -> Result<(KeyDerivation, Vec<u8>), ReadError> {
    let kind = field.get("type")?;
    let cost = || -> Result<Argon2Cost, ReadError> {
        Ok(Argon2Cost {
            time: field.get("time")?.number()?,
            memory_kib: field.get("memory")?.number()?,
            lanes: field.get("cpus")?.number()?,
        })
    };
    let derivation = match kind.text()? {
        "argon2id" => KeyDerivation::Argon2id(cost()?),
        "argon2i" => KeyDerivation::Argon2i(cost()?),
        "pbkdf2" => KeyDerivation::Pbkdf2 {
            hash: hash(&field.get("hash")?)?,
            iterations: field.get("iterations")?.number()?,
        },
        other => return Err(kind.unsupported(other)),
    };
    derivation.check_read().map_err(|error| field.wrong(error.to_string()))?;
    Ok((derivation, field.get("salt")?.base64()?))
}

fn segment(segments: &Field, areas_end: u64) -> Result<Segment, ReadError> {
    let [(_, field)] = &segments.numbered()?[..] else {
        return Err(segments.unsupported("more or fewer than one segment"));
    };
    expect_type(field, "crypt")?;
    if field.optional("integrity").is_some() {
        return Err(field.unsupported("a segment with integrity protection"));
    }
    let sector = field.get("sector_size")?;
    let sector_size = match sector.number()? {
        512 => SectorSize::B512,
        4096 => SectorSize::B4096,
        size @ (1024 | 2048) => return Err(sector.unsupported(&size.to_string())),
        size => return Err(sector.wrong(format!("is {size}, expected a power of two from 512 to 4096"))),
    };
    let offset = field.get("offset")?;
    if offset.long()? < areas_end || !offset.long()?.is_multiple_of(sector_size.bytes()) {
        let found = offset.long()?;
        return Err(offset.wrong(format!("is {found}, expected whole sectors and at least {areas_end}")));
    }
    let size = field.get("size")?;
    let bytes = if size.text()? == "dynamic" { None } else { Some(size.long()?) };
    if let Some(bytes) = bytes {
        let end = offset.long()?.checked_add(bytes);
        if bytes == 0 || !bytes.is_multiple_of(sector_size.bytes()) || end.is_none() {
            return Err(size.wrong(format!("is {bytes}, expected a multiple of the sector size")));
        }
    }
    let tweak = field.get("iv_tweak")?;
    if !tweak.long()?.is_multiple_of(sector_size.bytes() / TWEAK_UNIT) {
        return Err(tweak.wrong("not a multiple of the sector size"));
    }
    Ok(Segment {
        offset: offset.long()?,
        size: bytes,
        sector_size,
        cipher: field.get("encryption")?.text()?.into(),
        first_tweak: tweak.long()?,
    })
}

fn digest(field: &Field) -> Result<Digest, ReadError> {
    expect_type(field, "pbkdf2")?;
    let mut keyslots = Vec::new();
    for keyslot in field.get("keyslots")?.list()? {
        let number = keyslot.text()?.parse().map_err(|_| keyslot.wrong("not a number"))?;
        keyslots.push(number);
    }
    let hash = hash(&field.get("hash")?)?;
    let iterations = field.get("iterations")?.number()?;
    let cost = KeyDerivation::Pbkdf2 { hash, iterations };
    cost.check_read().map_err(|error| field.wrong(error.to_string()))?;
    let digest = field.get("digest")?;
    let bytes = digest.base64()?;
    // A short digest would match any key.
    if !(16..=64).contains(&bytes.len()) {
        return Err(digest.wrong(format!("has {} bytes, expected 16 to 64", bytes.len())));
    }
    Ok(Digest { keyslots, hash, iterations, salt: field.get("salt")?.base64()?, digest: bytes })
}

fn expect_type(field: &Field, expected: &str) -> Result<(), ReadError> {
    let kind = field.get("type")?;
    if kind.text()? == expected { Ok(()) } else { Err(kind.unsupported(kind.text()?)) }
}

fn key_size(field: &Field) -> Result<u32, ReadError> {
    let size = field.number()?;
    if KEY_SIZES.contains(&size) { Ok(size) } else { Err(field.unsupported(&format!("{size} bytes"))) }
}

fn hash(field: &Field) -> Result<Hash, ReadError> {
    Hash::from_name(field.text()?).map_or_else(|| Err(field.unsupported(field.text()?)), Ok)
}
