//! Volumes can be read back and depend on the arguments only; invalid arguments are rejected.

use super::{DATA_SIZE, PASSPHRASE, SECTOR_SIZES, contents, image, plain_bytes, quick, volume};
use crate::disk::luks::{
    Argon2Cost, Hash, KeyDerivation, Luks, LuksError, Parameters, UnlockError, format, seeded,
};
use crate::disk::source::Source;
use uuid::Uuid;

const DERIVATIONS: [KeyDerivation; 4] = [
    KeyDerivation::Argon2id(Argon2Cost { time: 4, memory_kib: 64, lanes: 4 }),
    KeyDerivation::Argon2i(Argon2Cost { time: 5, memory_kib: 32, lanes: 1 }),
    KeyDerivation::Pbkdf2 { hash: Hash::Sha256, iterations: 1000 },
    KeyDerivation::Pbkdf2 { hash: Hash::Sha512, iterations: 1001 },
];

#[test]
fn parameters_are_read_back() {
    for key_derivation in DERIVATIONS {
        for sector_size in SECTOR_SIZES {
            let parameters = Parameters { key_derivation, sector_size, ..quick() };
            let bytes = contents(image(&parameters).as_file());
            let source = &bytes[..];
            let luks = Luks::open(&source).unwrap();
            assert_eq!((luks.uuid(), luks.label()), (parameters.uuid, Some("root-crypt")));
            assert_eq!(luks.segment().sector_size, sector_size);
            assert_eq!(luks.keyslots()[0].derivation, key_derivation);
            let key = luks.unlock(PASSPHRASE).unwrap();
            assert_eq!(key.bytes(), volume(&parameters).key.bytes());
            let mut found = vec![0; DATA_SIZE as usize];
            luks.plain(&key).unwrap().read_at(&mut found, 0).unwrap();
            assert!(found == plain_bytes());
        }
    }
}

#[test]
fn any_part_of_the_data_can_be_read() {
    let expected = plain_bytes();
    for sector_size in SECTOR_SIZES {
        let bytes = contents(image(&Parameters { sector_size, ..quick() }).as_file());
        let source = &bytes[..];
        let luks = Luks::open(&source).unwrap();
        let plain = luks.plain(&luks.unlock(PASSPHRASE).unwrap()).unwrap();
        assert_eq!(plain.size(), DATA_SIZE);
        for start in [0, 1, 511, 512, 513, 4095, 4096, 5000, 65_535] {
            for length in [0, 1, 511, 512, 4096, 9000, 12_288] {
                let end = (start + length).min(expected.len());
                let mut found = vec![0; end - start];
                plain.read_at(&mut found, start as u64).unwrap();
                assert!(found == expected[start..end], "{start}..{end}");
            }
        }
        for (at, length) in [(DATA_SIZE, 1), (DATA_SIZE - 1, 2), (u64::MAX, 2), (DATA_SIZE + 1, 0)] {
            assert!(plain.read_at(&mut vec![0; length], at).is_err(), "{at}, {length}");
        }
    }
}

#[test]
fn a_wrong_passphrase_is_rejected() {
    let bytes = contents(image(&quick()).as_file());
    let source = &bytes[..];
    let luks = Luks::open(&source).unwrap();
    for wrong in [&b"correct horsf"[..], b"correct horse\n", b""] {
        assert!(matches!(luks.unlock(wrong), Err(UnlockError::Passphrase)));
    }
}

#[test]
fn output_depends_on_the_seed_only() {
    let make = |seed: &[u8]| format(&quick(), PASSPHRASE, &mut seeded(seed)).unwrap();
    let (first, again, other) = (make(b"1"), make(b"1"), make(b"2"));
    assert!(first.header == again.header);
    assert_eq!(first.key.bytes(), again.key.bytes());
    assert_ne!(first.key.bytes(), other.key.bytes());
    assert!(first.header != other.header);
}

/// Images of a seed must be reproducible with later versions of this program.
#[test]
fn the_stream_of_a_seed_is_stable() {
    let mut bytes = [0; 8];
    let mut stream = seeded(b"ister");
    stream(&mut bytes[..3]);
    stream(&mut bytes[3..]);
    let mut at_once = [0; 8];
    seeded(b"ister")(&mut at_once);
    assert_eq!(bytes, at_once);
    // Source: the Python package blake3 with the same context.
    assert_eq!(u64::from_be_bytes(bytes), 7_453_843_031_357_461_210);
}

#[test]
fn keys_are_not_printed() {
    let volume = volume(&quick());
    assert_eq!(format!("{:?}", volume.key), "VolumeKey(512 bits, not shown)");
}

#[test]
fn parameters_that_cryptsetup_rejects_are_rejected() {
    let refused = |parameters: Parameters| format(&parameters, PASSPHRASE, &mut seeded(b"x")).unwrap_err();
    for label in [String::new(), "x".repeat(48), "a\0b".into()] {
        let error = refused(Parameters { label: Some(label), ..quick() });
        assert!(matches!(error, LuksError::Label { .. }), "{error}");
    }
    for (time, memory_kib, lanes) in
        [(3, 65_536, 4), (4, 31, 1), (4, 65_536, 5), (4, 65_536, 0), (13, 1 << 20, 4), (4, 2 << 20, 4)]
    {
        let key_derivation = KeyDerivation::Argon2id(Argon2Cost { time, memory_kib, lanes });
        let error = refused(Parameters { key_derivation, ..quick() });
        assert!(matches!(error, LuksError::Cost { .. }), "{error}");
    }
    let key_derivation = KeyDerivation::Pbkdf2 { hash: Hash::Sha256, iterations: 999 };
    assert_eq!(
        refused(Parameters { key_derivation, ..quick() }).to_string(),
        "pbkdf2 number of iterations is 999, expected 1000 to 33554432"
    );
    let empty = format(&quick(), b"", &mut seeded(b"x")).unwrap_err();
    assert_eq!(empty, LuksError::EmptyPassphrase);
}

#[test]
fn labels_of_0_and_47_bytes_round_trip() {
    let longest = "ä".repeat(23) + "x";
    for label in [Some(longest), None] {
        let bytes = contents(image(&Parameters { label: label.clone(), ..quick() }).as_file());
        let source = &bytes[..];
        assert_eq!(Luks::open(&source).unwrap().label(), label.as_deref());
    }
}

#[test]
fn the_default_is_the_documented_one() {
    let expected = KeyDerivation::Argon2id(Argon2Cost { time: 4, memory_kib: 64 << 10, lanes: 4 });
    assert_eq!(Parameters::new(Uuid::nil()).key_derivation, expected);
    assert_eq!(expected.check_new(), Ok(()));
}
