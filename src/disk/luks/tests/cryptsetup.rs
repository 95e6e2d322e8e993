//! Volumes written here and read by cryptsetup, and vice versa. cryptsetup does not need root privileges for files.

use super::{PASSPHRASE, SECTOR_SIZES, image, quick, volume};
use crate::disk::luks::{Argon2Cost, Hash, KeyDerivation, Luks, Parameters, UnlockError};
use crate::disk::source::Window;
use crate::plan::layout::SectorSize;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Output;
use tempfile::NamedTempFile;

fn run(arguments: &[&str], image: &Path) -> Output {
    crate::disk::judge("cryptsetup").args(arguments).arg(image).env("LC_ALL", "C").output().unwrap()
}

fn succeed(arguments: &[&str], image: &Path) -> String {
    let output = run(arguments, image);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cryptsetup {arguments:?}: {messages}");
    String::from_utf8(output.stdout).unwrap()
}

fn key_file(passphrase: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(passphrase).unwrap();
    file
}

fn text(path: &NamedTempFile) -> &str {
    path.path().to_str().unwrap()
}

fn with_luks<T>(image: &Path, use_it: impl FnOnce(&Luks) -> T) -> T {
    let file = File::open(image).unwrap();
    let window = Window { file: &file, offset: 0, size: file.metadata().unwrap().len() };
    use_it(&Luks::open(&window).unwrap_or_else(|error| panic!("{error}")))
}

const COSTS: [KeyDerivation; 4] = [
    KeyDerivation::Argon2id(Argon2Cost { time: 4, memory_kib: 65_536, lanes: 4 }),
    KeyDerivation::Argon2i(Argon2Cost { time: 4, memory_kib: 32, lanes: 1 }),
    KeyDerivation::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 },
    KeyDerivation::Pbkdf2 { hash: Hash::Sha512, iterations: 1234 },
];

#[test]
fn cryptsetup_opens_it_with_the_right_passphrase_only() {
    let (right, wrong) = (key_file(PASSPHRASE), key_file(b"wrong"));
    for key_derivation in COSTS {
        for sector_size in SECTOR_SIZES {
            let image = image(&Parameters { key_derivation, sector_size, ..quick() });
            let open = |key| run(&["open", "--test-passphrase", "--key-file", text(key)], image.path());
            assert!(open(&right).status.success(), "{key_derivation:?}");
            assert_eq!(open(&wrong).status.code(), Some(2), "no key available with this passphrase");
        }
    }
}

#[test]
fn cryptsetup_finds_the_same_volume_key() {
    let image = image(&quick());
    let key = key_file(PASSPHRASE);
    let dump =
        succeed(&["luksDump", "--batch-mode", "--dump-volume-key", "--key-file", text(&key)], image.path());
    let (_, digits) = dump.split_once("MK dump:").unwrap();
    let found: String = digits.split_whitespace().collect();
    let expected: String = volume(&quick()).key.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn cryptsetup_shows_the_parameters_and_repairs_nothing() {
    let image = image(&Parameters { sector_size: SectorSize::B4096, ..quick() });
    let dump = succeed(&["luksDump"], image.path());
    let dump: Vec<String> = dump.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        "Version:2",
        "UUID:9d2f0a51-7f6c-4d3b-a1e0-5c8f2b9473d6",
        "Label:root-crypt",
        "offset:16777216[bytes]",
        "sector:4096[bytes]",
        "cipher:aes-xts-plain64",
        "Iterations:1000",
    ] {
        assert!(dump.iter().any(|found| found == line), "{line} is not in {dump:#?}");
    }
    let before = std::fs::read(image.path()).unwrap();
    succeed(&["repair", "--batch-mode"], image.path());
    assert!(std::fs::read(image.path()).unwrap() == before);
}

/// The JSON text, with values that are random or depend on the host's speed replaced.
fn shape(image: &Path) -> Value {
    let bytes = std::fs::read(image).unwrap();
    let text = bytes[4096..16_384].split(|byte| *byte == 0).next().unwrap();
    let mut json: Value = serde_json::from_slice(text).unwrap();
    for pointer in ["/keyslots/0/kdf/salt", "/digests/0/salt", "/digests/0/digest"] {
        *json.pointer_mut(pointer).unwrap() = "random".into();
    }
    json
}

#[test]
fn the_json_equals_that_of_cryptsetup() {
    let key = key_file(PASSPHRASE);
    for (sector_size, number) in SECTOR_SIZES.into_iter().zip(["512", "4096"]) {
        for (derivation, cost) in [
            (KeyDerivation::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 }, &["--pbkdf=pbkdf2"][..]),
            (
                KeyDerivation::Argon2id(Argon2Cost { time: 1000, memory_kib: 32, lanes: 1 }),
                &["--pbkdf=argon2id", "--pbkdf-memory=32", "--pbkdf-parallel=1"],
            ),
        ] {
            let theirs = NamedTempFile::new().unwrap();
            theirs.as_file().set_len(17 << 20).unwrap();
            let fixed = [
                "luksFormat",
                "--batch-mode",
                "--type=luks2",
                "--pbkdf-force-iterations=1000",
                "--sector-size",
                number,
                "--key-file",
                text(&key),
            ];
            succeed(&[&fixed, cost].concat(), theirs.path());
            let ours = image(&Parameters { key_derivation: derivation, sector_size, ..quick() });
            assert_eq!(shape(ours.path()), shape(theirs.path()));
        }
    }
}

#[test]
fn a_passphrase_added_by_cryptsetup_opens_the_volume() {
    let image = image(&quick());
    let (first, second) = (key_file(PASSPHRASE), key_file(b"second"));
    let cost = ["--pbkdf-memory=1024", "--pbkdf-force-iterations=4"];
    let add = ["luksAddKey", "--batch-mode", "--key-file", text(&first)];
    let output = crate::disk::judge("cryptsetup")
        .args(add)
        .args(cost)
        .args([image.path(), second.path()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    with_luks(image.path(), |luks| {
        assert_eq!(luks.keyslots().len(), 2);
        assert_eq!(luks.unlock(PASSPHRASE).unwrap().bytes(), volume(&quick()).key.bytes());
        assert_eq!(luks.unlock(b"second").unwrap().bytes(), volume(&quick()).key.bytes());
        assert!(matches!(luks.unlock(b"third"), Err(UnlockError::Passphrase)));
    });
}

#[test]
fn volumes_made_by_cryptsetup_are_read() {
    let key = key_file(PASSPHRASE);
    for options in [
        &["--pbkdf=argon2id", "--pbkdf-memory=1024", "--pbkdf-force-iterations=4"][..],
        &["--pbkdf=argon2i", "--pbkdf-memory=64", "--pbkdf-force-iterations=4", "--key-size=256"],
        &["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--hash=sha512", "--luks2-metadata-size=64k"],
        &["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--sector-size=4096", "--label=theirs"],
    ] {
        let image = NamedTempFile::new().unwrap();
        image.as_file().set_len(20 << 20).unwrap();
        let fixed = ["luksFormat", "--batch-mode", "--type=luks2", "--key-file", text(&key)];
        succeed(&[&fixed, options].concat(), image.path());
        let uuid = succeed(&["luksUUID"], image.path());
        with_luks(image.path(), |luks| {
            assert_eq!(luks.uuid().to_string(), uuid.trim());
            luks.plain(&luks.unlock(PASSPHRASE).unwrap()).unwrap();
            assert!(matches!(luks.unlock(b"wrong"), Err(UnlockError::Passphrase)));
        });
    }
}

/// cryptsetup re-encrypts the data with its own key, so it must have decrypted it correctly. It also rejects a keyslot
/// with costs that it would not write itself.
#[test]
fn cryptsetup_re_encryption_preserves_the_data() {
    use crate::disk::source::Source;
    let key = key_file(PASSPHRASE);
    for sector_size in SECTOR_SIZES {
        let key_derivation = KeyDerivation::Argon2id(Argon2Cost { time: 4, memory_kib: 64, lanes: 1 });
        let image = image(&Parameters { sector_size, key_derivation, ..quick() });
        let cost = ["--pbkdf-memory=64", "--pbkdf-force-iterations=4"];
        // The image is not shared, and an unprivileged user may not be able to create /run/cryptsetup.
        let reencrypt = ["reencrypt", "--batch-mode", "--disable-locks", "--force-offline-reencrypt"];
        succeed(&[&reencrypt[..], &["--key-file", text(&key)], &cost].concat(), image.path());
        with_luks(image.path(), |luks| {
            let found = luks.unlock(PASSPHRASE).unwrap();
            assert_ne!(found.bytes(), volume(&quick()).key.bytes());
            let mut bytes = vec![0; super::DATA_SIZE as usize];
            luks.plain(&found).unwrap().read_at(&mut bytes, 0).unwrap();
            assert!(bytes == super::plain_bytes());
        });
    }
}
