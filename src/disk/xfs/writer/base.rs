//! The empty filesystem from mkfs.xfs: its parameters and free space. Anything unexpected is rejected.

use super::super::format::{incompat, ro_compat};
use super::super::reader::{Group, Xfs};
use super::super::superblock::Superblock;
use super::WriteError;
use super::groups::FullChunk;
use super::space::Space;
use crate::disk::source::{ReadError, Window};
use crate::plan::capacity::xfs::{Shape, reserve};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A new filesystem has one chunk of inodes, three of which are in use: root, realtime bitmap and summary.
pub(super) const OWN_INODES: u64 = 3;
const FRESH_CHUNK: u64 = !0b111;

const KNOWN_RO_COMPAT: u32 = ro_compat::FINOBT | ro_compat::REFLINK | ro_compat::INOBTCOUNT;
const KNOWN_INCOMPAT: u32 = incompat::FTYPE
    | incompat::SPARSE_INODES
    | incompat::META_UUID
    | incompat::BIGTIME
    | incompat::NREXT64
    | incompat::EXCHANGE_RANGE;

/// Names of other features as in mkfs.xfs: (bit, name).
const RO_COMPAT_NAMES: &[(u32, &str)] = &[(2, "rmapbt")];
const INCOMPAT_NAMES: &[(u32, &str)] = &[
    (incompat::NEEDS_REPAIR, "needsrepair"),
    (incompat::PARENT, "parent"),
    (256, "metadir"),
    (512, "zoned"),
    (1024, "zone-gaps"),
];

/// An empty filesystem.
pub(super) struct BaseImage {
    pub superblock: Superblock,
    /// The primary superblock's sector.
    pub sector: Vec<u8>,
    pub groups: Vec<Group>,
    pub space: Space,
    /// `di_flags` of the realtime bitmap and summary.
    pub realtime_flags: [u16; 2],
}

impl BaseImage {
    pub(super) fn read(image: &File) -> Result<Self, WriteError> {
        let io = |error| WriteError::Read(ReadError::Io { at: 0, error });
        let size = image.metadata().map_err(io)?.len();
        let window = Window { file: image, offset: 0, size };
        let superblock = Superblock::read(&window)?;
        check_features(&superblock)?;
        let xfs = Xfs::open(&window)?;
        let groups: Vec<_> =
            (0..superblock.groups).map(|number| xfs.group(number)).collect::<Result<_, _>>()?;
        check_fresh(&xfs, &groups)?;
        let mut free = Vec::new();
        for group in &groups {
            free.push((xfs.free_space(group)?, reserved_blocks(&superblock, group.number)));
        }
        let mut sector = vec![0; superblock.sector()];
        image.read_exact_at(&mut sector, 0).map_err(io)?;
        let realtime_flags = [xfs.flags(superblock.bitmap)?, xfs.flags(superblock.summary)?];
        Ok(Self { sector, groups, space: Space::new(free.into_iter()), realtime_flags, superblock })
    }
}

/// The only inode chunk of a new filesystem.
pub(super) fn first_chunk(superblock: &Superblock) -> FullChunk {
    FullChunk { first: superblock.root, free: 0 }
}

fn reserved_blocks(superblock: &Superblock, group: u32) -> u64 {
    let length = superblock.group_length(group);
    let start = superblock.group_byte(group);
    let log = superblock
        .log()
        .filter(|log| (start..start + (u64::from(length) << superblock.block_log)).contains(&log.start));
    let shape = Shape {
        size: superblock.blocks << superblock.block_log,
        block_size: 1 << superblock.block_log,
        sector_size: 1 << superblock.sector_log,
        inode_size: 1 << superblock.inode_log,
        log_blocks: superblock.log_blocks,
        groups: superblock.groups,
        finobt: superblock.has(ro_compat::FINOBT),
        reflink: superblock.has(ro_compat::REFLINK),
    };
    reserve(&shape, length.into(), if log.is_some() { superblock.log_blocks.into() } else { 0 })
}

fn check_features(superblock: &Superblock) -> Result<(), WriteError> {
    let mut problems = Vec::new();
    if superblock.version != 5 {
        problems.push("version 4 (crc=0)".to_owned());
    }
    if superblock.any_case {
        problems.push("case-insensitive names (ascii-ci)".to_owned());
    }
    if superblock.version == 5 && !superblock.ftype {
        problems.push("directories without file types (ftype=0)".to_owned());
    }
    if superblock.realtime_blocks > 0 {
        problems.push("a realtime device".to_owned());
    }
    if superblock.block_log > 15 {
        problems.push("block size of 64 KiB".to_owned());
    }
    name_bits(superblock.compat, "compat", &[], &mut problems);
    name_bits(superblock.ro_compat & !KNOWN_RO_COMPAT, "ro_compat", RO_COMPAT_NAMES, &mut problems);
    name_bits(superblock.incompat & !KNOWN_INCOMPAT, "incompat", INCOMPAT_NAMES, &mut problems);
    name_bits(superblock.log_incompat, "log_incompat", &[], &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(WriteError::Unsupported(problems.join(", "))) }
}

fn name_bits(bits: u32, field: &str, names: &[(u32, &str)], problems: &mut Vec<String>) {
    for bit in (0..u32::BITS).map(|shift| 1 << shift).filter(|bit| bits & bit != 0) {
        let name = names.iter().find(|(known, _)| *known == bit);
        problems.push(name.map_or_else(|| format!("{field} bit {bit:#x}"), |(_, name)| (*name).to_owned()));
    }
}

fn check_fresh(xfs: &Xfs, groups: &[Group]) -> Result<(), WriteError> {
    let superblock = &xfs.superblock;
    let fail = |problem: String| Err(WriteError::NotEmpty(problem));
    let Superblock { root, bitmap, summary, inode_count, free_inodes, .. } = *superblock;
    if (inode_count, free_inodes) != (64, 64 - OWN_INODES) {
        return fail(format!(
            "{} inodes are in use, expected {OWN_INODES}",
            inode_count.saturating_sub(free_inodes)
        ));
    }
    if (bitmap, summary) != (root + 1, root + 2) {
        return fail(format!("root, bitmap and summary are inodes {root}, {bitmap} and {summary}"));
    }
    for group in groups {
        let chunks = xfs.chunks(group)?;
        let wanted = usize::from(group.number == 0);
        if chunks.len() != wanted {
            return fail(format!(
                "group {} has {} inode chunks, expected {wanted}",
                group.number,
                chunks.len()
            ));
        }
        if let [chunk] = &chunks[..]
            && (chunk.first, chunk.free, chunk.holes) != (root, FRESH_CHUNK, 0)
        {
            return fail(format!(
                "the first inode chunk is not at {root}, or not exactly three of its inodes are in use"
            ));
        }
    }
    Ok(())
}
