//! A large source in pieces, worked on by all cores, with the results in order.

use super::source::Source;
use crate::disk::is_zero;
use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

/// What `work` is given.
pub(super) struct Chunk<'b> {
    pub bytes: &'b [u8],
    pub is_last: bool,
}

/// How it is cut, and by how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Bytes of each piece but the last.
    pub size: usize,
    pub workers: usize,
}

impl Cut {
    /// As many workers as there are cores, but no more than `most`: each may take much memory.
    pub(super) fn new(size: usize, most: usize) -> Cut {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Cut { size, workers: cores.min(most) }
    }
}

/// Gives `work` each piece of the source, and `write` what was made of it, in order. The result does not depend on how many
/// workers there are. Of pieces that hold nothing but zeros, which is most of an image, one is worked on.
pub(super) fn each_chunk<T: Clone + Send + Sync>(
    source: &impl Source,
    cut: Cut,
    work: impl Fn(Chunk) -> io::Result<T> + Sync,
    mut write: impl FnMut(T) -> io::Result<()>,
) -> io::Result<()> {
    let size = cut.size as u64;
    let count = source.size().div_ceil(size);
    let next = AtomicU64::new(0);
    let zeros: OnceLock<T> = OnceLock::new();
    // Who has a ticket may take the next piece: nobody gets far ahead of what is written.
    let (give, tickets) = sync_channel::<()>(4 * cut.workers);
    let tickets = std::sync::Mutex::new(tickets);
    let (done, results) = sync_channel::<(u64, io::Result<T>)>(4 * cut.workers);
    let one = |index: u64, buffer: &mut Vec<u8>| -> io::Result<T> {
        let start = index * size;
        let length = size.min(source.size() - start);
        let is_last = index + 1 == count;
        let is_hole = source.is_hole(start..start + length);
        if is_hole
            && !is_last
            && let Some(made) = zeros.get()
        {
            return Ok(made.clone());
        }
        buffer.resize(length as usize, 0);
        source.read_at(buffer, start)?;
        let is_zero = !is_last && is_zero(buffer);
        if is_zero && let Some(made) = zeros.get() {
            return Ok(made.clone());
        }
        let made = work(Chunk { bytes: buffer, is_last })?;
        if is_zero {
            let _ = zeros.set(made.clone());
        }
        Ok(made)
    };
    std::thread::scope(|scope| {
        for _ in 0..cut.workers {
            let (done, one, next, tickets) = (done.clone(), &one, &next, &tickets);
            scope.spawn(move || {
                let mut buffer = Vec::new();
                loop {
                    if tickets.lock().is_ok_and(|tickets| tickets.recv().is_err()) {
                        return;
                    }
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count || done.send((index, one(index, &mut buffer))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        for _ in 0..4 * cut.workers {
            let _ = give.send(());
        }
        let mut early = BTreeMap::new();
        let mut wanted = 0;
        let outcome = loop {
            if wanted == count {
                break Ok(());
            }
            let Ok((index, made)) = results.recv() else {
                break Err(io::Error::other("a worker ended early"));
            };
            early.insert(index, made);
            let mut written = Ok(());
            while let Some(made) = early.remove(&wanted) {
                written = made.and_then(&mut write);
                if written.is_err() {
                    break;
                }
                wanted += 1;
                let _ = give.try_send(());
            }
            if written.is_err() {
                break written;
            }
        };
        // Whoever waits for a ticket, or for room, ends now.
        drop((give, results));
        outcome
    })
}

#[cfg(test)]
mod tests {
    use super::super::source::Raw;
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::AtomicUsize;

    fn sparse() -> (std::fs::File, Vec<u8>) {
        let file = tempfile::tempfile().unwrap();
        let mut bytes = vec![0; 3_000_100];
        for (index, byte) in bytes[1_000_000..1_300_000].iter_mut().enumerate() {
            *byte = (index % 251) as u8;
        }
        bytes[3_000_099] = 9;
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes[1_000_000..1_300_000], 1_000_000).unwrap();
        file.write_all_at(&bytes[3_000_099..], 3_000_099).unwrap();
        (file, bytes)
    }

    #[test]
    fn pieces_come_in_order_whoever_works_on_them() {
        let (file, bytes) = sparse();
        let source = Raw::new(&file).unwrap();
        for workers in [1, 2, 7] {
            let worked = AtomicUsize::new(0);
            let mut out = Vec::new();
            let cut = Cut { size: 4096, workers };
            let copy = |chunk: Chunk| {
                worked.fetch_add(1, Ordering::Relaxed);
                Ok((chunk.bytes.to_vec(), chunk.is_last))
            };
            let mut lasts = 0;
            each_chunk(&source, cut, copy, |(piece, is_last)| {
                out.extend(piece);
                lasts += usize::from(is_last);
                Ok(())
            })
            .unwrap();
            assert!(out == bytes && lasts == 1);
            // 75 with data, the last, and as many zeros as there are workers that begin with them.
            assert!(worked.into_inner() <= 76 + workers, "{workers}");
        }
    }

    #[test]
    fn an_error_ends_it() {
        let (file, _) = sparse();
        let source = Raw::new(&file).unwrap();
        let cut = Cut { size: 4096, workers: 3 };
        let full = each_chunk(&source, cut, |_| Ok(()), |()| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let failed = each_chunk(&source, cut, |_| Err::<(), _>(io::Error::other("no")), |()| Ok(()));
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }

    #[test]
    fn nothing_has_no_pieces() {
        let file = tempfile::tempfile().unwrap();
        let source = Raw::new(&file).unwrap();
        each_chunk(&source, Cut { size: 10, workers: 2 }, |_| Ok(()), |()| panic!("a piece")).unwrap();
    }
}
