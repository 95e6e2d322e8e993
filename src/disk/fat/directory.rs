//! Directory entries of 32 bytes. Timestamps have a resolution of two seconds and no time zone; they are treated as
//! UTC.

use super::boot::{ENTRY_SIZE, Width};
use super::name::{LongName, short_name};
use crate::disk::bytes::{damaged, u16_at, u32_at};
use crate::disk::source::ReadError;
use crate::disk::tree::Time;
use std::ops::Range;

/// First byte of an entry: end of the directory, or deleted.
pub(super) const END: u8 = 0;
pub(super) const DELETED: u8 = 0xe5;
/// Attribute bits.
const READ_ONLY: u8 = 0x01;
pub(super) const LABEL: u8 = 0x08;
pub(super) const DIRECTORY: u8 = 0x10;
/// A part of a long name: read-only, hidden, system and label together.
pub(super) const LONG_NAME: u8 = 0x0f;

#[derive(Debug)]
pub(super) struct FatEntry {
    pub name: String,
    pub is_directory: bool,
    pub is_read_only: bool,
    /// 0 if the file is empty.
    pub first_cluster: u32,
    /// Size in bytes; 0 for directories.
    pub size: u32,
    /// Offset of the entry, in bytes from the filesystem's start.
    pub at: u64,
    pub created: Option<Time>,
    pub accessed: Time,
    pub modified: Time,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Entries without `.` and `..`.
    pub entries: Vec<FatEntry>,
    /// The volume label, in the root directory only.
    pub label: Option<[u8; 11]>,
}

/// Parses a directory whose bytes are in these consecutive places. `path` is for error messages.
pub(super) fn entries(
    bytes: &[u8],
    places: &[Range<u64>],
    width: Width,
    path: &str,
) -> Result<Entries, ReadError> {
    let mut found = Entries::default();
    let mut long = LongName::default();
    let each = places.iter().flat_map(|place| place.clone().step_by(ENTRY_SIZE as usize));
    for (entry, at) in bytes.chunks_exact(ENTRY_SIZE as usize).zip(each) {
        let attributes = entry[11];
        match entry[0] {
            END => break,
            DELETED => long = LongName::default(),
            _ if attributes & 0x3f == LONG_NAME => long.push(entry),
            _ if attributes & LABEL != 0 => {
                long = LongName::default();
                let label = entry[..11].try_into().expect("slice of 11 bytes");
                found.label.get_or_insert(label);
            }
            _ => {
                let name = long.take(entry).unwrap_or_else(|| short_name(entry));
                if name == "." || name == ".." {
                    continue;
                }
                if name.is_empty() || name.contains(['/', '\0']) {
                    return Err(damaged(format!("directory {path}"), at, format!("invalid name {name:?}")));
                }
                found.entries.push(parse(entry, name, width, at));
            }
        }
    }
    Ok(found)
}

fn parse(entry: &[u8], name: String, width: Width, at: u64) -> FatEntry {
    let modified = time(u16_at(entry, 24), u16_at(entry, 22), 0);
    let (created_day, accessed_day) = (u16_at(entry, 16), u16_at(entry, 18));
    // OS/2 stored something else in this field. Linux ignores it, too. Source: fat_get_start in fs/fat/fat.h.
    let high = if width == Width::Bits32 { u16_at(entry, 20) } else { 0 };
    FatEntry {
        name,
        is_directory: entry[11] & DIRECTORY != 0,
        is_read_only: entry[11] & READ_ONLY != 0,
        first_cluster: u32::from(high) << 16 | u32::from(u16_at(entry, 26)),
        at,
        size: if entry[11] & DIRECTORY != 0 { 0 } else { u32_at(entry, 28) },
        created: (created_day != 0).then(|| time(created_day, u16_at(entry, 14), entry[13])),
        accessed: if accessed_day == 0 { modified } else { time(accessed_day, 0, 0) },
        modified,
    }
}

/// Decodes a date, a time of day in steps of two seconds, and hundredths of a second.
fn time(day: u16, of_day: u16, hundredths: u8) -> Time {
    const DAY: i64 = 86_400;
    let year = 1980 + i64::from(day >> 9);
    // Both count from 1. A 0 is damage, but not a reason to stop reading.
    let month = i64::from(day >> 5 & 15).clamp(1, 12);
    let day_of_month = i64::from(day & 31).max(1);
    let seconds =
        i64::from(of_day >> 11) * 3600 + i64::from(of_day >> 5 & 63) * 60 + i64::from(of_day & 31) * 2;
    Time {
        seconds: days_since_1970(year, month, day_of_month) * DAY + seconds + i64::from(hundredths / 100),
        nanoseconds: u32::from(hundredths % 100) * 10_000_000,
    }
}

/// Encodes date, time of day and hundredths of a second, clamped to what FAT can store: 1980 to 2107, UTC.
pub(super) fn encoded(time: Time) -> (u16, u16, u8) {
    const DAY: i64 = 86_400;
    let first = days_since_1970(1980, 1, 1) * DAY;
    let last = days_since_1970(2107, 12, 31) * DAY + DAY - 2;
    let seconds = time.seconds.clamp(first, last);
    let (day, of_day) = (seconds / DAY, seconds % DAY);
    let is_before = |year: i64, month: i64| days_since_1970(year, month, 1) <= day;
    let year = (1980..=2107).rev().find(|year| is_before(*year, 1)).unwrap_or(1980);
    let month = (1..=12).rev().find(|month| is_before(year, *month)).unwrap_or(1);
    let day_of_month = day - days_since_1970(year, month, 1) + 1;
    (
        ((year - 1980) << 9 | month << 5 | day_of_month) as u16,
        ((of_day / 3600) << 11 | (of_day % 3600 / 60) << 5 | (of_day % 60 / 2)) as u16,
        (seconds % 2 * 100) as u8,
    )
}

/// Days in the Gregorian calendar, from 1980 on.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_days = (1970..year).filter(|year| is_leap(*year)).count() as i64;
    let this_year = i64::from(month > 2 && is_leap(year));
    (year - 1970) * 365 + leap_days + BEFORE_MONTH[month as usize - 1] + this_year + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fat32_has_32_bit_cluster_numbers() {
        let mut bytes = [0; 64];
        bytes[32..43].copy_from_slice(b"NAME       ");
        bytes[0..11].copy_from_slice(b"FIRST      ");
        bytes[32 + 20] = 7;
        bytes[32 + 26] = 3;
        let check = |width, expect| {
            let found = entries(&bytes, &[512..544, 4096..4128], width, "/").unwrap();
            assert_eq!((found.entries[1].first_cluster, found.entries[1].at), (expect, 4096));
        };
        check(Width::Bits16, 3);
        check(Width::Bits32, 7 << 16 | 3);
    }

    #[test]
    fn times_are_utc() {
        // 2024-02-29 23:59:58.50 and 2107-12-31 00:00:00.
        let leap = time(44 << 9 | 2 << 5 | 29, 23 << 11 | 59 << 5 | 29, 50);
        assert_eq!(leap, Time { seconds: 1_709_251_198, nanoseconds: 500_000_000 });
        assert_eq!(time(127 << 9 | 12 << 5 | 31, 0, 0).seconds, 4_354_732_800);
        for seconds in (315_532_800..4_354_819_198).step_by(40_000_001) {
            let (day, of_day, hundredths) = encoded(Time { seconds, nanoseconds: 0 });
            assert_eq!(time(day, of_day, hundredths).seconds, seconds);
        }
        let at = |seconds| encoded(Time { seconds, nanoseconds: 0 });
        assert_eq!((at(0), at(i64::MAX)), ((0x21, 0, 0), (0xff9f, 0xbf7d, 0)));
    }
}
