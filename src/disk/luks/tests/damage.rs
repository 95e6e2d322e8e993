//! Damaged headers.

use super::{PASSPHRASE, contents, image, quick, seeded};
use crate::disk::luks::{Luks, UnlockError};
use crate::disk::source::ReadError;
use sha2::{Digest, Sha256};

const HEADER: usize = 16_384;

fn bytes() -> Vec<u8> {
    contents(image(&quick()).as_file())
}

/// The error of opening the bytes.
fn open_error(bytes: &[u8]) -> String {
    match Luks::open(&bytes) {
        Ok(_) => "it opened".into(),
        Err(error) => error.to_string(),
    }
}

/// Updates the checksum of a header.
fn seal(bytes: &mut [u8], header: usize) {
    let header = &mut bytes[header..header + HEADER];
    header[448..512].fill(0);
    let checksum = Sha256::digest(&*header);
    header[448..480].copy_from_slice(&checksum);
}

/// Replaces a part of the JSON text in both headers and updates the checksums.
fn with_json(from: &str, to: &str) -> Vec<u8> {
    with_text(|text| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

/// Changes the JSON text in both headers and updates the checksums.
fn with_text(change: impl Fn(&str) -> String) -> Vec<u8> {
    let mut bytes = bytes();
    for header in [0, HEADER] {
        let area = header + 4096..header + HEADER;
        let text = String::from_utf8(bytes[area.clone()].to_vec()).unwrap();
        let text = change(text.trim_end_matches('\0'));
        bytes[area.clone()].fill(0);
        bytes[area][..text.len()].copy_from_slice(text.as_bytes());
        seal(&mut bytes, header);
    }
    bytes
}

#[test]
fn other_keyslots_are_tried_after_an_error() {
    let bytes = with_text(|text| {
        let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut odd = json["keyslots"]["0"].clone();
        odd["area"]["encryption"] = "serpent-xts-plain64".into();
        json["keyslots"]["1"] = json["keyslots"]["0"].clone();
        json["keyslots"]["0"] = odd;
        json["digests"]["0"]["keyslots"] = serde_json::json!(["0", "1"]);
        json.to_string()
    });
    let source = &bytes[..];
    let luks = Luks::open(&source).unwrap();
    assert!(luks.unlock(PASSPHRASE).is_ok());
    let wrong = luks.unlock(b"wrong").map(|_| ());
    assert!(matches!(wrong, Err(UnlockError::Read(ReadError::Unsupported(_)))), "{wrong:?}");
}

#[test]
fn damage_in_any_header_field_is_located() {
    // Position of the damage, expected message, and its reported position. Fields without a check of their own are
    // covered by the checksum.
    let fields: &[(usize, &str, usize)] = &[
        (0, "the magic is", 0),
        (5, "the magic is", 0),
        (6, "the version is", 6),
        (10, "the header's size is", 8),
        (20, "the checksum is", 448),
        (24, "the checksum is", 448),
        (72, "the checksum algorithm is", 72),
        (104, "the checksum is", 448),
        (170, "the checksum is", 448),
        (208, "the checksum is", 448),
        (260, "the header's offset is", 256),
        (300, "the checksum is", 448),
        (448, "the checksum is", 448),
        (511, "the checksum is", 448),
        (512, "the checksum is", 448),
        (4095, "the checksum is", 448),
        (4096, "the checksum is", 448),
        (5000, "the checksum is", 448),
        (16_383, "the checksum is", 448),
    ];
    let mut bytes = bytes();
    for (header, name) in [(0, "primary"), (HEADER, "secondary")] {
        for (at, problem, field) in fields {
            bytes[header + at] ^= 0x20;
            let open_error = open_error(&bytes);
            let place = format!("{name} LUKS2 header at byte {} of", header + field);
            assert!(open_error.starts_with(&place) && open_error.contains(problem), "{at}: {open_error}");
            bytes[header + at] ^= 0x20;
        }
    }
    assert_eq!(open_error(&bytes), "it opened");
}

#[test]
fn different_headers_are_rejected() {
    for (at, field) in [(23, "sequence number"), (24, "label"), (208, "subsystem"), (169, "UUID")] {
        let mut bytes = bytes();
        bytes[HEADER + at] = b'1';
        seal(&mut bytes, HEADER);
        let open_error = open_error(&bytes);
        assert!(open_error.contains(&format!("the {field} differs")), "{open_error}");
    }
    let mut bytes = bytes();
    bytes[HEADER + 4096] = b' ';
    seal(&mut bytes, HEADER);
    assert!(open_error(&bytes).contains("the JSON text differs"));
}

#[test]
fn json_errors_contain_the_path() {
    for (from, to, expected) in [
        ("\"key_size\":64,\"af\"", "\"af\"", "`keyslots.0.key_size` of the LUKS2 JSON area at byte 4096"),
        ("\"stripes\":4000", "\"stripes\":4001", "`keyslots.0.af.stripes`"),
        ("\"offset\":\"32768\"", "\"offset\":\"16384\"", "`keyslots.0.area`"),
        ("\"size\":\"258048\"", "\"size\":\"18446744073709551615\"", "`keyslots.0.area`"),
        ("\"size\":\"258048\"", "\"size\":\"4096\"", "`keyslots.0.area`"),
        ("\"size\":\"258048\"", "\"size\":258048", "`keyslots.0.area.size`"),
        ("\"iterations\":1000", "\"iterations\":4294967295", "`keyslots.0.kdf`"),
        ("\"iterations\":1000", "\"iterations\":0", "`keyslots.0.kdf`"),
        ("\"salt\":\"", "\"salt\":\"?", "`keyslots.0.kdf.salt`"),
        ("\"dynamic\"", "\"513\"", "`segments.0.size`"),
        ("\"dynamic\"", "\"18446744073709551104\"", "`segments.0.size`"),
        ("\"dynamic\"", "\"1073741824\"", "LUKS2 data segment"),
        ("\"sector_size\":512", "\"sector_size\":513", "`segments.0.sector_size`"),
        ("\"offset\":\"16777216\"", "\"offset\":\"4096\"", "`segments.0.offset`"),
        ("\"offset\":\"16777216\"", "\"offset\":\"1677721600\"", "LUKS2 data segment"),
        ("\"json_size\":\"12288\"", "\"json_size\":\"12289\"", "`config.json_size`"),
        ("\"keyslots\":{\"0\"", "\"keyslots\":{\"x\"", "`keyslots.x`"),
        ("\"keyslots\":[\"0\"]", "\"keyslots\":\"0\"", "`digests.0.keyslots`"),
        ("\"digest\":\"", "\"digest\":\"\",\"x\":\"", "`digests.0.digest`"),
        ("{\"keyslots\"", "{{\"keyslots\"", "LUKS2 JSON area"),
    ] {
        let open_error = open_error(&with_json(from, to));
        assert!(open_error.starts_with(expected), "{to}: {open_error}");
    }
}

#[test]
fn unknown_features_are_unsupported_rather_than_damaged() {
    for (from, to) in [
        ("\"type\":\"crypt\"", "\"type\":\"linear\""),
        ("\"type\":\"pbkdf2\"", "\"type\":\"scrypt\""),
        ("\"hash\":\"sha256\"", "\"hash\":\"whirlpool\""),
        ("\"sector_size\":512", "\"sector_size\":2048"),
        ("\"sector_size\":512", "\"sector_size\":512,\"integrity\":{}"),
        ("\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},"),
        ("\"segments\":{", "\"segments\":{\"1\":{},"),
    ] {
        let bytes = with_json(from, to);
        let result = Luks::open(&&bytes[..]).map(|_| ());
        assert!(matches!(result, Err(ReadError::Unsupported(_))), "{to}: {result:?}");
    }
    let bytes = with_json("plain64\",\"key_size\":64}", "plain\",\"key_size\":64}");
    let source = &bytes[..];
    let result = Luks::open(&source).unwrap().unlock(PASSPHRASE);
    assert!(matches!(result, Err(UnlockError::Read(ReadError::Unsupported(_)))), "{result:?}");
}

#[test]
fn a_partition_too_short_for_its_data_is_an_error() {
    let bytes = bytes();
    let data = 16 << 20;
    for length in [0, 1, 4095, 4096, 16_384, 32_767, 32_768, data - 1, data, data + 1, data + 512, data + 513]
    {
        assert_eq!(Luks::open(&&bytes[..length]).is_ok(), length == data + 512, "{length}");
    }
}

/// Flips bytes and updates the checksums, so that the damage reaches the code after the checksum test. Opening must
/// fail, or return a key of 32 or 64 bytes, or no key.
#[test]
fn random_damage_does_not_panic() {
    let whole = bytes();
    let mut random = seeded(b"damage");
    let mut below = |limit: usize| {
        let mut number = [0; 8];
        random(&mut number);
        (u64::from_le_bytes(number) % limit as u64) as usize
    };
    let json_length = whole[4096..HEADER].iter().position(|byte| *byte == 0).unwrap();
    let mut bytes = whole.clone();
    let mut opened = 0;
    for round in 0..2000 {
        let headers = &whole[..2 * HEADER];
        bytes[..2 * HEADER].copy_from_slice(headers);
        for _ in 0..=below(3) {
            // In the JSON text, where most of the fields are, or in the binary header.
            let at = if round % 4 == 0 { below(512) } else { 4096 + below(json_length) };
            let value = if round % 2 == 0 { below(256) as u8 } else { b"0123456789\"{}[],:"[below(17)] };
            bytes[at] = value;
            if (72..208).contains(&at) || at >= 4096 || (24..72).contains(&at) {
                bytes[HEADER + at] = value;
            }
        }
        if round % 8 != 7 {
            seal(&mut bytes, 0);
            seal(&mut bytes, HEADER);
        }
        let source = &bytes[..];
        if let Ok(luks) = Luks::open(&source) {
            opened += 1;
            if let Ok(key) = luks.unlock(PASSPHRASE) {
                assert!([32, 64].contains(&key.bytes().len()));
                let _ = luks.plain(&key);
            }
        }
    }
    assert!(opened > 100, "only {opened} passed the checksum test");
}
