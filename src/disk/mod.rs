//! Filesystem formats: the contents of a filesystem ([`Tree`]), readers that do not mount anything, and writers that
//! fill an empty filesystem.
//!
//! This module is independent of templates, images and external programs. Readers do not trust their input: a damaged
//! filesystem results in an error, never in a panic or an endless loop.

pub mod btrfs;
mod bytes;
mod comparison;
mod content;
pub mod ext;
pub mod fat;
mod fill;
mod limits;
pub mod luks;
mod opened;
mod packed;
mod ranges;
mod scan;
mod source;
mod tree;
pub mod verity;
pub mod xfs;

/// A command for a checker program, in tests. It is also looked up in the directories for administrators (sbin).
#[cfg(test)]
fn judge(program: &str) -> std::process::Command {
    let path = crate::host::find_program(program);
    std::process::Command::new(path.unwrap_or_else(|| {
        panic!("the test needs `{program}`; `ister doctor --install --tests` installs it")
    }))
}

pub use bytes::{first_difference, is_zero};
pub use comparison::{Stores, compare, content_difference};
pub use content::{read_file, read_part};
pub use fill::Fill;
pub use limits::{UnsupportedNode, first_unsupported};
pub use opened::{Opened, VolumeKind, detect};
pub use packed::{Packed, Unpacked, unpack};
pub use ranges::{merged, without};
pub use scan::{Scan, ScanError, scan, survey};
pub use source::{ReadError, Source, Window};
pub use tree::{Body, Content, Extent, Node, NodeId, ROOT, Time, Tree, mode};
