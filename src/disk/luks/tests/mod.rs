//! Volumes that are written and read back, damaged, and checked with cryptsetup.

mod cryptsetup;
mod damage;
mod round_trip;

use super::{DATA_OFFSET, Hash, KeyDerivation, Parameters, Volume, encrypt, format, seeded};
use crate::plan::layout::SectorSize;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

const PASSPHRASE: &[u8] = b"correct horse";

/// Data size of test volumes in bytes.
const DATA_SIZE: u64 = 64 << 10;

/// Cheap parameters: these tests are not about resistance to guessing.
fn quick() -> Parameters {
    let key_derivation = KeyDerivation::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 };
    let uuid = Uuid::from_u128(0x9d2f_0a51_7f6c_4d3b_a1e0_5c8f_2b94_73d6);
    Parameters { label: Some("root-crypt".into()), key_derivation, ..Parameters::new(uuid) }
}

fn volume(parameters: &Parameters) -> Volume {
    format(parameters, PASSPHRASE, &mut seeded(b"test")).unwrap()
}

/// The data of the test volumes; no two sectors are equal.
fn plain_bytes() -> Vec<u8> {
    (0..DATA_SIZE as u32 / 4).flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect()
}

/// A whole volume in a sparse file.
fn image(parameters: &Parameters) -> tempfile::NamedTempFile {
    let volume = volume(parameters);
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(DATA_OFFSET + DATA_SIZE).unwrap();
    image.as_file().write_all_at(&volume.header, 0).unwrap();
    let from = tempfile::tempfile().unwrap();
    from.write_all_at(&plain_bytes(), 0).unwrap();
    let whole = [Range { start: 0, end: DATA_SIZE }];
    let size = parameters.sector_size;
    encrypt(&from, image.as_file(), DATA_OFFSET, &whole, &volume.key, size).unwrap();
    image
}

fn contents(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

const SECTOR_SIZES: [SectorSize; 2] = [SectorSize::B512, SectorSize::B4096];
