//! Filesystem formats: what a filesystem holds ([`Tree`]), reading it from bytes without mounting it, and filling an empty one.
//!
//! Nothing here knows templates' layout, images or programs. Readers trust nothing: a damaged filesystem is an error, never
//! a panic or an endless loop.

pub mod btrfs;
mod bytes;
mod content;
pub mod ext;
pub mod fat;
mod fill;
mod held;
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

/// A program that judges what was written, in the tests: found also where only administrators look.
#[cfg(test)]
fn judge(program: &str) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.env("PATH", crate::host::search_path());
    command
}

/// Whether it is there: what a test needs and the host does not have is a visible skip, and a failure where CI is set.
#[cfg(test)]
fn has_judge(program: &str) -> bool {
    use std::io::Write;
    let there = crate::host::find_program(program).is_some();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "CI must have {program}");
        let _ = writeln!(std::io::stderr(), "skipped: there is no {program}");
    }
    there
}

pub use bytes::{first_difference, is_zero};
pub use content::{read_file, read_part};
pub use fill::Fill;
pub use held::{Keeps, compare, content_difference};
pub use limits::{Unholdable, unholdable};
pub use opened::{Kind, Opened, detect};
pub use packed::{Packed, Unpacked, unpack};
pub use ranges::{merged, without};
pub use scan::{Scan, ScanError, scan, survey};
pub use source::{ReadError, Source, Window};
pub use tree::{Body, Content, Extent, Node, NodeId, ROOT, Time, Tree, mode};
