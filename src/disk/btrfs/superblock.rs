//! The superblock and its mirrors.

use super::bytes::{In, Out};
use super::checksum::ChecksumType;
use crate::disk::source::{ReadError, Source};
use uuid::Uuid;

/// Bytes from the filesystem's start; the first one is authoritative. Source: `btrfs_sb_offset`.
pub(super) const OFFSETS: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];

/// Size in bytes.
pub(super) const SIZE: usize = 4096;

const MAGIC: &[u8; 8] = b"_BHRfS_M";
const LABEL_SIZE: usize = 256;
const SYSTEM_CHUNKS_SIZE: usize = 2048;
/// Offset of the system chunks in a superblock.
const SYSTEM_CHUNKS_FIELD: usize = 811;
/// Offset of the system chunks in the filesystem, in bytes.
pub(super) const SYSTEM_CHUNKS_AT: u64 = OFFSETS[0] + SYSTEM_CHUNKS_FIELD as u64;
/// Bytes between `metadata_uuid` and the system chunks.
const RESERVED_SIZE: usize = 224;
const BACKUPS: usize = 4;
const BACKUP_SIZE: usize = 168;
/// `BTRFS_HEADER_FLAG_WRITTEN`.
const WRITTEN: u64 = 1;

/// Location of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Root {
    /// Logical address.
    pub address: u64,
    pub level: u8,
    pub generation: u64,
}

/// The only device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub number: u64,
    /// Size in bytes.
    pub total: u64,
    /// Bytes allocated to chunks.
    pub used: u64,
    pub sector: u32,
    pub uuid: Uuid,
    pub fsid: Uuid,
}

impl Device {
    fn parse(input: &mut In) -> Option<Device> {
        let (number, total, used) = (input.u64()?, input.u64()?, input.u64()?);
        input.skip(8)?;
        let sector = input.u32()?;
        input.skip(30)?;
        let (uuid, fsid) = (Uuid::from_bytes(input.array()?), Uuid::from_bytes(input.array()?));
        Some(Device { number, total, used, sector, uuid, fsid })
    }

    /// Also the value of the DEV_ITEM.
    pub(super) fn encode(&self) -> Vec<u8> {
        Out::new()
            .u64s(&[self.number, self.total, self.used])
            // io_align, io_width, sector_size
            .u32(self.sector)
            .u32(self.sector)
            .u32(self.sector)
            // type, generation, start_offset, dev_group, seek_speed, bandwidth
            .zeros(30)
            .bytes(self.uuid.as_bytes())
            .bytes(self.fsid.as_bytes())
            .done()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub fsid: Uuid,
    pub generation: u64,
    pub root: Root,
    pub chunk_root: Root,
    pub log_root: u64,
    /// Size in bytes.
    pub total: u64,
    /// Bytes of all extents, each copy counted once.
    pub used: u64,
    pub root_dir: u64,
    pub devices: u64,
    /// Size in bytes.
    pub sector: u32,
    /// Size in bytes.
    pub node: u32,
    pub stripe: u32,
    pub compat: u64,
    pub compat_ro: u64,
    pub incompat: u64,
    pub checksum: ChecksumType,
    pub device: Device,
    pub label: Vec<u8>,
    pub cache_generation: u64,
    pub uuid_tree_generation: u64,
    pub metadata_uuid: Uuid,
    /// Keys and chunk items, one after the other.
    pub system_chunks: Vec<u8>,
}

/// Backup roots for repairs.
#[derive(Clone, Copy, Default)]
pub(super) struct Backup {
    pub extent: Root,
    pub fs: Root,
    pub dev: Root,
    pub csum: Root,
}

impl Superblock {
    /// Reads and checks the first superblock.
    pub(super) fn read(source: &dyn Source) -> Result<Superblock, ReadError> {
        let at = OFFSETS[0];
        let damaged = |problem: String| ReadError::Damaged { structure: "superblock".into(), at, problem };
        let mut bytes = vec![0; SIZE];
        source.read_at(&mut bytes, at).map_err(|error| ReadError::Io { at, error })?;
        if bytes[64..72] != *MAGIC {
            return Err(damaged("the btrfs magic number is missing".into()));
        }
        let number = u16::from_le_bytes([bytes[196], bytes[197]]);
        let checksum = ChecksumType::from_number(number)
            .ok_or_else(|| ReadError::Unsupported(format!("unsupported btrfs checksum type {number}")))?;
        if checksum.of(&bytes[32..])[..checksum.size()] != bytes[..checksum.size()] {
            return Err(damaged("checksum mismatch".into()));
        }
        let superblock = Superblock::parse(&bytes, checksum)
            .ok_or_else(|| damaged("the system chunk array is too long".into()))?;
        superblock.check(source.size()).map_err(damaged)?;
        Ok(superblock)
    }

    fn parse(bytes: &[u8], checksum: ChecksumType) -> Option<Superblock> {
        let mut input = In(bytes);
        input.skip(32)?;
        let fsid = Uuid::from_bytes(input.array()?);
        // bytenr, flags, magic
        input.skip(24)?;
        let (generation, root, chunk_root, log_root) =
            (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        input.skip(8)?;
        let (total, used, root_dir, devices) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        let (sector, node, _leaf, stripe) = (input.u32()?, input.u32()?, input.u32()?, input.u32()?);
        let system_size = input.u32()? as usize;
        let chunk_generation = input.u64()?;
        let (compat, compat_ro, incompat) = (input.u64()?, input.u64()?, input.u64()?);
        input.skip(2)?;
        let (root_level, chunk_level) = (input.u8()?, input.u8()?);
        input.skip(1)?;
        let device = Device::parse(&mut input)?;
        let label = input.bytes(LABEL_SIZE)?.split(|byte| *byte == 0).next()?.to_vec();
        let (cache_generation, uuid_tree_generation) = (input.u64()?, input.u64()?);
        let metadata_uuid = Uuid::from_bytes(input.array()?);
        input.skip(RESERVED_SIZE)?;
        let system_chunks = input.bytes(SYSTEM_CHUNKS_SIZE)?.get(..system_size)?.to_vec();
        Some(Superblock {
            fsid,
            generation,
            root: Root { address: root, level: root_level, generation },
            chunk_root: Root { address: chunk_root, level: chunk_level, generation: chunk_generation },
            log_root,
            total,
            used,
            root_dir,
            devices,
            sector,
            node,
            stripe,
            compat,
            compat_ro,
            incompat,
            checksum,
            device,
            label,
            cache_generation,
            uuid_tree_generation,
            metadata_uuid,
            system_chunks,
        })
    }

    /// The limits of the kernel's `btrfs_validate_super`.
    fn check(&self, size: u64) -> Result<(), String> {
        let fits = |bytes: u32| bytes.is_power_of_two() && (4096..=65_536).contains(&bytes);
        if !fits(self.sector) || !fits(self.node) || self.node < self.sector {
            return Err(format!(
                "invalid sector size of {} bytes or node size of {} bytes",
                self.sector, self.node
            ));
        }
        if self.total > size {
            return Err(format!("the filesystem has {} bytes, but only {size} exist", self.total));
        }
        Ok(())
    }

    /// The offsets of the superblocks that are inside the filesystem.
    pub(super) fn places(total: u64) -> impl Iterator<Item = u64> {
        OFFSETS.into_iter().filter(move |offset| offset + SIZE as u64 <= total)
    }

    /// The superblock for the offset `at`, with its checksum.
    pub(super) fn encode(&self, at: u64, backup: &Backup) -> Vec<u8> {
        let mut bytes = Out::new()
            .zeros(32)
            .bytes(self.fsid.as_bytes())
            .u64s(&[at, WRITTEN])
            .bytes(MAGIC)
            .u64s(&[self.generation, self.root.address, self.chunk_root.address, self.log_root, 0])
            .u64s(&[self.total, self.used, self.root_dir, self.devices])
            .u32(self.sector)
            .u32(self.node)
            // leafsize, no longer used
            .u32(self.node)
            .u32(self.stripe)
            .u32(self.system_chunks.len() as u32)
            .u64s(&[self.chunk_root.generation, self.compat, self.compat_ro, self.incompat])
            .u16(self.checksum.number())
            .bytes(&[self.root.level, self.chunk_root.level, 0])
            .bytes(&self.device.encode())
            .bytes(&self.label)
            .zeros(LABEL_SIZE - self.label.len())
            .u64s(&[self.cache_generation, self.uuid_tree_generation])
            .bytes(self.metadata_uuid.as_bytes())
            .zeros(RESERVED_SIZE)
            .bytes(&self.system_chunks)
            .zeros(SYSTEM_CHUNKS_SIZE - self.system_chunks.len())
            .bytes(&self.encode_backup(backup))
            .zeros((BACKUPS - 1) * BACKUP_SIZE)
            .done();
        bytes.resize(SIZE, 0);
        let sum = self.checksum.of(&bytes[32..]);
        bytes[..32].copy_from_slice(&sum);
        bytes
    }

    fn encode_backup(&self, backup: &Backup) -> Vec<u8> {
        let roots = [self.root, self.chunk_root, backup.extent, backup.fs, backup.dev, backup.csum];
        let out = roots.iter().fold(Out::new(), |out, root| out.u64s(&[root.address, root.generation]));
        let out = out.u64s(&[self.total, self.used, self.devices]).zeros(32);
        roots.iter().fold(out, |out, root| out.u8(root.level)).zeros(10).done()
    }
}

/// The fields by their offset, for messages.
pub(super) const FIELDS: [(usize, &str); 35] = [
    (0, "csum"),
    (32, "fsid"),
    (48, "bytenr"),
    (56, "flags"),
    (64, "magic"),
    (72, "generation"),
    (80, "root"),
    (88, "chunk_root"),
    (96, "log_root"),
    (104, "log_root_transid"),
    (112, "total_bytes"),
    (120, "bytes_used"),
    (128, "root_dir_objectid"),
    (136, "num_devices"),
    (144, "sectorsize"),
    (148, "nodesize"),
    (152, "leafsize"),
    (156, "stripesize"),
    (160, "sys_chunk_array_size"),
    (164, "chunk_root_generation"),
    (172, "compat_flags"),
    (180, "compat_ro_flags"),
    (188, "incompat_flags"),
    (196, "csum_type"),
    (198, "root_level"),
    (199, "chunk_root_level"),
    (200, "log_root_level"),
    (201, "dev_item"),
    (299, "label"),
    (555, "cache_generation"),
    (563, "uuid_tree_generation"),
    (571, "metadata_uuid"),
    (SYSTEM_CHUNKS_FIELD, "sys_chunk_array"),
    (2859, "super_roots"),
    (3531, "padding"),
];
