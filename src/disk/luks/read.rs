//! Reading existing volumes: header, key and data.

use super::derivation::MOST_WORK;
use super::fields::damaged;
use super::header::{HeaderCopy, LuksHeader};
use super::key::VolumeKey;
use super::metadata::{Keyslot, Metadata, Segment};
use super::plain::Plain;
use super::stripes::{STRIPES, merge};
use super::xts::{self, Xts};
use crate::disk::source::{ReadError, Source};
use crate::plan::layout::SectorSize;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A LUKS2 volume with two valid and matching headers.
pub struct Luks<'a> {
    source: &'a dyn Source,
    header: LuksHeader,
    metadata: Metadata,
}

/// Why a volume could not be unlocked.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    #[error("no keyslot matches the passphrase")]
    Passphrase,
    #[error("could not derive the key of keyslot {keyslot}")]
    Derivation {
        keyslot: u32,
        #[source]
        error: super::derivation::DerivationError,
    },
    /// A header with many keyslots, each of them within the limits, but not all together.
    #[error("keyslot {keyslot} was not tried: the key derivation of all keyslots together exceeds the limit")]
    Work { keyslot: u32 },
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl<'a> Luks<'a> {
    /// Reads the headers of a partition. A header that cryptsetup would repair from its copy is an error here.
    pub fn open(source: &'a dyn Source) -> Result<Self, ReadError> {
        let header = LuksHeader::read(source, HeaderCopy::Primary, 0)?;
        let secondary = LuksHeader::read(source, HeaderCopy::Secondary, header.size)?;
        check_equal(&header, &secondary)?;
        let metadata = Metadata::parse(&header)?;
        let luks = Self { source, header, metadata };
        luks.data_size()?;
        Ok(luks)
    }

    pub fn uuid(&self) -> Uuid {
        self.header.uuid
    }

    pub fn label(&self) -> Option<&str> {
        Some(self.header.label.as_str()).filter(|label| !label.is_empty())
    }

    /// The header's sequence number, incremented at each update.
    pub fn sequence(&self) -> u64 {
        self.header.sequence
    }

    pub fn segment(&self) -> &Segment {
        &self.metadata.segment
    }

    /// Sorted by number.
    pub fn keyslots(&self) -> &[Keyslot] {
        &self.metadata.keyslots
    }

    /// Tries all keyslots. Each takes about a second; those of a hostile header take up to 15 seconds in total. The
    /// error of a keyslot that could not be tried is only returned if no other keyslot matches.
    pub fn unlock(&self, passphrase: &[u8]) -> Result<VolumeKey, UnlockError> {
        let mut fault = None;
        let mut work = 0;
        for keyslot in &self.metadata.keyslots {
            work += keyslot.derivation.work();
            if work > MOST_WORK {
                return Err(UnlockError::Work { keyslot: keyslot.number });
            }
            match self.try_keyslot(keyslot, passphrase) {
                Ok(Some(key)) => return Ok(key),
                Ok(None) => {}
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        Err(fault.unwrap_or(UnlockError::Passphrase))
    }

    /// The data, decrypted on reading.
    pub fn plain(&self, key: &VolumeKey) -> Result<Plain<'a>, ReadError> {
        let segment = &self.metadata.segment;
        Ok(Plain {
            source: self.source,
            cipher: cipher(&segment.cipher, key.bytes())?,
            offset: segment.offset,
            size: self.data_size()?,
            sector_size: segment.sector_size,
            first_tweak: segment.first_tweak,
        })
    }

    fn try_keyslot(&self, keyslot: &Keyslot, passphrase: &[u8]) -> Result<Option<VolumeKey>, UnlockError> {
        // A keyslot without a digest cannot be verified.
        let Some(digest) = self.metadata.digest_of(keyslot.number) else { return Ok(None) };
        let derived = keyslot
            .derivation
            .derive(passphrase, &keyslot.salt, keyslot.cipher_key_size as usize)
            .map_err(|error| UnlockError::Derivation { keyslot: keyslot.number, error })?;
        let cipher = cipher(&keyslot.cipher, &derived)?;
        let mut stripes = Zeroizing::new(vec![0; keyslot.key_size as usize * STRIPES]);
        let at = keyslot.area.start;
        self.source.read_at(&mut stripes, at).map_err(|error| ReadError::Io { at, error })?;
        cipher.decrypt(&mut stripes, 0, SectorSize::B512);
        let key = VolumeKey::from_bytes(merge(&stripes, keyslot.stripes_hash));
        let found = key.digest(digest.hash, &digest.salt, digest.iterations, digest.digest.len());
        // Not in constant time: anyone who can measure it also has the header with the digest.
        Ok((found == digest.digest).then_some(key))
    }

    /// Size in bytes.
    fn data_size(&self) -> Result<u64, ReadError> {
        let segment = &self.metadata.segment;
        let sector = segment.sector_size.bytes();
        let room = self.source.size().saturating_sub(segment.offset);
        let size = segment.size.unwrap_or(room);
        if size == 0 || size > room || !size.is_multiple_of(sector) {
            let problem = format!(
                "{size} bytes in sectors of {sector}, but the partition only has {room} bytes for data"
            );
            return Err(damaged("LUKS2 data segment", segment.offset, problem));
        }
        Ok(size)
    }
}

fn check_equal(primary: &LuksHeader, secondary: &LuksHeader) -> Result<(), ReadError> {
    let differing = [
        ("size", primary.size != secondary.size),
        ("sequence number", primary.sequence != secondary.sequence),
        ("label", primary.label != secondary.label),
        ("subsystem", primary.subsystem != secondary.subsystem),
        ("UUID", primary.uuid != secondary.uuid),
        ("JSON text", primary.json != secondary.json),
    ];
    match differing.iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((field, _)) => Err(damaged(
            "secondary LUKS2 header",
            primary.size,
            format!("the {field} differs from the primary header's"),
        )),
    }
}

fn cipher(name: &str, key: &[u8]) -> Result<Xts, ReadError> {
    if name != xts::NAME {
        return Err(ReadError::Unsupported(format!("unsupported cipher `{name}`, expected `{}`", xts::NAME)));
    }
    Xts::new(key).ok_or_else(|| {
        ReadError::Unsupported(format!("unsupported key size for `{name}`: {} bytes", key.len()))
    })
}
