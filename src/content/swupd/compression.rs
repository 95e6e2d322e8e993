//! Decompresses tars with bounded memory.

use std::io::{self, BufRead, Read};
use std::sync::{Condvar, Mutex, PoisonError};

/// Memory budget in bytes of all decoders of an installation, for dictionaries whose size is determined by the
/// compressed stream.
const USUAL_BUDGET: u64 = 40 << 20;
/// Sufficient for `xz -6`, which mixer uses.
const USUAL: u64 = 10 << 20;
/// The largest supported dictionary, that of `xz -9`. Only one decoder at a time may use it, in addition to its regular
/// share.
const LARGEST: u64 = 68 << 20;
/// Flat share of decoders that need at most this much.
const SMALL: u64 = 1 << 20;

/// The remaining memory budget of decoders.
pub(super) struct Budget {
    left: Mutex<u64>,
    returned: Condvar,
    /// Whether the large dictionary is available.
    large: Mutex<bool>,
    large_returned: Condvar,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            left: Mutex::new(USUAL_BUDGET),
            returned: Condvar::new(),
            large: Mutex::new(true),
            large_returned: Condvar::new(),
        }
    }
}

/// A share of the budget, returned when dropped.
struct Share<'b> {
    budget: &'b Budget,
    bytes: u64,
    large: bool,
}

impl Budget {
    fn take(&self, bytes: u64) -> Share<'_> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left =
            self.returned.wait_while(left, |left| *left < bytes).unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
        Share { budget: self, bytes, large: false }
    }
}

impl Share<'_> {
    /// Waits for the large dictionary. Its holder never waits, so there is no deadlock.
    fn grow(&mut self) {
        if self.large {
            return;
        }
        let large = self.budget.large.lock().unwrap_or_else(PoisonError::into_inner);
        let mut large = self
            .budget
            .large_returned
            .wait_while(large, |there| !*there)
            .unwrap_or_else(PoisonError::into_inner);
        *large = false;
        self.large = true;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.returned.notify_all();
        if self.large {
            *self.budget.large.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.budget.large_returned.notify_all();
        }
    }
}

/// Returns the decompressed stream. The format is detected by the first bytes: xz, gzip, bzip2, zstd or uncompressed.
///
/// # Errors
/// Fails if reading from `from` fails. Decompression errors are reported when the result is read.
pub(super) fn decompressed<'r>(
    mut from: impl BufRead + Send + 'r,
    budget: &'r Budget,
) -> io::Result<Box<dyn Read + Send + 'r>> {
    const ENOUGH: usize = 6;
    let mut start = [0; ENOUGH];
    let mut filled = 0;
    // The stream may return its first bytes one at a time.
    while filled < ENOUGH {
        match from.read(&mut start[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    let magic = &start[..filled];
    let whole = io::Cursor::new(magic.to_vec()).chain(from);
    Ok(match magic {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(Xz::new(whole, budget)?),
        [0x1f, 0x8b, ..] => {
            Box::new(Held { _share: budget.take(SMALL), reader: flate2::bufread::MultiGzDecoder::new(whole) })
        }
        [b'B', b'Z', b'h', ..] => {
            Box::new(Held { _share: budget.take(USUAL), reader: bzip2::bufread::MultiBzDecoder::new(whole) })
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let share = budget.take(USUAL);
            let mut reader = zstd::stream::read::Decoder::with_buffer(whole)?;
            // 8 MiB, the minimum that zstd decoders should support. Source: RFC 8878, 3.1.1.1.2.
            reader.window_log_max(23)?;
            Box::new(Held { _share: share, reader })
        }
        _ => Box::new(whole),
    })
}

struct Held<'b, R> {
    _share: Share<'b>,
    reader: R,
}

impl<R: Read> Read for Held<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// liblzma with a memory limit that is raised once if the stream requires it.
struct Xz<'b, R> {
    from: R,
    stream: liblzma::stream::Stream,
    share: Share<'b>,
    ended: bool,
    /// The next block needs more memory than the current limit.
    needs_more: bool,
}

impl<'b, R: BufRead> Xz<'b, R> {
    fn new(from: R, budget: &'b Budget) -> io::Result<Self> {
        let share = budget.take(USUAL);
        let stream = liblzma::stream::Stream::new_stream_decoder(USUAL, liblzma::stream::CONCATENATED)?;
        Ok(Xz { from, stream, share, ended: false, needs_more: false })
    }
}

impl<R: BufRead> Read for Xz<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use liblzma::stream::{Action, Error, Status};
        if buffer.is_empty() || self.ended {
            return Ok(0);
        }
        loop {
            if std::mem::take(&mut self.needs_more) {
                self.share.grow();
                // Fails if this limit is not sufficient either.
                self.stream
                    .set_memlimit(LARGEST)
                    .map_err(|_| io::Error::other("the xz stream needs more than 68 MiB of memory"))?;
            }
            let input = self.from.fill_buf()?;
            let at_end = input.is_empty();
            let before = (self.stream.total_in(), self.stream.total_out());
            let action = if at_end { Action::Finish } else { Action::Run };
            let status = self.stream.process(input, buffer, action);
            let taken = (self.stream.total_in() - before.0) as usize;
            let given = (self.stream.total_out() - before.1) as usize;
            self.from.consume(taken);
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) => (),
                // The output before this block is valid.
                Err(Error::MemLimit) => {
                    self.needs_more = true;
                    if given == 0 {
                        continue;
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if given > 0 || self.ended {
                return Ok(given);
            }
            if at_end && taken == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "truncated xz stream"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let budget = Budget::default();
        let mut out = Vec::new();
        decompressed(bytes, &budget)?.read_to_end(&mut out)?;
        assert!(*budget.left.lock().unwrap() == USUAL_BUDGET && *budget.large.lock().unwrap());
        Ok(out)
    }

    fn xz(text: &[u8], preset: u32) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), preset);
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn formats_are_detected_by_their_first_bytes() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&text).unwrap();
        let packed = [
            xz(&text, 6),
            // Needs the large dictionary.
            xz(&text, 9),
            [xz(&text[..1000], 1), xz(&text[1000..], 1)].concat(),
            // Needs the large dictionary after some output.
            [xz(&text[..300_000], 1), xz(&text[300_000..], 9)].concat(),
            gzip.finish().unwrap(),
            bzip2.finish().unwrap(),
            zstd::encode_all(&text[..], 3).unwrap(),
            text.clone(),
        ];
        for packed in packed {
            assert!(read(&packed).unwrap() == text);
        }
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(b"\xfd7").unwrap(), b"\xfd7");
    }

    #[test]
    fn truncated_and_too_large_streams_are_errors() {
        let packed = xz(&[7; 100_000], 6);
        for length in [6, 20, packed.len() - 1] {
            assert!(read(&packed[..length]).is_err(), "{length}");
        }
        let mut options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
        options.dict_size(80 << 20);
        let filters = {
            let mut filters = liblzma::stream::Filters::new();
            filters.lzma2(&options);
            filters
        };
        let stream =
            liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"x").unwrap();
        let error = read(&encoder.finish().unwrap()).unwrap_err();
        assert!(error.to_string().contains("68 MiB"), "{error}");
    }
}
