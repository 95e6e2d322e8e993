//! Copies file data from the host's file or from memory to its allocated runs.

use super::WriteError;
use super::fill::Filler;
use super::space::FreeRun;
use crate::disk::tree::{Content, Extent, NodeId};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Copy buffer in bytes.
const BUFFER: usize = 1 << 20;

impl Filler<'_> {
    /// The rest of the last block is zeroed. A dry run does not read anything.
    pub(super) fn copy(
        &self,
        id: NodeId,
        content: &Content,
        size: u64,
        runs: &[FreeRun],
    ) -> Result<(), WriteError> {
        if self.output.is_rehearsal() || runs.is_empty() {
            return Ok(());
        }
        let path = self.path(id);
        let from = match content {
            Content::Inline(bytes) => From::Memory(bytes),
            _ => {
                From::Host(File::open(&path).map_err(|error| WriteError::Host { path: path.clone(), error })?)
            }
        };
        let log = self.superblock.block_log;
        let mut buffer = vec![0; BUFFER];
        for run in runs {
            let start = run.offset << log;
            let to = self.superblock.run(run.start, run.count).expect("the run is inside the filesystem");
            let length = run.count << log;
            let mut done = 0;
            while done < length {
                let part =
                    usize::try_from((length - done).min(BUFFER as u64)).expect("at most the buffer size");
                let there = size.saturating_sub(start + done).min(part as u64);
                let (data, rest) =
                    buffer[..part].split_at_mut(usize::try_from(there).expect("at most the size of part"));
                from.read(data, start + done, &path)?;
                rest.fill(0);
                self.output.write(&buffer[..part], to + done)?;
                done += part as u64;
            }
        }
        Ok(())
    }
}

enum From<'a> {
    Memory(&'a [u8]),
    Host(File),
}

impl From<'_> {
    fn read(&self, buffer: &mut [u8], at: u64, path: &Path) -> Result<(), WriteError> {
        match self {
            Self::Memory(bytes) => {
                let at = usize::try_from(at).expect("it is in memory");
                buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
                Ok(())
            }
            Self::Host(file) => file
                .read_exact_at(buffer, at)
                .map_err(|error| WriteError::Host { path: path.to_owned(), error }),
        }
    }
}

/// The blocks that extents touch, sorted and disjoint. Blocks after the file's end are left out.
pub(super) fn ranges(extents: &[Extent], size: u64, block_log: u8) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for extent in extents.iter().filter(|extent| extent.length > 0 && extent.at < size) {
        let start = extent.at >> block_log;
        let last = (extent.at + (extent.length - 1).min(size - 1 - extent.at)) >> block_log;
        match ranges.last_mut() {
            Some(before) if start <= before.end => before.end = before.end.max(last + 1),
            _ => ranges.push(start..last + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_in_one_block_are_merged() {
        let extent = |at, length| Extent { at, from: at, length };
        let extents = [extent(0, 100), extent(512, 100), extent(4096, 1), extent(20_000, 9000)];
        assert_eq!(ranges(&extents, 25_000, 12), [0..2, 4..7]);
        assert_eq!(ranges(&extents, 4096, 12).len(), 1);
        assert_eq!(ranges(&extents, 0, 12), []);
    }
}
