//! What a filesystem holds, whichever it is: the common form that all readers give and all writers take.
//!
//! A [`Tree`] has everything of a filesystem but the bytes of its files, which stay where they are and are found by
//! [`Extent`]s. Terms: a *node* is what a filesystem calls an inode; a directory's entries name nodes, so that hard links are
//! two names of one node. Names, link targets and attributes are bytes: no encoding is promised by any of these
//! filesystems.

use std::collections::BTreeMap;

/// The nodes of a filesystem; the first one is its root directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

/// An index into [`Tree::nodes`].
pub type NodeId = usize;

/// The root directory's place.
pub const ROOT: NodeId = 0;

/// Bytes of the longest path that a program can name, with the zero at its end. Readers refuse trees with longer ones:
/// paths of directories in directories in directories would grow with the square of their number. Source: `PATH_MAX` in limits.h.
pub(super) const PATH_MAX: usize = 4096;

/// Bytes of the longest target of a symbolic link. Source: the same, without the zero.
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

/// A point in time since 1970, negative before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The filesystem's own number for it; 0 where it has none (vfat).
    pub number: u64,
    /// File type and permission bits, as `st_mode` in stat(2).
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// How many names it has; for a directory 2 and one for each directory in it (btrfs: 1).
    pub links: u32,
    /// In bytes.
    pub size: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
    /// Where the filesystem knows it.
    pub created: Option<Time>,
    /// Extended attributes by full name, such as `security.capability` or `system.posix_acl_access`; values in the
    /// form of getxattr(2).
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Names without `.` and `..`, and what they name.
    Directory(BTreeMap<Vec<u8>, NodeId>),
    File(Content),
    /// A symbolic link's target.
    Link(Vec<u8>),
    /// A character or block device.
    Device {
        major: u32,
        minor: u32,
    },
    /// A pipe or a socket.
    Other,
}

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Ranges in the order of the file; what is in none of them, up to the file's size, reads as zeros.
    Extents(Vec<Extent>),
    /// The bytes themselves: files that lie inside the filesystem's own structures.
    Inline(Vec<u8>),
    /// Bytes that this program cannot read, and why, such as a compressed extent.
    Unreadable(String),
}

/// A range of a file. All numbers are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// From the file's start.
    pub at: u64,
    /// From the filesystem's start.
    pub from: u64,
    pub length: u64,
}
