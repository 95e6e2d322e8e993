//! Hashes of image files, holes included.

use super::extents;
use crate::host::{Context, Failure};
use sha2::{Digest, Sha256, Sha512};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Returns the SHA-256 of a file as `sha256sum` prints it.
pub fn sha256(path: &Path) -> Result<String, Failure> {
    digest::<Sha256>(path)
}

/// Returns the SHA-512 of a file as `sha512sum` prints it.
pub fn sha512(path: &Path) -> Result<String, Failure> {
    digest::<Sha512>(path)
}

/// Computes both hashes of an open file in one pass. Errors refer to it as `path`.
pub fn sha256_and_sha512(file: &File, path: &Path) -> Result<(String, String), Failure> {
    let (mut short, mut long) = (Sha256::new(), Sha512::new());
    walk(file, path, &mut |bytes| {
        short.update(bytes);
        long.update(bytes);
    })?;
    Ok((hexadecimal::<Sha256>(short), hexadecimal::<Sha512>(long)))
}

/// Returns the SHA-256 of everything that a reader returns.
pub fn sha256_of(from: &mut impl std::io::Read) -> std::io::Result<String> {
    struct Into(Sha256);
    impl std::io::Write for Into {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut hasher = Into(Sha256::new());
    std::io::copy(from, &mut hasher)?;
    Ok(hexadecimal::<Sha256>(hasher.0))
}

fn digest<D: Digest>(path: &Path) -> Result<String, Failure> {
    let file = File::open(path).context(|| format!("could not read `{}`", path.display()))?;
    let mut hasher = D::new();
    walk(&file, path, &mut |bytes| hasher.update(bytes))?;
    Ok(hexadecimal::<D>(hasher))
}

fn hexadecimal<D: Digest>(hasher: D) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Passes all bytes of a file to `update`. Holes are passed as zeros without reading them, because the kernel reads
/// them slowly.
fn walk(file: &File, path: &Path, update: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
    let context = || format!("could not read `{}`", path.display());
    let size = file.metadata().context(context)?.len();
    let mut buffer = vec![0; 1 << 20];
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    let end = std::iter::once(size..size);
    for range in extents::data(file).context(context)?.into_iter().chain(end) {
        while at < range.start {
            let count = zeros.len().min((range.start - at) as usize);
            update(&zeros[..count]);
            at += count as u64;
        }
        while at < range.end {
            let count = buffer.len().min((range.end - at) as usize);
            file.read_exact_at(&mut buffer[..count], at).context(context)?;
            update(&buffer[..count]);
            at += count as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_sha256sum() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "abc").unwrap();
        // Source: FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256(&directory.path().join("a")).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        // 3 MiB of zeros, an "x", 2 MiB of zeros: as sha256sum of coreutils 9.1 printed it.
        let path = directory.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len((5 << 20) + 1).unwrap();
        file.write_all_at(b"x", 3 << 20).unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "71fc7233fb0ca4ff2b5df07c75122673812d1277fdc5b8fdf1da2e1a669f6586"
        );
    }
}
