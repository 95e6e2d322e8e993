//! The decrypted data of a volume.

use super::xts::{TWEAK_UNIT, Xts};
use crate::disk::source::Source;
use crate::plan::layout::SectorSize;
use std::io;

/// Decrypts on reading. Offsets are relative to the start of the data.
pub struct Plain<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) cipher: Xts,
    /// Start of the data, in bytes from the source's start.
    pub(super) offset: u64,
    /// Size in bytes, a multiple of the sector size.
    pub(super) size: u64,
    pub(super) sector_size: SectorSize,
    /// The number of the first sector, in units of 512 bytes.
    pub(super) first_tweak: u64,
}

impl Plain<'_> {
    /// Reads whole sectors. `at` is the start of a sector.
    fn read_sectors(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.source.read_at(buffer, self.offset + at)?;
        let first = self.first_tweak.wrapping_add(at / TWEAK_UNIT);
        self.cipher.decrypt(buffer, first, self.sector_size);
        Ok(())
    }

    /// Reads a part of one sector.
    fn read_part(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let skip = (at % self.sector_size.bytes()) as usize;
        let mut sector = vec![0; self.sector_size.bytes() as usize];
        self.read_sectors(&mut sector, at - skip as u64)?;
        buffer.copy_from_slice(&sector[skip..skip + buffer.len()]);
        Ok(())
    }
}

impl Source for Plain<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sector = self.sector_size.bytes() as usize;
        // Read up to the next sector boundary, then whole sectors in place, then the rest.
        let head = ((sector - offset as usize % sector) % sector).min(buffer.len());
        let (head, rest) = buffer.split_at_mut(head);
        let (body, tail) = rest.split_at_mut(rest.len() / sector * sector);
        let body_at = offset + head.len() as u64;
        let tail_at = body_at + body.len() as u64;
        if !head.is_empty() {
            self.read_part(head, offset)?;
        }
        if !body.is_empty() {
            self.read_sectors(body, body_at)?;
        }
        if !tail.is_empty() {
            self.read_part(tail, tail_at)?;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }
}
