//! The table: which cluster follows which.

use super::boot::{Boot, FIRST_CLUSTER, Width};
use crate::disk::bytes::{damaged, read, u16_at, u32_at};
use crate::disk::source::{ReadError, Source};
use std::ops::Range;

/// No cluster has this number or a larger one: with FAT32 these are marks.
pub(super) const LAST_CLUSTER: u32 = 0x0fff_fff0;
/// FAT32 uses 28 bits of an entry.
const BITS_28: u32 = 0x0fff_ffff;
/// Ends a chain, in any width.
pub(super) const END: u32 = BITS_28;

/// What follows a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Free,
    Cluster(u32),
    End,
    /// The cluster cannot be used.
    Bad,
}

#[derive(Debug)]
pub(super) struct Table {
    width: Width,
    /// The first copy, as far as there are clusters.
    bytes: Vec<u8>,
}

impl Table {
    pub(super) fn read(source: &dyn Source, boot: &Boot) -> Result<Table, ReadError> {
        let entries = u64::from(boot.clusters) + u64::from(FIRST_CLUSTER);
        let length = match boot.width {
            Width::Bits12 => entries.div_ceil(2) * 3,
            Width::Bits16 => entries * 2,
            Width::Bits32 => entries * 4,
        };
        let place = &boot.tables[0];
        // An odd last entry of 12 bits needs no third byte.
        let there = length.min(place.end - place.start);
        let mut bytes = read(source, place.start, there as usize)?;
        bytes.resize(length as usize, 0);
        Ok(Table { width: boot.width, bytes })
    }

    /// The entry's bits, without those that FAT32 leaves alone.
    fn raw(&self, cluster: u32) -> u32 {
        let cluster = cluster as usize;
        match self.width {
            Width::Bits12 => {
                let pair = u32::from(u16_at(&self.bytes, cluster * 3 / 2));
                if cluster.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }
            }
            Width::Bits16 => u32::from(u16_at(&self.bytes, cluster * 2)),
            Width::Bits32 => u32_at(&self.bytes, cluster * 4) & BITS_28,
        }
    }

    /// Which one follows a cluster that there is; 0 makes it free. Bits that FAT32 leaves alone stay.
    pub(super) fn set(&mut self, cluster: u32, value: u32) {
        let at = cluster as usize;
        match self.width {
            Width::Bits12 => {
                let pair = u16_at(&self.bytes, at * 3 / 2);
                let value = (value & 0xfff) as u16;
                let pair = if at.is_multiple_of(2) { pair & 0xf000 | value } else { pair & 0xf | value << 4 };
                self.bytes[at * 3 / 2..][..2].copy_from_slice(&pair.to_le_bytes());
            }
            Width::Bits16 => self.bytes[at * 2..][..2].copy_from_slice(&(value as u16).to_le_bytes()),
            Width::Bits32 => {
                let kept = u32_at(&self.bytes, at * 4) & !BITS_28;
                self.bytes[at * 4..][..4].copy_from_slice(&(kept | value & BITS_28).to_le_bytes());
            }
        }
    }

    /// As each copy begins.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// There must be a cluster of this number.
    pub(super) fn next(&self, cluster: u32) -> Next {
        // Of 2^width values the last eight end a chain, and the one before them marks a bad cluster.
        let last = match self.width {
            Width::Bits12 => 0xfff,
            Width::Bits16 => 0xffff,
            Width::Bits32 => BITS_28,
        };
        match self.raw(cluster) {
            0 => Next::Free,
            raw if raw >= last - 7 => Next::End,
            raw if raw == last - 8 => Next::Bad,
            raw => Next::Cluster(raw),
        }
    }

    /// Whether entry 1 has the mark of good order, which FAT12 does not have.
    pub(super) fn is_marked_clean(&self) -> bool {
        match self.width {
            Width::Bits12 => true,
            Width::Bits16 => self.raw(1) & 0x8000 != 0,
            Width::Bits32 => self.raw(1) & 0x0800_0000 != 0,
        }
    }

    /// Runs of clusters of which the test holds, as cluster numbers.
    pub(super) fn runs(&self, boot: &Boot, test: impl Fn(Next) -> bool) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for cluster in
            (FIRST_CLUSTER..FIRST_CLUSTER + boot.clusters).filter(|cluster| test(self.next(*cluster)))
        {
            match runs.last_mut() {
                Some(last) if last.end == cluster => last.end += 1,
                _ => runs.push(cluster..cluster + 1),
            }
        }
        runs
    }
}

/// Which clusters have been seen in a chain; none may be in two.
#[derive(Debug)]
pub(super) struct Seen(Vec<bool>);

impl Seen {
    pub(super) fn none(boot: &Boot) -> Seen {
        Seen(vec![false; boot.clusters as usize])
    }
}

/// The runs of a chain of clusters, in its order. `owner` is for messages.
pub(super) fn chain(
    boot: &Boot,
    table: &Table,
    seen: &mut Seen,
    first: u32,
    owner: &str,
) -> Result<Vec<Range<u32>>, ReadError> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    let mut cluster = first;
    loop {
        let fault = |problem: String| damaged(format!("chain of {owner}"), boot.tables[0].start, problem);
        if !boot.has_cluster(cluster) {
            return Err(fault(format!("there is no cluster {cluster}")));
        }
        let was_seen = &mut seen.0[(cluster - FIRST_CLUSTER) as usize];
        if std::mem::replace(was_seen, true) {
            return Err(fault(format!("cluster {cluster} is used twice")));
        }
        match runs.last_mut() {
            Some(last) if last.end == cluster => last.end += 1,
            _ => runs.push(cluster..cluster + 1),
        }
        match table.next(cluster) {
            Next::Cluster(next) => cluster = next,
            Next::End => return Ok(runs),
            Next::Free | Next::Bad => return Err(fault(format!("cluster {cluster} is free or bad"))),
        }
    }
}
