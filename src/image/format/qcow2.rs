//! qcow2 version 3 with compressed clusters. ister writes this format itself so that the bytes do not depend on the
//! versions of QEMU and its libraries, and to compress on all cores.
//!
//! Source: QEMU, docs/interop/qcow2.txt.

use super::chunks::{Chunk, Cut, each_chunk};
use super::source::Source;
use crate::disk::is_zero;
use flate2::{Compress, FlushCompress, Status};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const CLUSTER_BITS: u32 = 16;
/// Size of a cluster in bytes.
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Number of 64-bit entries in a cluster of an L1, L2 or refcount table.
const ENTRIES: u64 = CLUSTER / 8;
/// Number of 16-bit refcounts in a block.
const REFCOUNTS: u64 = CLUSTER / 2;
/// Number of guest clusters in a piece.
const PIECE: u64 = 32;
const MOST_WORKERS: usize = 16;
/// Default level of zstd.
const LEVEL: i32 = 3;

/// Flag of an entry whose cluster has a refcount of exactly one.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Position of the number of additional 512-byte sectors in the entry of a compressed cluster.
const SECTORS_SHIFT: u32 = 62 - (CLUSTER_BITS - 8);

/// Stored form of a guest cluster.
enum Stored {
    Zeros,
    Compressed(Vec<u8>),
    /// Not compressible.
    Plain(Vec<u8>),
}

/// Compression of clusters. Programs older than 2020 and several clouds support only zlib.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Zlib,
    Zstd,
}

/// Writes the image into an empty file.
pub(super) fn write(source: &impl Source, compression: Compression, out: &File) -> io::Result<()> {
    let mut image = Image { out: BufWriter::with_capacity(1 << 20, out), at: 0, refcounts: Vec::new() };
    // Reserve the cluster of the header, which is written last.
    image.cluster(&[0; CLUSTER as usize])?;
    // `None` for tables without any data, which are most tables of a large image, to save memory.
    let mut tables: Vec<Option<Vec<u64>>> = Vec::new();
    let mut entries: Vec<u64> = Vec::new();
    let cut = Cut::new((PIECE * CLUSTER) as usize, MOST_WORKERS);
    each_chunk(
        source,
        cut,
        move |chunk| compress(chunk, compression),
        |clusters: Arc<Vec<Stored>>| {
            for cluster in clusters.iter() {
                entries.push(match cluster {
                    Stored::Zeros => 0,
                    Stored::Compressed(bytes) => image.compressed(bytes)?,
                    Stored::Plain(bytes) => image.cluster(bytes)? | COPIED,
                });
                if entries.len() as u64 == ENTRIES {
                    tables.push(used(std::mem::take(&mut entries)));
                }
            }
            Ok(())
        },
    )?;
    if !entries.is_empty() {
        tables.push(used(entries));
    }
    let mut l1 = Vec::new();
    for table in &tables {
        l1.push(match table {
            Some(table) => image.table(table)? | COPIED,
            None => 0,
        });
    }
    let l1_at = image.table(&l1)?;
    let (refcounts_at, refcount_clusters) = image.refcounts()?;
    image.out.flush()?;
    let header = header(compression, source.size(), l1.len() as u32, l1_at, refcounts_at, refcount_clusters);
    out.write_all_at(&header, 0)
}

/// Returns `None` if the table has only holes.
fn used(table: Vec<u64>) -> Option<Vec<u64>> {
    table.iter().any(|entry| *entry != 0).then_some(table)
}

fn header(
    compression: Compression,
    size: u64,
    l1_entries: u32,
    l1_at: u64,
    refcounts_at: u64,
    refcount_clusters: u32,
) -> [u8; 112] {
    const COMPRESSION_TYPE: u64 = 1 << 3;
    const REFCOUNT_ORDER: u32 = 4;
    const ZSTD: u8 = 1;
    let mut header = [0; 112];
    let length = header.len() as u32;
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3u32.to_be_bytes());
    put(20, &CLUSTER_BITS.to_be_bytes());
    put(24, &size.to_be_bytes());
    put(36, &l1_entries.to_be_bytes());
    put(40, &l1_at.to_be_bytes());
    put(48, &refcounts_at.to_be_bytes());
    put(56, &refcount_clusters.to_be_bytes());
    // The flag marks a compression type other than zlib.
    if compression == Compression::Zstd {
        put(72, &COMPRESSION_TYPE.to_be_bytes());
        put(104, &[ZSTD]);
    }
    put(96, &REFCOUNT_ORDER.to_be_bytes());
    put(100, &length.to_be_bytes());
    header
}

/// Compresses a cluster as a raw deflate stream with a window of 4 KiB, like qemu-img. Source: QEMU,
/// block/qcow2-threads.c, qcow2_zlib_decompress, which inflates with -12.
fn deflate(cluster: &[u8]) -> io::Result<Vec<u8>> {
    const WINDOW_BITS: u8 = 12;
    let mut deflate = Compress::new_with_window_bits(flate2::Compression::default(), false, WINDOW_BITS);
    // Stop if the output is larger than the cluster.
    let mut out = Vec::with_capacity(cluster.len());
    match deflate.compress_vec(cluster, &mut out, FlushCompress::Finish).map_err(io::Error::other)? {
        Status::StreamEnd => Ok(out),
        _ => Ok(cluster.to_vec()),
    }
}

fn compress(chunk: Chunk, compression: Compression) -> io::Result<Arc<Vec<Stored>>> {
    let clusters = chunk.bytes.chunks(CLUSTER as usize).map(|bytes| {
        if is_zero(bytes) {
            return Ok(Stored::Zeros);
        }
        // The last cluster may be shorter.
        let mut cluster = bytes.to_vec();
        cluster.resize(CLUSTER as usize, 0);
        let compressed = match compression {
            Compression::Zlib => deflate(&cluster)?,
            Compression::Zstd => zstd::bulk::compress(&cluster, LEVEL)?,
        };
        let is_smaller = compressed.len() < cluster.len();
        Ok(if is_smaller { Stored::Compressed(compressed) } else { Stored::Plain(cluster) })
    });
    clusters.collect::<io::Result<_>>().map(Arc::new)
}

/// The output file, written sequentially.
struct Image<'f> {
    out: BufWriter<&'f File>,
    /// Number of bytes written.
    at: u64,
    /// Refcount of each cluster written.
    refcounts: Vec<u16>,
}

impl Image<'_> {
    /// Writes a compressed cluster, which need not be aligned to host clusters. Returns the L2 entry.
    fn compressed(&mut self, bytes: &[u8]) -> io::Result<u64> {
        const SECTOR: u64 = 512;
        let at = self.at;
        self.write(bytes)?;
        Ok(COMPRESSED | ((self.at - 1) / SECTOR - at / SECTOR) << SECTORS_SHIFT | at)
    }

    /// Writes complete clusters at a cluster boundary. Returns their offset.
    fn cluster(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let rest = (self.at.next_multiple_of(CLUSTER) - self.at) as usize;
        // The padding belongs to a cluster that is already counted.
        self.out.write_all(&vec![0; rest])?;
        self.at += rest as u64;
        let at = self.at;
        bytes.chunks(CLUSTER as usize).try_for_each(|cluster| self.write(cluster))?;
        Ok(at)
    }

    fn table(&mut self, entries: &[u64]) -> io::Result<u64> {
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(CLUSTER as usize).max(CLUSTER as usize), 0);
        self.cluster(&bytes)
    }

    /// Writes bytes and increments the refcounts of their clusters.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.at + bytes.len() as u64;
        self.refcounts.resize(end.div_ceil(CLUSTER) as usize, 0);
        for cluster in self.at / CLUSTER..end.div_ceil(CLUSTER) {
            self.refcounts[cluster as usize] += 1;
        }
        self.out.write_all(bytes)?;
        self.at = end;
        Ok(())
    }

    /// Writes the refcount blocks and the refcount table, which are included in the counts. Returns offset and number
    /// of clusters of the table.
    fn refcounts(&mut self) -> io::Result<(u64, u32)> {
        let used = self.refcounts.len() as u64;
        let (mut blocks, mut tables) = (1, 1);
        while blocks * REFCOUNTS < used + blocks + tables || tables * ENTRIES < blocks {
            blocks = (used + blocks + tables).div_ceil(REFCOUNTS);
            tables = blocks.div_ceil(ENTRIES);
        }
        let mut counts = self.refcounts.clone();
        counts.resize((used + blocks + tables) as usize, 1);
        let mut bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        bytes.resize((blocks * CLUSTER) as usize, 0);
        let first = self.cluster(&bytes)?;
        let places: Vec<u64> = (0..blocks).map(|block| first + block * CLUSTER).collect();
        Ok((self.table(&places)?, tables as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Raw;
    use super::*;
    use std::process::Command;

    /// qemu-img finds no wrong refcounts, and the content is the same.
    #[test]
    fn qemu_img_reads_the_images() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let raw = File::options().create_new(true).read(true).write(true).open(path("raw")).unwrap();
        // Three L2 tables: the second is empty, and the third ends in the middle of a cluster.
        let size = 2 * ENTRIES * CLUSTER + 3 * CLUSTER + 1536;
        raw.set_len(size).unwrap();
        let mut state = 9u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        raw.write_all_at(&vec![b'x'; 5 * CLUSTER as usize + 7], 100).unwrap();
        let random: Vec<u8> = (0..3 * CLUSTER).map(|_| noise()).collect();
        raw.write_all_at(&random, 20 * CLUSTER + 512).unwrap();
        // A repetition at a distance larger than the 4 KiB window of zlib.
        raw.write_all_at(&[&random[..6000], &random[..6000]].concat(), 40 * CLUSTER).unwrap();
        raw.write_all_at(b"the end", size - 7).unwrap();
        let qemu_img = |args: &[&str]| {
            let output = Command::new("qemu-img").current_dir(directory.path()).args(args).output().unwrap();
            assert!(output.status.success(), "{args:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        for (compression, name) in [(Compression::Zlib, "zlib"), (Compression::Zstd, "zstd")] {
            let out = File::create(path("qcow2")).unwrap();
            write(&Raw::new(&raw).unwrap(), compression, &out).unwrap();
            let check = qemu_img(&["check", "-f", "qcow2", "qcow2"]);
            assert!(check.contains("No errors were found on the image."), "{check}");
            assert!(check.contains("compressed clusters"), "{check}");
            qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "raw", "qcow2"]);
            assert!(qemu_img(&["info", "qcow2"]).contains(&format!("compression type: {name}")));
        }
    }
}
