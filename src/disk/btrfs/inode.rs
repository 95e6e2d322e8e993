//! INODE_ITEM: the metadata of a node except names, attributes and content.

use super::bytes::{In, Out};
use crate::disk::tree::Time;

/// Bits of a minor device number in the kernel's internal form, which btrfs stores. Source: `MINORBITS`.
const MINOR_BITS: u32 = 20;
/// Nanoseconds per second.
const NANOSECONDS: u32 = 1_000_000_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inode {
    pub generation: u64,
    /// For a file or link, its size in bytes; for a directory, twice the total length of its names.
    pub size: u64,
    /// Bytes allocated for its extents, without holes.
    pub bytes: u64,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub device: u64,
    pub accessed: Time,
    pub changed: Time,
    pub modified: Time,
    pub created: Time,
}

impl Inode {
    pub(super) fn encode(&self) -> Vec<u8> {
        let out = Out::new()
            // generation, transid, size, nbytes, block_group
            .u64s(&[self.generation, self.generation, self.size, self.bytes, 0])
            .u32(self.links)
            .u32(self.uid)
            .u32(self.gid)
            .u32(self.mode)
            // rdev, flags, sequence, four reserved fields
            .u64s(&[self.device, 0, 0, 0, 0, 0, 0]);
        let times = [self.accessed, self.changed, self.modified, self.created];
        times.iter().fold(out, |out, time| out.u64(time.seconds as u64).u32(time.nanoseconds)).done()
    }

    /// Rejects invalid values. The error is the reason.
    pub(super) fn check(&self) -> Result<(), String> {
        let times = [self.accessed, self.changed, self.modified, self.created];
        if let Some(time) = times.iter().find(|time| time.nanoseconds >= NANOSECONDS) {
            return Err(format!("a timestamp has {} nanoseconds", time.nanoseconds));
        }
        // Sizes are signed offsets.
        if i64::try_from(self.size).is_err() {
            return Err(format!("invalid size of {} bytes", self.size));
        }
        Ok(())
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Inode> {
        let mut input = In(bytes);
        let (generation, _transaction, size, allocated) =
            (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        input.skip(8)?;
        let (links, uid, gid, mode) = (input.u32()?, input.u32()?, input.u32()?, input.u32()?);
        let device = input.u64()?;
        input.skip(48)?;
        let mut time = || Some(Time { seconds: input.u64()? as i64, nanoseconds: input.u32()? });
        let (accessed, changed, modified, created) = (time()?, time()?, time()?, time()?);
        let bytes = allocated;
        Some(Inode {
            generation,
            size,
            bytes,
            links,
            uid,
            gid,
            mode,
            device,
            accessed,
            changed,
            modified,
            created,
        })
    }
}

/// `rdev` of a device node; `None` if the numbers are too large.
pub(super) fn encode_device(major: u32, minor: u32) -> Option<u64> {
    let fits = major < 1 << (32 - MINOR_BITS) && minor < 1 << MINOR_BITS;
    fits.then_some(u64::from(major) << MINOR_BITS | u64::from(minor))
}

/// Major and minor number.
pub(super) fn decode_device(device: u64) -> (u32, u32) {
    ((device >> MINOR_BITS) as u32, (device & ((1 << MINOR_BITS) - 1)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_numbers_are_rejected() {
        let sound = Inode { size: i64::MAX as u64, ..Inode::default() };
        assert_eq!(sound.check(), Ok(()));
        assert!(Inode { size: 1 << 63, ..sound.clone() }.check().is_err());
        let odd = Time { seconds: 0, nanoseconds: NANOSECONDS };
        assert!(Inode { created: odd, ..sound }.check().is_err());
    }
}
