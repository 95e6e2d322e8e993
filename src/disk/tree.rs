//! The contents of a filesystem, in a form common to all readers and writers.
//!
//! A [`Tree`] holds all metadata of a filesystem. File contents stay where they are and are referenced by [`Extent`]s.
//! A *node* corresponds to an inode; directory entries refer to nodes, so hard links are two names of one node. Names,
//! link targets and attributes are bytes, since none of these filesystems guarantees an encoding.

use std::collections::BTreeMap;

/// The nodes of a filesystem; the first one is its root directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

/// An index into [`Tree::nodes`].
pub type NodeId = usize;

/// The root directory's index.
pub const ROOT: NodeId = 0;

/// Size of the longest path in bytes, with the terminating zero. Readers reject longer paths: the total length of the
/// paths of nested directories would grow with the square of their number. Source: `PATH_MAX` in limits.h.
pub(super) const PATH_MAX: usize = 4096;

/// Length of the longest symbolic link target in bytes. Source: `PATH_MAX`, without the terminating zero.
pub(super) const LINK_MAX: u64 = PATH_MAX as u64 - 1;

/// The type bits of a mode. Source: inode(7).
pub mod mode {
    pub const TYPE: u32 = 0o170_000;
    pub const FIFO: u32 = 0o010_000;
    pub const CHR: u32 = 0o020_000;
    pub const DIRECTORY: u32 = 0o040_000;
    pub const BLK: u32 = 0o060_000;
    pub const FILE: u32 = 0o100_000;
    pub const LINK: u32 = 0o120_000;
    pub const SOCKET: u32 = 0o140_000;
}

/// A timestamp relative to 1970-01-01 UTC; negative seconds are before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The filesystem's inode number; 0 if it has none (vfat).
    pub number: u64,
    /// File type and permission bits, as `st_mode` in stat(2).
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Number of hard links; for a directory 2 plus one for each subdirectory (btrfs: 1).
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
    /// `None` if the filesystem does not store it.
    pub created: Option<Time>,
    /// Extended attributes by full name, such as `security.capability` or `system.posix_acl_access`; values in the form
    /// of getxattr(2).
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Entries without `.` and `..`.
    Directory(BTreeMap<Vec<u8>, NodeId>),
    File(Content),
    /// A symbolic link's target.
    Link(Vec<u8>),
    /// A character or block device.
    Device {
        major: u32,
        minor: u32,
    },
    /// A FIFO or a socket.
    Other,
}

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Ranges in the order of the file. Bytes outside of them read as zeros, up to the file's size.
    Extents(Vec<Extent>),
    /// The bytes themselves, for files stored inside the filesystem's own structures.
    Inline(Vec<u8>),
    /// Contents that cannot be read, such as a compressed extent, and the reason.
    Unreadable(String),
}

/// A range of a file. All numbers are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the file.
    pub at: u64,
    /// Offset in the filesystem.
    pub from: u64,
    pub length: u64,
}
