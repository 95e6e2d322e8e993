//! Writing names: validation, short names (8.3) for long ones, and the entries of a long name.

use super::boot::ENTRY_SIZE;
use super::name::{LAST_PART, UNITS_PER_PART, short_checksum};
use std::collections::BTreeSet;

/// Longest name, in UTF-16 units. Source: fatgen103, "Long Directory Entries".
const LONGEST: usize = 255;
/// Source: fatgen103, "Long Directory Entries". `/` cannot occur in a file name anyway.
const NOT_IN_NAMES: &str = "\"*/:<>?\\|";
const NOT_IN_SHORT_NAMES: &str = "+,;=[]";
/// Attributes of a part of a long name: read-only, hidden, system and label.
const LONG_NAME: u8 = 0x0f;

/// Validates a name. The error is the reason.
pub(super) fn check(name: &[u8]) -> Result<&str, String> {
    let name = std::str::from_utf8(name).map_err(|_| "the name is not valid UTF-8".to_owned())?;
    if let Some(bad) = name.chars().find(|c| NOT_IN_NAMES.contains(*c) || c.is_ascii_control()) {
        return Err(format!("vfat does not allow `{}` in names", bad.escape_debug()));
    }
    if name.ends_with(['.', ' ']) {
        return Err("vfat does not allow a dot or a space at the end of a name".to_owned());
    }
    if name.encode_utf16().count() > LONGEST {
        return Err(format!("the name is longer than {LONGEST} UTF-16 code units"));
    }
    Ok(name)
}

/// Case-folds a name: names that vfat treats as equal have equal results.
pub(super) fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).collect()
}

/// Same as [`folded`] for bytes. Bytes that are not UTF-8 never equal a name on vfat.
pub fn folded_bytes(name: &[u8]) -> Vec<u8> {
    folded(&String::from_utf8_lossy(name)).into_bytes()
}

/// The short names of a directory.
#[derive(Debug, Default)]
pub(super) struct ShortNames(BTreeSet<[u8; 11]>);

impl ShortNames {
    pub(super) fn insert(&mut self, name: [u8; 11]) {
        self.0.insert(name);
    }

    /// Allocates an unused short name. `None` after a million attempts.
    pub(super) fn give(&mut self, name: &str) -> Option<[u8; 11]> {
        let (base, extension, is_exact) = parts(name);
        let filled = |base: &[u8]| {
            let mut short = [b' '; 11];
            short[..base.len()].copy_from_slice(base);
            short[8..8 + extension.len()].copy_from_slice(&extension);
            short
        };
        let exact = filled(&base[..base.len().min(8)]);
        if is_exact && self.0.insert(exact) {
            return Some(exact);
        }
        // Source: fatgen103, "The Basis-Name Generation Algorithm".
        (1..1_000_000u32)
            .map(|number| {
                let tail = format!("~{number}");
                filled(&[&base[..base.len().min(8 - tail.len())], tail.as_bytes()].concat())
            })
            .find(|short| self.0.insert(*short))
    }
}

/// Base and extension in upper case, and whether the conversion was lossless.
fn parts(name: &str) -> (Vec<u8>, Vec<u8>, bool) {
    let trimmed = name.trim_start_matches(['.', ' ']);
    let (base, extension) = trimmed.rsplit_once('.').unwrap_or((trimmed, ""));
    let of = |part: &str| -> Vec<u8> {
        let kept = part.chars().filter(|c| !matches!(c, '.' | ' '));
        kept.map(|c| match c {
            _ if NOT_IN_SHORT_NAMES.contains(c) || !c.is_ascii() => b'_',
            c => c.to_ascii_uppercase() as u8,
        })
        .collect()
    };
    let (base, mut extension) = (of(base), of(extension));
    let joined = if extension.is_empty() { base.clone() } else { [&base, &b"."[..], &extension].concat() };
    let is_exact = joined == name.to_ascii_uppercase().as_bytes() && base.len() <= 8 && extension.len() <= 3;
    extension.truncate(3);
    (base, extension, is_exact)
}

/// The entries before the short one; none if the short name represents the name completely.
pub(super) fn long_entries(name: &str, short: &[u8; 11]) -> Vec<[u8; ENTRY_SIZE as usize]> {
    if super::name::short_name(&[&short[..], &[0, 0]].concat()) == name {
        return Vec::new();
    }
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(UNITS_PER_PART);
    if units.len() < parts * UNITS_PER_PART {
        units.push(0);
    }
    units.resize(parts * UNITS_PER_PART, 0xffff);
    let checksum = short_checksum(short);
    let part = |index: usize| {
        let mut entry = [0; ENTRY_SIZE as usize];
        entry[0] = (index + 1) as u8 | if index + 1 == parts { LAST_PART } else { 0 };
        entry[11] = LONG_NAME;
        entry[13] = checksum;
        for (unit, place) in units[index * UNITS_PER_PART..].iter().zip(super::name::places()) {
            entry[place..place + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entry
    };
    (0..parts).rev().map(part).collect()
}

/// The number of entries of a name, including the short one.
pub(super) fn entries(name: &str) -> usize {
    1 + name.encode_utf16().count().div_ceil(UNITS_PER_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_unique() {
        let mut names = ShortNames::default();
        let mut give = |name: &str| String::from_utf8(names.give(name).unwrap().to_vec()).unwrap();
        assert_eq!(give("BOOTX64.EFI"), "BOOTX64 EFI");
        assert_eq!(give("bootx64.efi"), "BOOTX6~1EFI");
        assert_eq!(give("vmlinuz-6.1.0-9-amd64"), "VMLINU~10-9");
        assert_eq!(give("loader.conf"), "LOADER~1CON");
        assert_eq!(give("entries"), "ENTRIES    ");
        assert_eq!(give(".hidden"), "HIDDEN~1   ");
        assert_eq!(give("ÄÖÜ 日本.txt"), "_____~1 TXT");
        assert_eq!(give("a+b"), "A_B~1      ");
    }

    #[test]
    fn invalid_names_are_rejected() {
        for bad in ["a:b", "a?", "q\"", "a\nb", "end.", "end ", &"x".repeat(256)] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(check(b"\xff").is_err());
        for good in ["a", ".hidden", "x y", "ä€", &"x".repeat(255), "con", "[a]+b;c=d"] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
        assert_eq!(folded("Grüße"), folded("GRÜSSE"));
    }
}
