//! Compares two images: disk, partitions, filesystems, files and structures, fields.

use super::bytes::{Differs, differing};
use super::trees;
use crate::disk::{Opened, Source, VolumeKind, Window, detect, first_difference};
use crate::host::{Context, Failure, Progress, with_causes};
use crate::image::format::OpenedImage;
use crate::plan::LUKS_DATA_OFFSET;
use crate::plan::layout::gpt::{GptEntry, GptHeader};
use crate::template::Bytes;
use crate::verify::{TableFacts, table_of};
use serde::Serialize;
use std::ops::Range;

/// A difference: its place, and the value on each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// The path to the differing value: "partition 3", "ext", "/etc/hostname", "change time".
    pub place: Vec<String>,
    pub a: String,
    pub b: String,
    /// The file differs only in GUIDs and UUIDs of the image.
    #[serde(skip)]
    pub is_identity: bool,
}

/// Pairs of corresponding GUIDs and UUIDs of both images.
pub(super) type Identities = [(String, String)];

/// The maximum number of structures that are listed for a filesystem; the rest is only counted.
const MOST: usize = 40;
/// The maximum number of differences between files of a filesystem.
const MOST_OF_FILES: usize = 20_000;

/// Returns all differences between two images; none if the guest sees identical bytes.
pub fn compare(
    a: &OpenedImage,
    b: &OpenedImage,
    progress: &dyn Progress,
) -> Result<Vec<Difference>, Failure> {
    progress.begin("comparing");
    let context = || "could not compare the images".to_owned();
    let mut out = Differences::default();
    out.field(&[], "size", a.size, b.size);
    let (left, right) = (whole(a), whole(b));
    let (_, blocks) = differing(&left, &right, 1).context(context)?;
    if blocks == 0 {
        return Ok(out.list);
    }
    let (sector_a, table_a) = table_of(a).context(context)?;
    let (sector_b, table_b) = table_of(b).context(context)?;
    out.field(&[], "sector size", sector_a.bytes(), sector_b.bytes());
    tables(&table_a, &table_b, &mut out);
    if let (Some((header_a, entries_a)), Some((header_b, entries_b))) = (table_a.valid(), table_b.valid()) {
        let pairs = entries_a.iter().filter_map(|entry| {
            let other = entries_b.iter().find(|other| other.number == entry.number)?;
            Some((entry, other, window(a, entry, sector_a.bytes()), window(b, other, sector_b.bytes())))
        });
        let pairs: Vec<_> = pairs.collect();
        let mut identities = vec![(header_a.disk_guid.to_string(), header_b.disk_guid.to_string())];
        for (entry, other, one, two) in &pairs {
            identities.push((entry.guid.to_string(), other.guid.to_string()));
            if let (Ok(one), Ok(two)) = (Opened::open(one), Opened::open(two)) {
                identities.push((one.uuid(), two.uuid()));
            }
        }
        identities.retain(|(one, two)| one != two && !one.is_empty());
        for (entry, _, one, two) in &pairs {
            partition(entry, one, two, &identities, &mut out).context(context)?;
        }
    }
    let entries = table_a.valid().map(|(_, entries)| entries).unwrap_or_default();
    for gap in gaps(entries, sector_a.bytes(), a.size.min(b.size)) {
        let part = |image| Window { offset: gap.start, size: gap.end - gap.start, ..whole(image) };
        let (found, blocks) = differing(&part(a), &part(b), 1).context(context)?;
        if let Some(first) = found.first() {
            let place =
                vec!["outside of all partitions".to_owned(), format!("byte {}", gap.start + first.at)];
            let text = format!("{blocks} blocks of 4096 bytes differ");
            out.list.push(Difference { place, a: text.clone(), b: text, is_identity: false });
        }
    }
    Ok(out.list)
}

/// Byte ranges outside of all partitions and partition tables. For a disk without partitions, the whole disk.
fn gaps(entries: &[GptEntry], sector: u64, size: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<(u64, u64)> = entries
        .iter()
        .map(|entry| {
            (entry.first.0.saturating_mul(sector), entry.last.0.saturating_add(1).saturating_mul(sector))
        })
        .collect();
    sorted.sort_unstable();
    // Everything before the first partition and in the last MiB was already compared as tables and boot loader.
    let edge = if entries.is_empty() { 0 } else { Bytes::MIB };
    let mut at = sorted.first().map_or(0, |(start, _)| *start);
    let mut gaps = Vec::new();
    for (start, end) in sorted {
        gaps.push(at..start);
        at = at.max(end);
    }
    gaps.push(at..size.saturating_sub(edge));
    gaps.retain(|gap| gap.start < gap.end);
    gaps
}

fn whole(image: &OpenedImage) -> Window<'_> {
    Window { file: &image.file, offset: 0, size: image.size }
}

fn window<'i>(image: &'i OpenedImage, entry: &GptEntry, sector: u64) -> Window<'i> {
    let offset = entry.first.0.saturating_mul(sector).min(image.size);
    let end = entry.last.0.saturating_add(1).saturating_mul(sector).min(image.size);
    Window { file: &image.file, offset, size: end.saturating_sub(offset) }
}

#[derive(Default)]
struct Differences {
    list: Vec<Difference>,
}

impl Differences {
    fn field<T: ToString + PartialEq>(&mut self, place: &[&str], field: &str, a: T, b: T) {
        if a != b {
            let place = place.iter().map(|part| (*part).to_owned()).chain([field.to_owned()]).collect();
            self.list.push(Difference { place, a: a.to_string(), b: b.to_string(), is_identity: false });
        }
    }
}

fn tables(a: &TableFacts, b: &TableFacts, out: &mut Differences) {
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
    out.field(&["sector 0"], "boot code (BLAKE3)", hash(&a.boot_code), hash(&b.boot_code));
    for (name, one, other) in [("primary", &a.primary, &b.primary), ("backup", &a.backup, &b.backup)] {
        let place = format!("{name} partition table");
        match (&one.header, &other.header) {
            (Ok(x), Ok(y)) => headers(&place, x, y, out),
            (x, y) => {
                let shown = |header: &Result<GptHeader, _>| match header {
                    Ok(_) => "valid".to_owned(),
                    Err(fault) => crate::plan::layout::gpt::HeaderError::to_string(fault),
                };
                out.field(&[&place], "header", shown(x), shown(y));
            }
        }
        entries(&place, &one.entries, &other.entries, out);
    }
    if a.gap != b.gap {
        let at = first_difference(&a.gap, &b.gap).unwrap_or(a.gap.len().min(b.gap.len()));
        let shown = |bytes: &[u8]| bytes.get(at).map_or("nothing".to_owned(), |byte| format!("{byte:02x}"));
        let place = format!("byte {at} after the table (core image of the boot loader)");
        out.field(&["before the first partition"], &place, shown(&a.gap), shown(&b.gap));
    }
}

fn headers(place: &str, a: &GptHeader, b: &GptHeader, out: &mut Differences) {
    out.field(&[place], "disk GUID", a.disk_guid, b.disk_guid);
    out.field(&[place], "own LBA", a.own, b.own);
    out.field(&[place], "other LBA", a.other, b.other);
    out.field(&[place], "first usable LBA", a.first_usable, b.first_usable);
    out.field(&[place], "last usable LBA", a.last_usable, b.last_usable);
    out.field(&[place], "entry count", a.entry_count, b.entry_count);
}

fn entries(table: &str, a: &[GptEntry], b: &[GptEntry], out: &mut Differences) {
    let mut numbers: Vec<u32> = a.iter().chain(b).map(|entry| entry.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        let place = format!("partition {number}");
        let find = |entries: &[GptEntry]| entries.iter().find(|entry| entry.number == number).cloned();
        let (Some(x), Some(y)) = (find(a), find(b)) else {
            let shown = |entry: Option<GptEntry>| if entry.is_some() { "present" } else { "missing" };
            out.field(&[table, &place], "entry", shown(find(a)), shown(find(b)));
            continue;
        };
        out.field(&[table, &place], "type GUID", x.type_guid, y.type_guid);
        out.field(&[table, &place], "GUID", x.guid, y.guid);
        out.field(&[table, &place], "first LBA", x.first, y.first);
        out.field(&[table, &place], "last LBA", x.last, y.last);
        out.field(&[table, &place], "attributes", x.attributes, y.attributes);
        out.field(&[table, &place], "name", x.name, y.name);
    }
}

fn partition(
    entry: &GptEntry,
    a: &dyn Source,
    b: &dyn Source,
    identities: &Identities,
    out: &mut Differences,
) -> std::io::Result<()> {
    let (found, blocks) = differing(a, b, 4 * MOST)?;
    let name = format!("partition {} (`{}`)", entry.number, entry.name);
    out.field(&[&name], "size", Bytes(a.size()), Bytes(b.size()));
    if blocks == 0 {
        return Ok(());
    }
    let detect = |source| detect(source).map_err(std::io::Error::other);
    let (kind_a, kind_b) = (detect(a)?, detect(b)?);
    let shown = |kind: Option<VolumeKind>| kind.map_or("not recognized".to_owned(), |kind| kind.to_string());
    let place = [name.clone(), shown(kind_a)];
    if kind_a != kind_b {
        out.field(&[&name], "filesystem", shown(kind_a), shown(kind_b));
        return Ok(());
    }
    let before = out.list.len();
    if let (Ok(left), Ok(right)) = (Opened::open(a), Opened::open(b)) {
        out.field(&[&place[0], &place[1]], "UUID", left.uuid(), right.uuid());
        out.field(
            &[&place[0], &place[1]],
            "label",
            left.label().unwrap_or_default(),
            right.label().unwrap_or_default(),
        );
        match (left.tree(), right.tree()) {
            (Ok(x), Ok(y)) => {
                let (x, y) = (trees::Side { tree: &x, source: a }, trees::Side { tree: &y, source: b });
                out.list.extend(trees::packages(&x, &y));
                out.list.extend(trees::compare(&place, &x, &y, identities, MOST_OF_FILES));
            }
            (x, y) => {
                let shown = |tree: Result<_, crate::disk::ReadError>| match tree {
                    Ok(_) => "readable".to_owned(),
                    Err(error) => with_causes(&error),
                };
                out.field(&[&place[0], &place[1]], "files", shown(x), shown(y));
            }
        }
        structures(&place, &found, |at| left.describe(at), out);
    } else {
        structures(&place, &found, |at| describe_other(kind_a, at), out);
    }
    if out.list.len() == before || blocks > found.len() as u64 {
        let text = format!("{blocks} blocks of 4096 bytes differ");
        out.list.push(Difference { place: place.to_vec(), a: text.clone(), b: text, is_identity: false });
    }
    Ok(())
}

/// Adds differing blocks by the structure that they contain. Blocks of one structure are counted together.
fn structures(place: &[String], found: &[Differs], describe: impl Fn(u64) -> String, out: &mut Differences) {
    let mut seen: Vec<(String, u64, u64)> = Vec::new();
    for differs in found {
        let what = describe(differs.at);
        match seen.iter_mut().find(|(other, ..)| *other == what) {
            Some((_, blocks, bytes)) => {
                *blocks += 1;
                *bytes += differs.bytes;
            }
            None => seen.push((what, 1, differs.bytes)),
        }
    }
    for (what, blocks, bytes) in seen.into_iter().take(MOST) {
        let mut place = place.to_vec();
        place.push(what);
        let text = format!("{bytes} bytes in {blocks} blocks differ");
        out.list.push(Difference { place, a: text.clone(), b: text, is_identity: false });
    }
}

fn describe_other(kind: Option<VolumeKind>, at: u64) -> String {
    match kind {
        Some(VolumeKind::Luks) if at < 16_384 => "LUKS2 header, primary".to_owned(),
        Some(VolumeKind::Luks) if at < 32_768 => "LUKS2 header, secondary".to_owned(),
        Some(VolumeKind::Luks) if at < LUKS_DATA_OFFSET.0 => "LUKS2 keyslots".to_owned(),
        Some(VolumeKind::Luks) => "encrypted data".to_owned(),
        // Source: util-linux, include/swapheader.h.
        Some(VolumeKind::Swap) if (1036..1052).contains(&at) => "swap header, UUID".to_owned(),
        Some(VolumeKind::Swap) if (1052..1068).contains(&at) => "swap header, label".to_owned(),
        Some(VolumeKind::Swap) if at < 4096 => "swap header".to_owned(),
        _ => format!("byte {at}"),
    }
}
