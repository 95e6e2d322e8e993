//! Limits for files that are unpacked: a small file may claim to contain more than any disk holds, or names that take
//! more than the memory of the host.

use super::unreadable::Unreadable;
use crate::host::{Context, Failure};
use crate::template::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Largest disk in an archive or a compressed file, in bytes.
pub(super) const LARGEST: u64 = 1 << 40;
/// Largest name or set of attributes of an archive member, in bytes.
const LONGEST_NAME: u64 = 1 << 20;
/// Free space that is left on the filesystem of temporary files, in bytes.
const RESERVE: u64 = 256 << 20;

pub(super) fn too_large() -> Failure {
    Failure::new(format!("it is larger than {} when unpacked", Bytes(LARGEST)))
}

/// Checks that `more` bytes can be written to a filesystem without filling it.
pub(super) fn check_space(file: &File, more: u64) -> Result<(), Failure> {
    let context = || "could not read the free space for temporary files".to_owned();
    let space = rustix::fs::fstatvfs(file).map_err(std::io::Error::from).context(context)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free >= more.saturating_add(RESERVE) {
        return Ok(());
    }
    Err(Failure::new(format!("unpacking needs {} more, but only {} are free", Bytes(more), Bytes(free)))
        .help("set TMPDIR to a directory with more space"))
}

/// Checks the headers of a tar before a reader allocates memory for them. Sources: POSIX.1, pax, "ustar Interchange
/// Format" and "pax Header Block"; GNU tar, "Basic Tar Format".
pub(super) fn check_headers(file: &File, size: u64) -> Result<(), Unreadable> {
    const BLOCK: u64 = 512;
    let damaged = |why: String| Unreadable::Damaged(Failure::new(why));
    let mut at = 0;
    let mut next_size = None;
    while at + BLOCK <= size {
        let mut header = [0; BLOCK as usize];
        file.read_exact_at(&mut header, at).context(|| "could not read the archive".to_owned())?;
        if header[257..262] != *b"ustar" {
            break;
        }
        let Some(own) = number(&header[124..136]) else { break };
        let kind = header[156];
        let length = match kind {
            b'L' | b'K' | b'x' | b'g' => own,
            _ => next_size.take().unwrap_or(own),
        };
        at += BLOCK;
        match kind {
            b'L' | b'K' | b'x' | b'g' if length > LONGEST_NAME => {
                return Err(damaged(format!(
                    "the archive has a name or attributes of {length} bytes; at most {LONGEST_NAME} are supported"
                )));
            }
            b'x' => {
                let mut text = vec![0; length as usize];
                if file.read_exact_at(&mut text, at).is_ok() {
                    next_size = pax_size(&text);
                }
            }
            b'S' => {
                if number(&header[483..495]).is_none_or(|real| real > LARGEST) {
                    return Err(Unreadable::Damaged(too_large()));
                }
                // Further blocks of the map follow the header.
                let mut goes_on = header[482] != 0;
                while goes_on && at + BLOCK <= size {
                    file.read_exact_at(&mut header, at)
                        .context(|| "could not read the archive".to_owned())?;
                    goes_on = header[504] != 0;
                    at += BLOCK;
                }
            }
            _ => {}
        }
        // Members without data may have a size.
        let has_data = !matches!(kind, b'1'..=b'6');
        let padded = length.checked_next_multiple_of(BLOCK).filter(|_| has_data).unwrap_or(0);
        match at.checked_add(padded) {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(())
}

/// A number in octal digits, or in base 256 if the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let is_small = high.iter().skip(1).all(|byte| *byte == 0) && high[0] == 0x80;
        return is_small.then(|| low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The record `size` of a pax header: "LENGTH size=NUMBER\n".
fn pax_size(text: &[u8]) -> Option<u64> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(" size=")?.1.parse().ok()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn header(kind: u8, size: &str) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[124..124 + size.len()].copy_from_slice(size.as_bytes());
        header[156] = kind;
        header[257..262].copy_from_slice(b"ustar");
        header
    }

    fn check(parts: &[Vec<u8>]) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&parts.concat()).unwrap();
        let size = file.metadata().unwrap().len();
        check_headers(&file, size).map_err(|why| why.failure().message)
    }

    #[test]
    fn hostile_headers_are_rejected() {
        let long = check(&[header(b'0', "0"), header(b'L', "100000000000")]).unwrap_err();
        assert!(long.contains("8589934592 bytes"), "{long}");
        let mut sparse = header(b'S', "1000");
        sparse[483..495].copy_from_slice(&[0x80, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]);
        assert!(check(&[sparse]).unwrap_err().contains("larger than 1 TiB"));
        // The size in a pax header replaces the one in the next header.
        let mut pax = b"14 size=1024\n".to_vec();
        pax.resize(512, 0);
        let data = vec![b'x'; 1024];
        let parts = [header(b'x', "15"), pax, header(b'0', "0"), data, header(b'L', "77777777")];
        assert!(check(&parts).is_err());
        assert_eq!(check(&[header(b'0', "2"), vec![0; 512], header(b'5', "0"), vec![0; 1024]]), Ok(()));
        assert_eq!(check(&[header(b'0', "77777777777")]), Ok(()));
    }

    #[test]
    fn full_filesystem_is_noticed_before() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(check_space(&file, 0), Ok(()));
        assert!(check_space(&file, u64::MAX / 2).unwrap_err().message.contains("are free"));
    }
}
