//! The file allocation table: the next cluster of each cluster.

use super::boot::{Boot, FIRST_CLUSTER, Width};
use crate::disk::bytes::{damaged, read, u16_at, u32_at};
use crate::disk::source::{ReadError, Source};
use std::ops::Range;

/// Upper bound of cluster numbers: from here on, FAT32 values are markers.
pub(super) const LAST_CLUSTER: u32 = 0x0fff_fff0;
/// FAT32 uses 28 bits of an entry.
const BITS_28: u32 = 0x0fff_ffff;
/// End-of-chain marker, for any width.
pub(super) const END: u32 = BITS_28;

/// The decoded table entry of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Free,
    Cluster(u32),
    End,
    /// The cluster is marked as bad.
    Bad,
}

#[derive(Debug)]
pub(super) struct Table {
    width: Width,
    /// The first copy, cut off after the last cluster's entry.
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
        // The last 12-bit entry may end before its third byte.
        let there = length.min(place.end - place.start);
        let mut bytes = read(source, place.start, there as usize)?;
        bytes.resize(length as usize, 0);
        Ok(Table { width: boot.width, bytes })
    }

    /// The entry's bits, without the reserved ones of FAT32.
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

    /// Sets the entry of a cluster, whose number must be valid; 0 marks it as free. The reserved bits of FAT32 are
    /// preserved.
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

    /// The bytes at the start of each copy.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The entry of a cluster, whose number must be valid.
    pub(super) fn next(&self, cluster: u32) -> Next {
        // The highest eight values end a chain; the value below them marks a bad cluster.
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

    /// Whether entry 1 has the clean-shutdown bit set. FAT12 does not have it.
    pub(super) fn is_marked_clean(&self) -> bool {
        match self.width {
            Width::Bits12 => true,
            Width::Bits16 => self.raw(1) & 0x8000 != 0,
            Width::Bits32 => self.raw(1) & 0x0800_0000 != 0,
        }
    }

    /// Runs of cluster numbers whose entry passes the test.
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

/// Clusters that were already seen in a chain. A cluster must not be in two chains.
#[derive(Debug)]
pub(super) struct VisitedClusters(Vec<bool>);

impl VisitedClusters {
    pub(super) fn none(boot: &Boot) -> VisitedClusters {
        VisitedClusters(vec![false; boot.clusters as usize])
    }
}

/// The runs of a cluster chain, in order. `owner` is for error messages.
pub(super) fn chain(
    boot: &Boot,
    table: &Table,
    seen: &mut VisitedClusters,
    first: u32,
    owner: &str,
) -> Result<Vec<Range<u32>>, ReadError> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    let mut cluster = first;
    loop {
        let fault = |problem: String| damaged(format!("chain of {owner}"), boot.tables[0].start, problem);
        if !boot.has_cluster(cluster) {
            return Err(fault(format!("cluster {cluster} does not exist")));
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
            Next::Free | Next::Bad => return Err(fault(format!("cluster {cluster} is marked free or bad"))),
        }
    }
}
