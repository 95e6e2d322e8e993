//! Describes what a byte belongs to, for people who compare two images.

use super::super::format::{
    ATTRIBUTE_LEAF_MAGIC, DIRECTORY_BLOCK_MAGIC, DIRECTORY_DATA_MAGIC, DIRECTORY_FREE_MAGIC,
    DIRECTORY_LEAF1_MAGIC, DIRECTORY_LEAFN_MAGIC, EXTENTS_MAGIC, FREE_BY_LENGTH_MAGIC, FREE_BY_START_MAGIC,
    FREE_INODES_MAGIC, INDEX_NODE_MAGIC, INODE_CORE, INODES_MAGIC, OWNERS_MAGIC, REFERENCES_MAGIC,
    REMOTE_LINK_MAGIC, REMOTE_VALUE_MAGIC,
};
use super::super::view::View;
use super::group::{Group, InodeChunk};
use super::inode::Fork;
use super::open::{Xfs, name};
use crate::disk::source::ReadError;

/// (offset, name) of an inode's fields. A field ends where the next one starts.
const INODE_FIELDS: &[(usize, &str)] = &[
    (0, "di_magic"),
    (2, "di_mode"),
    (4, "di_version"),
    (5, "di_format"),
    (6, "di_onlink"),
    (8, "di_uid"),
    (12, "di_gid"),
    (16, "di_nlink"),
    (20, "di_projid"),
    (24, "di_big_nextents"),
    (32, "di_atime"),
    (40, "di_mtime"),
    (48, "di_ctime"),
    (56, "di_size"),
    (64, "di_nblocks"),
    (72, "di_extsize"),
    (76, "di_nextents"),
    (80, "di_anextents"),
    (82, "di_forkoff"),
    (83, "di_aformat"),
    (84, "di_dmevmask"),
    (88, "di_dmstate"),
    (90, "di_flags"),
    (92, "di_gen"),
    (96, "di_next_unlinked"),
    (100, "di_crc"),
    (104, "di_changecount"),
    (112, "di_lsn"),
    (120, "di_flags2"),
    (128, "di_cowextsize"),
    (132, "di_pad2"),
    (144, "di_crtime"),
    (152, "di_ino"),
    (160, "di_uuid"),
];

const SUPERBLOCK_FIELDS: &[(usize, &str)] = &[
    (0, "geometry"),
    (32, "sb_uuid"),
    (48, "sb_logstart"),
    (56, "sb_rootino"),
    (64, "geometry"),
    (100, "sb_versionnum"),
    (102, "geometry"),
    (108, "sb_fname"),
    (120, "geometry"),
    (128, "sb_icount"),
    (136, "sb_ifree"),
    (144, "sb_fdblocks"),
    (152, "geometry"),
    (200, "sb_features"),
    (224, "sb_crc"),
    (228, "geometry"),
    (240, "sb_lsn"),
    (248, "sb_meta_uuid"),
    (264, "padding"),
];

const AGF_FIELDS: &[(usize, &str)] = &[
    (0, "agf_magicnum, versionnum, seqno, length"),
    (16, "agf_roots"),
    (28, "agf_levels"),
    (40, "agf_flfirst, fllast, flcount"),
    (52, "agf_freeblks"),
    (56, "agf_longest"),
    (60, "agf_btreeblks"),
    (64, "agf_uuid"),
    (80, "agf_rmap_blocks, refcount"),
    (208, "agf_lsn"),
    (216, "agf_crc"),
    (220, "padding"),
];

const AGI_FIELDS: &[(usize, &str)] = &[
    (0, "agi_magicnum, versionnum, seqno, length"),
    (16, "agi_count"),
    (20, "agi_root, level"),
    (28, "agi_freecount"),
    (32, "agi_newino"),
    (36, "agi_dirino"),
    (40, "agi_unlinked"),
    (296, "agi_uuid"),
    (312, "agi_crc"),
    (320, "agi_lsn"),
    (328, "agi_free_root, free_level, iblocks, fblocks"),
    (344, "padding"),
];

impl Xfs<'_> {
    /// A short description. If damage hides the owner, the description contains the error.
    pub fn describe(&self, offset: u64) -> String {
        if offset >= self.superblock.blocks << self.superblock.block_log {
            return "after the filesystem's end".into();
        }
        if self.superblock.log().is_some_and(|log| log.contains(&offset)) {
            return "log".into();
        }
        let block = offset >> self.superblock.block_log;
        let number = block / u64::from(self.superblock.group_blocks);
        let number = u32::try_from(number).expect("the offset is in one of the groups");
        let within = offset - self.superblock.group_byte(number);
        self.group_header(number, within)
            .map_or_else(|| self.in_group(number, within, offset), Ok)
            .unwrap_or_else(|error| format!("AG {number}, which could not be read: {error}"))
    }

    fn group_header(&self, group: u32, within: u64) -> Option<String> {
        let byte = usize::try_from(within & (self.superblock.sector() as u64 - 1)).ok()?;
        Some(match (within >> self.superblock.sector_log, group) {
            (0, 0) => format!("superblock, {}", field(SUPERBLOCK_FIELDS, byte)),
            (0, _) => format!("AG {group} copy of the superblock, {}", field(SUPERBLOCK_FIELDS, byte)),
            (1, _) => format!("AG {group} free space header (AGF), {}", field(AGF_FIELDS, byte)),
            (2, _) => format!("AG {group} inode header (AGI), {}", field(AGI_FIELDS, byte)),
            (3, _) => format!("AG {group} list of preallocated blocks (AGFL)"),
            _ => return None,
        })
    }

    fn in_group(&self, number: u32, within: u64, offset: u64) -> Result<String, ReadError> {
        let group = self.group(number)?;
        let block = within >> self.superblock.block_log;
        if self.free_space(&group)?.iter().any(|free| (free.start.into()..free.end.into()).contains(&block)) {
            return Ok("free space".into());
        }
        let inode = self.superblock.inode_number(number, within >> self.superblock.inode_log);
        if let Some(chunk) = self.chunks(&group)?.iter().find(|chunk| chunk.holds(inode)) {
            let byte = usize::try_from(within).unwrap_or(0) % self.superblock.inode();
            return Ok(self.in_inode(chunk, inode, byte));
        }
        self.in_block(&group, offset)
    }

    fn in_inode(&self, chunk: &InodeChunk, number: u64, byte: usize) -> String {
        if byte < INODE_CORE && self.superblock.version == 5 {
            return format!("inode {number} (core), field {}", field(INODE_FIELDS, byte));
        }
        if chunk.is_free(number) {
            return format!("inode {number} (free)");
        }
        let nothing = View { bytes: &[], name: name("inode", number), at: 0 };
        let inside = |fork: &Fork| (fork.start..fork.start + fork.length).contains(&byte);
        match self.inode(number, &nothing) {
            Ok(inode) if inode.attributes.as_ref().is_some_and(inside) => {
                format!("inode {number}, attribute fork")
            }
            Ok(inode) if inside(&inode.data) => format!("inode {number}, data fork"),
            Ok(_) => format!("inode {number} (core)"),
            Err(error) => format!("inode {number}, which could not be read: {error}"),
        }
    }

    /// Detects the structure by the magic number at the block's start. A file's data may match by coincidence.
    fn in_block(&self, group: &Group, offset: u64) -> Result<String, ReadError> {
        let block = offset & !(self.superblock.block() as u64 - 1);
        let bytes = self.bytes(block, self.superblock.block())?;
        let view = View { bytes: &bytes, name: name("block", block), at: block };
        let (word, half) = (view.u32(0)?, view.u16(8)?);
        let is = |magic| word == self.by_version(magic);
        let half_is = |magic| half == self.by_version(magic);
        let number = group.number;
        Ok(if is(FREE_BY_START_MAGIC) || is(FREE_BY_LENGTH_MAGIC) {
            format!("AG {number} free space btree")
        } else if is(INODES_MAGIC) || is(FREE_INODES_MAGIC) {
            format!("AG {number} inode btree")
        } else if word == REFERENCES_MAGIC {
            format!("AG {number} reference count btree")
        } else if word == OWNERS_MAGIC {
            format!("AG {number} reverse mapping btree")
        } else if is(EXTENTS_MAGIC) {
            "extent btree of a file".into()
        } else if is(DIRECTORY_BLOCK_MAGIC) || is(DIRECTORY_DATA_MAGIC) {
            "directory block".into()
        } else if is(DIRECTORY_FREE_MAGIC) || half_is(DIRECTORY_LEAF1_MAGIC) || half_is(DIRECTORY_LEAFN_MAGIC)
        {
            "directory index block".into()
        } else if half_is(ATTRIBUTE_LEAF_MAGIC) || word == REMOTE_VALUE_MAGIC {
            "attribute block".into()
        } else if half_is(INDEX_NODE_MAGIC) {
            "index block of a directory or of attributes".into()
        } else if word == REMOTE_LINK_MAGIC {
            "target of a symbolic link".into()
        } else {
            "data or directory block".into()
        })
    }
}

fn field(fields: &[(usize, &'static str)], byte: usize) -> &'static str {
    fields.iter().rev().find(|(start, _)| *start <= byte).map_or("", |(_, name)| name)
}
