//! The hash that identifies each object of swupd content.
//!
//! The hash is an HMAC-SHA256 over the content. Its key is the hex text of an HMAC-SHA256 over the extended attributes
//! (none in content made by mixer), whose key in turn consists of five little-endian numbers: mode, owner, group,
//! device, size. Source: swupd-client, hash.c; mixer-tools, swupd/hash.go.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Identifies an object: a file, directory or link with its attributes, but without path and timestamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectHash([u8; 32]);

/// Type of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    File,
    Directory,
    Link,
}

/// Attributes that are part of the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub kind: ObjectKind,
    /// Permission bits including setuid, setgid and sticky. Ignored for links.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Size in bytes of a file or of a link target. Ignored for directories.
    pub size: u64,
}

/// Hashes the content of an object in pieces: the bytes of a file, the target of a link, nothing for a directory.
pub struct ObjectHasher(Hmac<Sha256>);

impl ObjectHash {
    /// Placeholder in a manifest for a missing object: 64 zeros.
    pub const NONE: ObjectHash = ObjectHash([0; 32]);

    /// Parses 64 lowercase hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<ObjectHash> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(ObjectHash(bytes))
    }
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&hex(&self.0)).expect("digits are ASCII"))
    }
}

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ObjectHasher {
    pub fn new(attributes: &Attributes) -> ObjectHasher {
        let (file_type, permissions) = match attributes.kind {
            ObjectKind::File => (0o100_000, attributes.mode & 0o7777),
            ObjectKind::Directory => (0o040_000, attributes.mode & 0o7777),
            ObjectKind::Link => (0, 0),
        };
        let size = if attributes.kind == ObjectKind::Directory { 0 } else { attributes.size };
        let fields =
            [u64::from(file_type | permissions), attributes.uid.into(), attributes.gid.into(), 0, size];
        let mut key = [0; 40];
        for (place, field) in key.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        // The hash of no extended attributes. The key of the outer HMAC is the hex text, not the binary hash.
        let inner: [u8; 32] = keyed(&key).finalize().into_bytes().into();
        let mut hasher = keyed(&hex(&inner));
        if attributes.kind == ObjectKind::Directory {
            hasher.update(b"DIRECTORY");
        }
        ObjectHasher(hasher)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> ObjectHash {
        ObjectHash(self.0.finalize().into_bytes().into())
    }
}

/// Returns the hash of an object in memory.
pub fn object_hash(attributes: &Attributes, content: &[u8]) -> ObjectHash {
    let mut hasher = ObjectHasher::new(attributes);
    hasher.update(content);
    hasher.finish()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC accepts keys of any length")
}

fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values printed by `swupd hashdump` and mixer.
    #[test]
    fn matches_hashes_of_upstream() {
        let file = |mode, uid, gid, content: &[u8]| {
            let attributes =
                Attributes { kind: ObjectKind::File, mode, uid, gid, size: content.len() as u64 };
            object_hash(&attributes, content).to_string()
        };
        let directory = |mode, gid| {
            let attributes = Attributes { kind: ObjectKind::Directory, mode, uid: 0, gid, size: 4096 };
            object_hash(&attributes, b"").to_string()
        };
        let link = |owner, target: &[u8]| {
            let size = target.len() as u64;
            object_hash(
                &Attributes { kind: ObjectKind::Link, mode: 0o777, uid: owner, gid: owner, size },
                target,
            )
            .to_string()
        };
        for (is, expected) in [
            (
                file(0o644, 0, 0, b"hello\n"),
                "f716c6cb18be9041e1748d52be544645cfc98d2c99dd7e72bdd6f702aa1ee744",
            ),
            (file(0o644, 0, 0, b""), "28cb7c6cad23920f344157f48ae353caca34e9a2f5cff934a4fdaaf7509f2062"),
            (
                file(0o4755, 0, 5, b"hello\n"),
                "ec7444082329c50222712298c121294426e302b529fba99c8a9bff35f479e7e2",
            ),
            (
                file(0o644, 3_000_000, 100_000, b"big ids\n"),
                "72b24463fb219f55bdef06065da7dde743280e1d94dfae639e59beba3e79a97a",
            ),
            (directory(0o755, 0), "6c27df6efcd6fc401ff1bc67c970b83eef115f6473db4fb9d57e5de317eba96e"),
            (directory(0o1777, 0), "d93a5e9129361e28b9e244fe422234e3a1794b001a082aeb78e16fd881673a2b"),
            (directory(0o2775, 50), "6d7497e6d3107444518e6fd7289f4139c254c304b5229c2f31bf2c80b15ae622"),
            (link(0, b"usr/bin"), "7392ad572c8a806372e327a1908e69266f319da796284e9758ddadd888bbf1d4"),
            (link(1234, b"mode0444"), "f9722a561082dafbbca9ab0aa9ab423ba802a6d59a72063331f7b56799b7456d"),
            (
                link(0, b"latin1-\xe9\xff.txt"),
                "fce6672d24835e5e329727c027e839e5865551d8266bd2d3d48e9fab34140f74",
            ),
        ] {
            assert_eq!(is, expected);
        }
    }

    #[test]
    fn parses_only_lowercase_digits() {
        let good = "f716c6cb18be9041e1748d52be544645cfc98d2c99dd7e72bdd6f702aa1ee744";
        assert_eq!(ObjectHash::parse(good.as_bytes()).unwrap().to_string(), good);
        for bad in [&good[1..], &good.to_uppercase(), &format!("{good}0"), &good.replace('f', "g"), ""] {
            assert_eq!(ObjectHash::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hash_is_independent_of_piece_sizes(content in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let attributes = Attributes { kind: ObjectKind::File, mode: 0o644, uid: 1, gid: 2, size: content.len() as u64 };
            let (a, b) = content.split_at(cut.min(content.len()));
            let mut hasher = ObjectHasher::new(&attributes);
            hasher.update(a);
            hasher.update(b);
            prop_assert_eq!(hasher.finish(), object_hash(&attributes, &content));
        }
    }
}
