//! streamOptimized VMDK: written sequentially, with compressed grains. Source: VMware, Virtual Disk Format 5.0, "Hosted
//! Sparse Extents" and "Stream-Optimized Compressed Sparse Extents".

use super::chunks::{Chunk, Cut, each_chunk};
use super::source::Source;
use crate::disk::is_zero;
use flate2::{Compression, write::ZlibEncoder};
use std::io::{self, Write};
use std::sync::Arc;

const SECTOR: u64 = 512;
/// Sectors per grain. This is the only size that all programs accept.
const GRAIN: u64 = 128;
const GRAIN_BYTES: usize = (GRAIN * SECTOR) as usize;
/// Grains per table.
const TABLE: usize = 512;
/// A piece contains all grains of a table.
const PIECE: usize = TABLE * GRAIN_BYTES;
const MOST_WORKERS: usize = 16;
/// Sectors before the first grain: header, descriptor and padding to a full grain.
const OVERHEAD: u64 = GRAIN;
const DESCRIPTOR_SECTORS: u64 = 20;

/// Types of markers.
const GRAIN_TABLE: u32 = 1;
const GRAIN_DIRECTORY: u32 = 2;
const FOOTER: u32 = 3;

/// Writes the image. `name` is the name of the file, `id` the content ID.
pub(super) fn write(source: &impl Source, name: &str, id: u32, out: &mut impl Write) -> io::Result<()> {
    let sectors = source.size().div_ceil(SECTOR);
    let mut out = Counted { out, at: 0 };
    out.write_all(&header(sectors, u64::MAX))?;
    let mut text = descriptor(sectors, name, id).into_bytes();
    text.resize((DESCRIPTOR_SECTORS * SECTOR) as usize, 0);
    out.write_all(&text)?;
    out.write_all(&vec![0; (OVERHEAD * SECTOR - out.at) as usize])?;
    let mut directory: Vec<u32> = Vec::new();
    let mut first = 0;
    each_chunk(source, Cut::new(PIECE, MOST_WORKERS), deflate, |grains: Arc<Vec<Option<Vec<u8>>>>| {
        let mut table = [0u32; TABLE];
        for (index, grain) in grains.iter().enumerate() {
            let Some(grain) = grain else { continue };
            table[index] = out.sector()?;
            let lba: u64 = first + index as u64 * GRAIN;
            out.write_all(&lba.to_le_bytes())?;
            out.write_all(&(grain.len() as u32).to_le_bytes())?;
            out.write_all(grain)?;
            out.pad()?;
        }
        first += TABLE as u64 * GRAIN;
        if table.iter().all(|place| *place == 0) {
            directory.push(0);
            return Ok(());
        }
        out.marker(TABLE as u64 * 4 / SECTOR, GRAIN_TABLE)?;
        directory.push(out.sector()?);
        out.numbers(&table)
    })?;
    out.marker((directory.len() as u64 * 4).div_ceil(SECTOR), GRAIN_DIRECTORY)?;
    let place = u64::from(out.sector()?);
    out.numbers(&directory)?;
    out.marker(1, FOOTER)?;
    out.write_all(&header(sectors, place))?;
    // A marker of zeros is the end of the stream.
    out.write_all(&[0; SECTOR as usize])
}

fn header(sectors: u64, directory: u64) -> [u8; SECTOR as usize] {
    // Valid newline detection test, compressed grains, markers.
    const FLAGS: u32 = 1 | 1 << 16 | 1 << 17;
    let mut header = [0; SECTOR as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDMV");
    put(4, &3u32.to_le_bytes());
    put(8, &FLAGS.to_le_bytes());
    put(12, &sectors.next_multiple_of(GRAIN).to_le_bytes());
    put(20, &GRAIN.to_le_bytes());
    put(28, &1u64.to_le_bytes());
    put(36, &DESCRIPTOR_SECTORS.to_le_bytes());
    put(44, &(TABLE as u32).to_le_bytes());
    put(56, &directory.to_le_bytes());
    put(64, &OVERHEAD.to_le_bytes());
    put(73, b"\n \r\n");
    put(77, &1u16.to_le_bytes());
    header
}

/// Returns the descriptor of a SCSI disk of a VMware virtual machine. Some programs only import certain controller
/// types.
fn descriptor(sectors: u64, name: &str, id: u32) -> String {
    const HEADS: u64 = 255;
    const PER_TRACK: u64 = 63;
    let cylinders = (sectors / (HEADS * PER_TRACK)).clamp(1, 65_535);
    let sectors = sectors.next_multiple_of(GRAIN);
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={id:08x}\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRW {sectors} SPARSE \"{name}\"\n\n# The Disk Data Base\n#DDB\n\n\
         ddb.virtualHWVersion = \"13\"\nddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{HEADS}\"\n\
         ddb.geometry.sectors = \"{PER_TRACK}\"\nddb.adapterType = \"lsilogic\"\n"
    )
}

/// Compresses the grains of a table; `None` for grains of zeros.
fn deflate(chunk: Chunk) -> io::Result<Arc<Vec<Option<Vec<u8>>>>> {
    let grains = chunk.bytes.chunks(GRAIN_BYTES).map(|grain| {
        if is_zero(grain) {
            return Ok(None);
        }
        let mut packer = ZlibEncoder::new(Vec::with_capacity(GRAIN_BYTES / 2), Compression::default());
        packer.write_all(grain)?;
        // The last grain may be incomplete.
        packer.write_all(&vec![0; GRAIN_BYTES - grain.len()])?;
        packer.finish().map(Some)
    });
    grains.collect::<io::Result<_>>().map(Arc::new)
}

/// A writer that counts the bytes written.
struct Counted<W> {
    out: W,
    at: u64,
}

impl<W: Write> Counted<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn sector(&self) -> io::Result<u32> {
        u32::try_from(self.at / SECTOR)
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "a vmdk cannot be larger than 2 TiB"))
    }

    fn pad(&mut self) -> io::Result<()> {
        let rest = self.at.next_multiple_of(SECTOR) - self.at;
        self.write_all(&[0; SECTOR as usize][..rest as usize])
    }

    /// Writes the marker that precedes metadata with the given number of sectors.
    fn marker(&mut self, sectors: u64, kind: u32) -> io::Result<()> {
        let mut marker = [0; SECTOR as usize];
        marker[..8].copy_from_slice(&sectors.to_le_bytes());
        marker[12..16].copy_from_slice(&kind.to_le_bytes());
        self.write_all(&marker)
    }

    fn numbers(&mut self, numbers: &[u32]) -> io::Result<()> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.write_all(&bytes)?;
        self.pad()
    }
}
