//! The name that an image has for the world: SHA-256 of all its bytes, holes included.

use crate::tool::{Context, Failure};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// As `sha256sum` prints it.
pub fn sha256(path: &Path) -> Result<String, Failure> {
    let context = || format!("could not read `{}`", path.display());
    let mut file = File::open(path).context(context)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).context(context)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_sha256sum_says() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "abc").unwrap();
        // Source: FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256(&folder.path().join("a")).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
