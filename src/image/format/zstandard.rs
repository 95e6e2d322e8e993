//! zstd: a sequence of independent frames, like that of pzstd. Source: RFC 8878, 3.

use super::chunks::{Chunk, Cut, each_chunk};
use super::source::Source;
use std::io::{self, Write};
use std::sync::Arc;

/// The window of level 12 is 8 MiB, which every decoder has to support.
const LEVEL: i32 = 12;
const PIECE: usize = 16 << 20;
const MOST_WORKERS: usize = 16;

pub(super) fn write(source: &impl Source, out: &mut impl Write) -> io::Result<()> {
    each_chunk(source, Cut::new(PIECE, MOST_WORKERS), frame, |frame| out.write_all(&frame))
}

fn frame(chunk: Chunk) -> io::Result<Arc<Vec<u8>>> {
    let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
    packer.include_checksum(true)?;
    Ok(Arc::new(packer.compress(chunk.bytes)?))
}

#[cfg(test)]
mod tests {
    use super::super::source::Raw;
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn decoders_read_the_frames() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * PIECE as u64 + 5).unwrap();
        file.write_all_at(b"somewhere", PIECE as u64 + 7).unwrap();
        let mut packed = Vec::new();
        write(&Raw::new(&file).unwrap(), &mut packed).unwrap();
        let read = zstd::decode_all(&packed[..]).unwrap();
        assert_eq!(read.len(), 3 * PIECE + 5);
        assert_eq!(&read[PIECE + 7..PIECE + 16], b"somewhere");
        // The window is no larger than what every decoder supports.
        let mut decoder = zstd::Decoder::new(&packed[..]).unwrap();
        decoder.window_log_max(23).unwrap();
        assert_eq!(io::copy(&mut decoder, &mut io::sink()).unwrap(), 3 * PIECE as u64 + 5);
    }
}
