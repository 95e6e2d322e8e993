//! Processes a large source in pieces on all cores and returns the results in order.

use super::source::Source;
use crate::disk::is_zero;
use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

/// A piece of the source.
pub(super) struct Chunk<'b> {
    pub bytes: &'b [u8],
    pub is_last: bool,
}

/// Size of the pieces and number of worker threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Size in bytes of all pieces except the last.
    pub size: usize,
    pub workers: usize,
}

impl Cut {
    /// Uses one worker per core, but at most `most`, because each may need much memory.
    pub(super) fn new(size: usize, most: usize) -> Cut {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Cut { size, workers: cores.min(most) }
    }
}

/// Passes each piece of the source to `work` and the results to `write`, in order. The output does not depend on the
/// number of workers. Most pieces of an image contain only zeros; the result for such a piece is computed once and
/// reused.
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
    // A worker needs a ticket to take the next piece, which limits how far workers get ahead of the writer.
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
                break Err(io::Error::other("a worker thread exited early"));
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
        // Closing the channels ends all workers that wait for a ticket or for space in the queue.
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
    fn pieces_are_in_order_for_any_number_of_workers() {
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
            // 75 pieces with data, the last piece, and at most one piece of zeros for each worker.
            assert!(worked.into_inner() <= 76 + workers, "{workers}");
        }
    }

    #[test]
    fn errors_stop_the_workers() {
        let (file, _) = sparse();
        let source = Raw::new(&file).unwrap();
        let cut = Cut { size: 4096, workers: 3 };
        let full = each_chunk(&source, cut, |_| Ok(()), |()| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let failed = each_chunk(&source, cut, |_| Err::<(), _>(io::Error::other("no")), |()| Ok(()));
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }

    #[test]
    fn empty_source_has_no_pieces() {
        let file = tempfile::tempfile().unwrap();
        let source = Raw::new(&file).unwrap();
        each_chunk(&source, Cut { size: 10, workers: 2 }, |_| Ok(()), |()| panic!("a piece")).unwrap();
    }
}
