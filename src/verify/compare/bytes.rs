//! Finds the blocks in which two byte sources differ.

use crate::disk::{Source, first_difference};
use std::ops::Range;

/// Block size for the comparison, in bytes.
pub(super) const BLOCK: u64 = 4096;
/// Number of bytes per read.
const CHUNK: usize = 1 << 20;

/// Returns at most `most` differing blocks, and the number of all differing blocks. If the sizes differ, the excess is
/// not compared.
pub fn differing(a: &dyn Source, b: &dyn Source, most: usize) -> std::io::Result<(Vec<Differs>, u64)> {
    let size = a.size().min(b.size());
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut found = Vec::new();
    let mut blocks = 0;
    let mut at = 0;
    loop {
        // Ranges that are a hole on both sides are skipped. Blocks stay aligned.
        let next = a.next_data(at).min(b.next_data(at));
        at = at.max(next - next % BLOCK);
        if at >= size {
            break;
        }
        let count = CHUNK.min((size - at) as usize);
        let (left, right) = (&mut left[..count], &mut right[..count]);
        a.read_at(left, at)?;
        b.read_at(right, at)?;
        if left != right {
            for (index, (one, other)) in
                left.chunks(BLOCK as usize).zip(right.chunks(BLOCK as usize)).enumerate()
            {
                let Some(first) = first_difference(one, other) else { continue };
                blocks += 1;
                if found.len() < most {
                    let start = at + index as u64 * BLOCK;
                    found.push(Differs {
                        at: start + first as u64,
                        bytes: one.iter().zip(other).filter(|(x, y)| x != y).count() as u64,
                        block: start..start + one.len() as u64,
                    });
                }
            }
        }
        at += count as u64;
    }
    Ok((found, blocks))
}

/// A block that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The first differing byte.
    pub at: u64,
    pub bytes: u64,
    pub block: Range<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_holes_are_skipped() {
        use crate::disk::Window;
        use std::os::unix::fs::FileExt;
        let file = |at: u64| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(64 << 20).unwrap();
            file.write_all_at(b"x", at).unwrap();
            file
        };
        let (left, right) = (file(40 << 20), file((40 << 20) + 5000));
        let window = |file| Window { file, offset: 1 << 20, size: 60 << 20 };
        let (found, blocks) = differing(&window(&left), &window(&right), 10).unwrap();
        let places: Vec<u64> = found.iter().map(|differs| differs.at).collect();
        assert_eq!((places, blocks), (vec![39 << 20, (39 << 20) + 5000], 2));
        assert_eq!(differing(&window(&left), &window(&left), 10).unwrap().1, 0);
    }

    #[test]
    fn differing_blocks_have_their_first_byte() {
        let a = vec![0; 3 << 20];
        let mut b = a.clone();
        b[5] = 1;
        b[7] = 1;
        b[2 << 20] = 1;
        let (found, blocks) = differing(&a.as_slice(), &b.as_slice(), 10).unwrap();
        assert_eq!(blocks, 2);
        assert_eq!(found[0], Differs { at: 5, bytes: 2, block: 0..4096 });
        assert_eq!(found[1].at, 2 << 20);
        assert_eq!(differing(&a.as_slice(), &b.as_slice(), 1).unwrap().0.len(), 1);
    }
}
