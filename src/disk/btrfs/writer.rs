//! Fills an empty filesystem: reads the settings that `mkfs.btrfs` chose, and then replaces everything that it wrote.
//!
//! `mkfs.btrfs --rootdir` is not used because (as of version 6.2) it loses hard links, device numbers and holes, and
//! its output depends on random numbers and the clock.

use super::bytes::Out;
use super::data;
use super::format::{Key, compat_ro, incompat, kind, object, profile, unknown_feature};
use super::layout::ChunkFlags;
use super::plan::{Input, Plan, chunk_map, plan};
use super::reader::{Btrfs, is_subvolume};
use super::superblock::{Backup, Superblock};
use super::tree_writer::{BlockStyle, write_tree};
use crate::disk::fill::Fill;
use crate::disk::scan::Scan;
use crate::disk::source::{ReadError, Window};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The generation of all structures.
pub(super) const GENERATION: u64 = 1;

/// Nodes larger than a memory page are "big metadata".
const SMALL_NODE: u32 = 4096;

/// Why a filesystem could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Sizes in bytes. Nothing was written.
    #[error("the content needs a btrfs of {need} bytes, this one has {have} bytes")]
    Full { need: u64, have: u64 },
    #[error("cannot fill a btrfs with {0}")]
    Unsupported(String),
    /// Nothing was written.
    #[error("expected a newly made, empty btrfs: {0}")]
    NotEmpty(String),
    #[error(
        "the attribute `{attribute}` of `{}` has {size} bytes, but only {room} fit into a btrfs node",
        path.display()
    )]
    Attribute {
        path: PathBuf,
        attribute: String,
        /// Size of its value in bytes.
        size: usize,
        /// Limit in bytes.
        room: usize,
    },
    #[error("btrfs cannot store `{}`: {problem}", path.display())]
    Node { path: PathBuf, problem: String },
    #[error("could not read `{}`", path.display())]
    Source {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("could not read the empty btrfs")]
    Empty(#[from] ReadError),
    #[error("could not write the btrfs")]
    Image(#[source] io::Error),
}

impl WriteError {
    pub(super) fn node(path: &Path, problem: impl Into<String>) -> WriteError {
        WriteError::Node { path: path.to_owned(), problem: problem.into() }
    }
}

/// Writes a tree into a new filesystem from `mkfs.btrfs`, which fills the file `image`. Bytes and holes of the image
/// depend on the arguments and on the options of `mkfs.btrfs`, but not on its random values. Errors about the content
/// are returned before anything is written.
pub fn fill(image: &File, scan: &Scan, fill: &Fill) -> Result<(), WriteError> {
    let metadata = image.metadata().map_err(|error| ReadError::Io { at: 0, error })?;
    let size = metadata.len();
    let window = Window { file: image, offset: 0, size };
    let empty = Btrfs::open(&window)?;
    check_empty(&empty)?;
    let flags = chunk_flags(&empty)?;
    let mut superblock = empty.blocks.superblock.clone();
    check_features(&empty)?;
    superblock.generation = GENERATION;
    // The kernel sets this flag at the first mount. mkfs.btrfs 6.14 sets it itself, 6.2 does not. Source: `open_ctree`.
    if superblock.node > SMALL_NODE {
        superblock.incompat |= incompat::BIG_METADATA;
    }
    superblock.device.uuid = Uuid::new_v5(&fill.seed, b"device");
    superblock.device.used = 0;
    let input = Input {
        scan,
        fill,
        superblock: &superblock,
        flags,
        chunk_tree_uuid: Uuid::new_v5(&fill.seed, b"chunk tree"),
        subvolume_uuid: Uuid::new_v5(&fill.seed, b"subvolume"),
    };
    let plan = plan(&input)?;
    // Discard everything that mkfs.btrfs wrote.
    image.set_len(0).and_then(|()| image.set_len(size)).map_err(WriteError::Image)?;
    write(image, &input, plan)
}

fn write(image: &File, input: &Input, mut plan: Plan) -> Result<(), WriteError> {
    let superblock = input.superblock;
    let chunks = chunk_map(&plan.layout, superblock)?;
    let sums = data::copy(image, input.scan, &plan.pieces, &chunks, superblock)?;
    set_checksums(&mut plan, &sums);
    let style = BlockStyle {
        node_size: superblock.node,
        checksum: superblock.checksum,
        fsid: superblock.fsid,
        chunk_tree: input.chunk_tree_uuid,
        generation: GENERATION,
    };
    for tree in &plan.trees {
        write_tree(&tree.items, &tree.shape, tree.owner, tree.first, &style, &mut |address, block| {
            data::write(image, &chunks, address, block)
        })?;
    }
    write_superblocks(image, superblock, &plan)
}

/// Sets the checksums of sectors in their items.
fn set_checksums(plan: &mut Plan, sums: &[u8]) {
    let trees = plan.trees.iter_mut().filter(|tree| tree.owner == object::CSUM_TREE);
    let mut rest = sums;
    for item in trees.flat_map(|tree| &mut tree.items) {
        let (these, others) = rest.split_at(item.value.len());
        item.value.copy_from_slice(these);
        rest = others;
    }
}

fn write_superblocks(image: &File, empty: &Superblock, plan: &Plan) -> Result<(), WriteError> {
    let mut superblock = empty.clone();
    superblock.root = plan.root(object::ROOT_TREE, empty.node);
    superblock.chunk_root = plan.root(object::CHUNK_TREE, empty.node);
    superblock.used = plan.used;
    superblock.device.used = plan.layout.allocated();
    superblock.uuid_tree_generation = GENERATION;
    let system = plan.layout.chunks.iter().filter(|chunk| chunk.flags & profile::SYSTEM != 0);
    let add = |out: Out, chunk: &super::chunk::Chunk| {
        out.bytes(&chunk.key().encode()).bytes(&chunk.encode(&superblock.device))
    };
    superblock.system_chunks = system.fold(Out::new(), add).done();
    let backup = Backup {
        extent: plan.root(object::EXTENT_TREE, empty.node),
        fs: plan.root(object::FS_TREE, empty.node),
        dev: plan.root(object::DEV_TREE, empty.node),
        csum: plan.root(object::CSUM_TREE, empty.node),
    };
    // Write the first superblock last, so that an incomplete image is not detected as a filesystem.
    let places: Vec<u64> = Superblock::places(superblock.total).collect();
    for at in places.into_iter().rev() {
        image.write_all_at(&superblock.encode(at, &backup), at).map_err(WriteError::Image)?;
    }
    Ok(())
}

/// The profiles of the existing chunks.
fn chunk_flags(empty: &Btrfs) -> Result<ChunkFlags, WriteError> {
    let find = |kind: u64| {
        let mut chunks = empty.blocks.chunks.iter().map(|chunk| chunk.flags);
        chunks
            .find(|flags| flags & kind != 0)
            .ok_or_else(|| WriteError::Unsupported("a missing type of block groups".into()))
    };
    let flags = ChunkFlags {
        system: find(profile::SYSTEM)?,
        metadata: find(profile::METADATA)?,
        data: find(profile::DATA)?,
    };
    let superblock = &empty.blocks.superblock;
    if flags.mixed() && superblock.sector != superblock.node {
        return Err(WriteError::Unsupported(
            "mixed block groups and a node size that differs from the sector size".into(),
        ));
    }
    Ok(flags)
}

/// Existing content would be lost.
fn check_empty(empty: &Btrfs) -> Result<(), WriteError> {
    if empty.blocks.superblock.log_root != 0 {
        return Err(WriteError::NotEmpty("it has a tree log to be replayed".into()));
    }
    let subvolumes = empty.roots.keys().filter(|number| is_subvolume(**number)).count();
    if subvolumes != 1 {
        return Err(WriteError::NotEmpty(format!("it has {subvolumes} subvolumes")));
    }
    let mut found = 0;
    empty.blocks.walk(empty.tree_root(object::FS_TREE)?, &mut |item| {
        let Key { object: number, kind: form, .. } = item.key;
        // The root directory and its reference to itself.
        let is_root = number == object::FIRST_FREE && [kind::INODE_ITEM, kind::INODE_REF].contains(&form);
        found += u64::from(!is_root);
        Ok(())
    })?;
    if found > 0 {
        return Err(WriteError::NotEmpty(format!("its root directory has {found} items")));
    }
    Ok(())
}

fn check_features(empty: &Btrfs) -> Result<(), WriteError> {
    const INCOMPAT: u64 = incompat::MIXED_BACKREF
        | incompat::MIXED_GROUPS
        | incompat::BIG_METADATA
        | incompat::EXTENDED_IREF
        | incompat::SKINNY_METADATA
        | incompat::NO_HOLES;
    const COMPAT_RO: u64 = compat_ro::FREE_SPACE_TREE | compat_ro::FREE_SPACE_TREE_VALID;
    let superblock = &empty.blocks.superblock;
    let unsupported = |what: String| Err(WriteError::Unsupported(what));
    if let Some(name) = unknown_feature(superblock.incompat, INCOMPAT, &incompat::NAMES)
        .or_else(|| unknown_feature(superblock.compat_ro, COMPAT_RO, &compat_ro::NAMES))
    {
        return unsupported(format!("the feature {name}"));
    }
    if superblock.compat != 0 {
        return unsupported(format!("the compat features {:#x}", superblock.compat));
    }
    if superblock.incompat & incompat::SKINNY_METADATA == 0 {
        return unsupported("the feature skinny-metadata turned off".into());
    }
    if empty.roots.contains_key(&object::QUOTA_TREE) {
        return unsupported("the feature quota".into());
    }
    Ok(())
}
