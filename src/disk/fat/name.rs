//! Reading names. The short name is in code page 437, as Linux assumes. The long name is in UTF-16 and spread over
//! several entries before the short one, last part first.

use crate::disk::bytes::u16_at;

/// The upper half of code page 437, the default of Linux (`CONFIG_FAT_DEFAULT_CODEPAGE`).
const UPPER_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
/// Flags of byte 12: show base or extension in lower case.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;
/// Set in the entry of the name's last part, which is stored first. The other bits are the part's number.
pub(super) const LAST_PART: u8 = 0x40;
/// 20 parts of 13 units are enough for the longest name of 255 units.
const MOST_PARTS: u8 = 20;
pub(super) const UNITS_PER_PART: usize = 13;
/// Stored instead of a first byte 0xe5, which would mark a deleted entry.
const ESCAPED_FIRST: u8 = 0x05;

pub(super) fn short_name(entry: &[u8]) -> String {
    let part = |bytes: &[u8], is_lower: bool| {
        let text: String = bytes.iter().map(|byte| character(*byte)).collect();
        let text = text.trim_end_matches(' ');
        if is_lower { text.to_ascii_lowercase() } else { text.to_owned() }
    };
    let mut base = entry[..8].to_vec();
    if base[0] == ESCAPED_FIRST {
        base[0] = 0xe5;
    }
    let base = part(&base, entry[12] & LOWER_BASE != 0);
    let extension = part(&entry[8..11], entry[12] & LOWER_EXTENSION != 0);
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

fn character(byte: u8) -> char {
    match byte.checked_sub(0x80) {
        None => char::from(byte),
        Some(upper) => UPPER_437.chars().nth(usize::from(upper)).expect("the half has 128 characters"),
    }
}

/// Offsets of the UTF-16 units in an entry.
pub(super) fn places() -> impl Iterator<Item = usize> {
    (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2))
}

/// Collects the parts of a long name.
#[derive(Debug, Default)]
pub(super) struct LongName {
    units: Vec<u16>,
    /// Checksum of the short name that the long name belongs to.
    checksum: u8,
    /// Number of the next expected part; 0 once the name is complete.
    next: u8,
}

impl LongName {
    /// Adds an entry. Parts that are out of order are discarded.
    pub(super) fn push(&mut self, entry: &[u8]) {
        let part = entry[0] & !LAST_PART;
        if entry[0] & LAST_PART != 0 {
            let units = vec![0; usize::from(part.min(MOST_PARTS)) * UNITS_PER_PART];
            *self = LongName { units, checksum: entry[13], next: part };
        }
        if part == 0 || part > MOST_PARTS || part != self.next || entry[13] != self.checksum {
            *self = LongName::default();
            return;
        }
        self.next = part - 1;
        let start = usize::from(self.next) * UNITS_PER_PART;
        for (unit, place) in self.units[start..].iter_mut().zip(places()) {
            *unit = u16_at(entry, place);
        }
    }

    /// Takes the collected name if it is complete and belongs to this short name. Clears the collected parts.
    pub(super) fn take(&mut self, short: &[u8]) -> Option<String> {
        let LongName { units, checksum, next } = std::mem::take(self);
        if units.is_empty() || next != 0 || checksum != short_checksum(short) {
            return None;
        }
        let name = units.split(|unit| *unit == 0).next().unwrap_or_default();
        Some(String::from_utf16_lossy(name))
    }
}

pub(super) fn short_checksum(entry: &[u8]) -> u8 {
    entry[..11].iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &[u8; 11], flags: u8, expect: &str) {
        let mut entry = name.to_vec();
        entry.extend([0x20, flags]);
        assert_eq!(short_name(&entry), expect);
    }

    #[test]
    fn short_names() {
        check(b"BOOTX64 EFI", 0, "BOOTX64.EFI");
        check(b"BOOTX64 EFI", LOWER_BASE | LOWER_EXTENSION, "bootx64.efi");
        check(b"NOEXT      ", LOWER_EXTENSION, "NOEXT");
        check(b"\x05\x84      TXT", 0, "σä.TXT");
        assert_eq!(UPPER_437.chars().count(), 128);
    }
}
