//! Inodes: the fields of the core, and the two forks after it.

use super::super::format::{
    BIGTIME_EPOCH, FLAG2_BIGTIME, FLAG2_NREXT64, INODE_CORE, INODE_CRC, INODE_MAGIC, NANOSECONDS,
    OLD_INODE_CORE,
};
use super::super::header::crc_is_valid;
use super::super::view::View;
use super::open::{Xfs, name};
use crate::disk::source::ReadError;
use crate::disk::tree::Time;

/// An inode in use.
pub(super) struct Inode {
    pub number: u64,
    /// The whole inode.
    pub bytes: Vec<u8>,
    /// Bytes from the filesystem's start.
    pub at: u64,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
    /// Exists since version 3 of inodes.
    pub created: Option<Time>,
    pub flags: u16,
    pub data: Fork,
    /// `None` if no attribute was ever set.
    pub attributes: Option<Fork>,
}

/// The location and the format of a fork in the inode.
pub(super) struct Fork {
    pub format: u8,
    pub start: usize,
    /// Length in bytes.
    pub length: usize,
    /// Total number of extents.
    pub extents: u64,
}

impl Inode {
    pub(super) fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, name: name("inode", self.number), at: self.at }
    }

    pub(super) fn fork<'i>(&'i self, fork: &Fork) -> Result<View<'i>, ReadError> {
        let view = self.view();
        Ok(View { bytes: view.slice(fork.start, fork.length)?, ..view })
    }
}

impl Xfs<'_> {
    /// `from` is the structure with the inode number, for error messages.
    pub(super) fn inode(&self, number: u64, from: &View) -> Result<Inode, ReadError> {
        let at = self
            .superblock
            .inode_byte(number)
            .ok_or_else(|| from.damaged(format!("inode {number} is referenced but does not exist")))?;
        let bytes = self.bytes(at, self.superblock.inode())?;
        let view = View { bytes: &bytes, name: name("inode", number), at };
        view.expect("the magic number", view.u16(0)?, INODE_MAGIC)?;
        let version = view.u8(4)?;
        let core = match (self.superblock.version, version) {
            (5, 3) => INODE_CORE,
            (4, 1 | 2) => OLD_INODE_CORE,
            _ => return Err(view.damaged(format!("unexpected inode version {version}"))),
        };
        if version == 3 {
            self.check_inode(&view, number)?;
        }
        let mode = view.u16(2)?;
        if mode == 0 {
            return Err(from.damaged(format!("inode {number} is referenced but free")));
        }
        let flags2 = if version == 3 { view.u64(120)? } else { 0 };
        let time = |offset| time(&view, offset, flags2 & FLAG2_BIGTIME != 0);
        let wide = flags2 & FLAG2_NREXT64 != 0;
        let (data, attributes) = forks(&view, core, wide)?;
        Ok(Inode {
            number,
            at,
            mode,
            uid: view.u32(8)?,
            gid: view.u32(12)?,
            links: if version == 1 { view.u16(6)?.into() } else { view.u32(16)? },
            size: view.u64(56)?,
            accessed: time(32)?,
            modified: time(40)?,
            changed: time(48)?,
            created: if version == 3 { Some(time(144)?) } else { None },
            flags: view.u16(90)?,
            data,
            attributes,
            bytes,
        })
    }

    /// `di_flags` of one of the filesystem's internal inodes.
    pub(in super::super) fn flags(&self, number: u64) -> Result<u16, ReadError> {
        let superblock = View { bytes: &[], name: name("superblock", 0), at: 0 };
        Ok(self.inode(number, &superblock)?.flags)
    }

    fn check_inode(&self, view: &View, number: u64) -> Result<(), ReadError> {
        if !crc_is_valid(view.bytes, INODE_CRC) {
            return Err(view.damaged("checksum mismatch"));
        }
        view.expect("the inode number", view.u64(152)?, number)?;
        if view.slice(160, 16)? != self.superblock.metadata_uuid.as_bytes() {
            return Err(view.damaged("the inode belongs to another filesystem"));
        }
        Ok(())
    }
}

/// `wide`: the extent counters have 64 and 32 bits.
fn forks(view: &View, core: usize, wide: bool) -> Result<(Fork, Option<Fork>), ReadError> {
    let room = view.bytes.len() - core;
    let before = usize::from(view.u8(82)?) * 8;
    if before >= room {
        return Err(view.damaged(format!("the attribute fork starts at byte {before} of {room} bytes")));
    }
    let data = Fork {
        format: view.u8(5)?,
        start: core,
        length: if before == 0 { room } else { before },
        extents: if wide { view.u64(24)? } else { view.u32(76)?.into() },
    };
    if before == 0 {
        return Ok((data, None));
    }
    let attributes = Fork {
        format: view.u8(83)?,
        start: core + before,
        length: room - before,
        extents: if wide { view.u32(76)?.into() } else { view.u16(80)?.into() },
    };
    Ok((data, Some(attributes)))
}

fn time(view: &View, offset: usize, big: bool) -> Result<Time, ReadError> {
    if big {
        let count = view.u64(offset)?;
        let per_second = NANOSECONDS.unsigned_abs();
        let seconds =
            i64::try_from(count / per_second).expect("u64::MAX nanoseconds fit into i64 as seconds");
        let nanoseconds = u32::try_from(count % per_second).expect("less than a second");
        return Ok(Time { seconds: seconds - BIGTIME_EPOCH, nanoseconds });
    }
    let seconds = i32::from_be_bytes(view.array(offset)?);
    let nanoseconds = view.u32(offset + 4)?;
    if i64::from(nanoseconds) >= NANOSECONDS {
        return Err(view.damaged(format!("a timestamp has {nanoseconds} nanoseconds")));
    }
    Ok(Time { seconds: seconds.into(), nanoseconds })
}
