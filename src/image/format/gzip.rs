//! gzip: a single member whose pieces are compressed independently. Source: RFC 1951, RFC 1952.

use super::chunks::{Chunk, Cut, each_chunk};
use super::source::Source;
use flate2::{Compress, Compression, Crc, FlushCompress};
use std::io::{self, Write};
use std::sync::Arc;

/// Size of a piece. Compression cannot refer to other pieces, so small pieces would compress badly.
const PIECE: usize = 2 << 20;
const MOST_WORKERS: usize = 32;

pub(super) fn write(source: &impl Source, out: &mut impl Write) -> io::Result<()> {
    // Header without name and time; operating system Unix.
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])?;
    let mut whole = Crc::new();
    each_chunk(source, Cut::new(PIECE, MOST_WORKERS), deflate, |piece| {
        let (bytes, crc) = &*piece;
        whole.combine(crc);
        out.write_all(bytes)
    })?;
    if source.size() == 0 {
        // An empty final block.
        out.write_all(&[3, 0])?;
    }
    out.write_all(&whole.sum().to_le_bytes())?;
    // Modulo 2^32.
    out.write_all(&(source.size() as u32).to_le_bytes())
}

fn deflate(chunk: Chunk) -> io::Result<Arc<(Vec<u8>, Crc)>> {
    let mut crc = Crc::new();
    crc.update(chunk.bytes);
    let mut packer = Compress::new(Compression::default(), false);
    let mut bytes = Vec::with_capacity(chunk.bytes.len() / 2 + 1024);
    // A sync flush ends at a byte boundary, so that the next piece can follow.
    let flush = if chunk.is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let taken = packer.total_in() as usize;
        let status =
            packer.compress_vec(&chunk.bytes[taken..], &mut bytes, flush).map_err(io::Error::other)?;
        let is_done = match chunk.is_last {
            true => status == flate2::Status::StreamEnd,
            // Space left in the buffer means that all output was returned.
            false => packer.total_in() as usize == chunk.bytes.len() && bytes.len() < bytes.capacity(),
        };
        if is_done {
            return Ok(Arc::new((bytes, crc)));
        }
        bytes.reserve(bytes.capacity());
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Raw;
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::FileExt;

    #[test]
    fn output_is_a_single_member() {
        for size in [0u64, 1, PIECE as u64, 3 * PIECE as u64 + 5, 9 * PIECE as u64] {
            let file = tempfile::tempfile().unwrap();
            let mut bytes = vec![0; size as usize];
            // Data that hardly compresses, in the middle.
            let mut state = 1u32;
            for byte in bytes.iter_mut().skip(PIECE / 2).take(PIECE) {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
            file.write_all_at(&bytes, 0).unwrap();
            let mut packed = Vec::new();
            write(&Raw::new(&file).unwrap(), &mut packed).unwrap();
            let mut read = Vec::new();
            let mut decoder = flate2::bufread::GzDecoder::new(&packed[..]);
            decoder.read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{size}");
            assert!(decoder.into_inner().is_empty(), "unexpected data after the member");
        }
    }
}
