//! Reads the filesystem in a partition, through compression or encryption.

use super::super::boot_path::Volume;
use super::{Examination, XBOOTLDR, unreadable};
use crate::disk::{
    Opened, Packed, ReadError, Source, Tree, Unpacked, VolumeKind, Window, detect, is_zero, luks, unpack,
};
use crate::host::{Context, Failure, with_causes};
use crate::plan::ESP;
use crate::plan::layout::gpt::GptEntry;
use crate::plan::layout::{Lba, SectorSize};
use crate::template::Bytes;
use crate::verify::facts::{Fsck, LuksFacts, PartitionFacts};
use crate::verify::fsck::{fsck, supports_offset};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A partition with a readable filesystem.
pub(super) struct Readable {
    pub(super) number: u32,
    pub(super) entry: GptEntry,
    pub(super) kind: VolumeKind,
    pub(super) uuid: Option<String>,
    pub(super) label: Option<String>,
    /// Encrypted filesystems are not available to boot loaders.
    pub(super) is_encrypted: bool,
    /// The image, or an unnamed file with the decrypted content.
    pub(super) file: File,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) tree: Tree,
}

impl Readable {
    pub(super) fn window(&self) -> Window<'_> {
        Window { file: &self.file, offset: self.offset, size: self.size }
    }

    /// The filesystem as boot loaders see it.
    pub(super) fn volume<'r>(&'r self, window: &'r Window<'r>) -> Volume<'r> {
        Volume {
            number: self.number,
            is_fat: self.kind == VolumeKind::Vfat,
            is_esp: self.entry.type_guid == ESP,
            is_xbootldr: self.entry.type_guid == XBOOTLDR,
            is_active: self.entry.attributes & 1 << 2 != 0,
            uuid: self.uuid.clone(),
            label: self.label.clone(),
            tree: &self.tree,
            source: window,
        }
    }
}

pub(super) fn partition(
    examination: &Examination,
    entry: &GptEntry,
    sector: SectorSize,
) -> Result<(PartitionFacts, Option<Readable>), Failure> {
    let image = examination.image;
    let bytes = sector.bytes();
    let offset = entry.first.0.saturating_mul(bytes);
    let Lba(last) = entry.last;
    let end = last.saturating_add(1).saturating_mul(bytes).min(image.size);
    let size = end.saturating_sub(offset);
    let mut facts = PartitionFacts {
        entry: entry.clone(),
        partuuid: None,
        offset,
        size: Bytes(size),
        kind: None,
        luks: None,
        uuid: None,
        label: None,
        free: None,
        unreadable: None,
        fat_mismatch: None,
        hidden_sectors: 0,
        fsck: Fsck::None,
    };
    let window = Window { file: &image.file, offset, size };
    facts.kind = detect(&window).map_err(|error| unreadable(&error))?;
    match facts.kind {
        None => Ok((facts, None)),
        Some(VolumeKind::Other(_)) => Ok((facts, None)),
        Some(VolumeKind::Packed(kind)) => packed(examination, facts, kind, &window),
        Some(VolumeKind::Luks) => encrypted(examination, facts, &window),
        Some(VolumeKind::Swap) => {
            swap(&mut facts, &window);
            Ok((facts, None))
        }
        Some(kind) => {
            let file = image.file.try_clone().context(|| "could not read the image".to_owned())?;
            look_inside(examination, facts, kind, file, offset, size)
        }
    }
}

/// Source: util-linux, include/swapheader.h: UUID at 1036, label at 1052.
fn swap(facts: &mut PartitionFacts, window: &Window) {
    let mut bytes = [0; 32];
    if window.read_at(&mut bytes, 1036).is_ok() {
        facts.uuid = Some(uuid::Uuid::from_slice(&bytes[..16]).unwrap_or_default().to_string());
        let label = bytes[16..].split(|b| *b == 0).next().unwrap_or_default();
        facts.label = Some(String::from_utf8_lossy(label).into_owned()).filter(|label| !label.is_empty());
    }
}

fn look_inside(
    examination: &Examination,
    mut facts: PartitionFacts,
    kind: VolumeKind,
    file: File,
    offset: u64,
    size: u64,
) -> Result<(PartitionFacts, Option<Readable>), Failure> {
    facts.kind = Some(kind);
    let window = Window { file: &file, offset, size };
    let mut tree = None;
    let mut in_use = None;
    match Opened::open(&window) {
        Ok(opened) => {
            facts.fat_mismatch = opened.fat_mismatch();
            facts.hidden_sectors = opened.hidden_sectors();
            facts.uuid = Some(opened.uuid());
            facts.label = opened.label();
            facts.free = opened.free_bytes().ok().map(Bytes);
            in_use = opened.in_use().ok();
            match opened.tree() {
                Ok(found) => tree = Some(found),
                Err(error) => facts.unreadable = Some(with_causes(&error)),
            }
        }
        Err(error) => facts.unreadable = Some(with_causes(&error)),
    }
    facts.fsck = if supports_offset(kind) || offset == 0 {
        fsck(kind, &file, offset)?
    } else {
        fsck(kind, &apart(in_use, &window, examination.scratch)?, 0)?
    };
    let readable = tree.map(|tree| readable(&facts, kind, file, offset, size, tree));
    Ok((facts, readable))
}

fn readable(
    facts: &PartitionFacts,
    kind: VolumeKind,
    file: File,
    offset: u64,
    size: u64,
    tree: Tree,
) -> Readable {
    Readable {
        number: facts.entry.number,
        entry: facts.entry.clone(),
        kind,
        uuid: facts.uuid.clone(),
        label: facts.label.clone(),
        is_encrypted: facts.luks.is_some(),
        file,
        offset,
        size,
        tree,
    }
}

/// Unpacks a compressed filesystem completely, which also checks it.
fn packed(
    examination: &Examination,
    mut facts: PartitionFacts,
    kind: Packed,
    source: &dyn Source,
) -> Result<(PartitionFacts, Option<Readable>), Failure> {
    facts.kind = Some(VolumeKind::Packed(kind));
    match unpack(kind, source, examination.scratch) {
        Ok(Unpacked { tree, file, uuid, label }) => {
            (facts.uuid, facts.label) = (uuid, label);
            let size = file.metadata().context(|| "could not read the unpacked filesystem".to_owned())?.len();
            let readable = readable(&facts, VolumeKind::Packed(kind), file, 0, size, tree);
            Ok((facts, Some(readable)))
        }
        Err(error @ (ReadError::Damaged { .. } | ReadError::Unsupported(_))) => {
            facts.unreadable = Some(with_causes(&error));
            Ok((facts, None))
        }
        Err(error @ ReadError::Unpack { .. }) => {
            Err(Failure::new(format!("could not write to `{}`", examination.scratch.display()))
                .caused_by(&error)
                .help("free some disk space, or set TMPDIR to another directory"))
        }
        Err(error) => Err(unreadable(&error)),
    }
}

fn encrypted(
    examination: &Examination,
    mut facts: PartitionFacts,
    window: &Window,
) -> Result<(PartitionFacts, Option<Readable>), Failure> {
    let volume = match luks::Luks::open(window) {
        Ok(volume) => volume,
        Err(error) => {
            let damage = Some(with_causes(&error));
            facts.luks = Some(LuksFacts { uuid: String::new(), damage, locked: true });
            return Ok((facts, None));
        }
    };
    let mut luks = LuksFacts { uuid: volume.uuid().to_string(), damage: None, locked: true };
    let key = examination.passphrases.iter().find_map(|text| volume.unlock(text.expose().as_bytes()).ok());
    let plain = key.map(|key| volume.plain(&key));
    luks.locked = plain.is_none();
    facts.luks = Some(luks);
    match plain {
        None => Ok((facts, None)),
        Some(Err(error)) => {
            facts.unreadable = Some(with_causes(&error));
            Ok((facts, None))
        }
        Some(Ok(plain)) => {
            let Some(kind) = detect(&plain).map_err(|error| unreadable(&error))? else {
                facts.unreadable = Some("the LUKS volume contains no recognized filesystem".to_owned());
                return Ok((facts, None));
            };
            match kind {
                VolumeKind::Swap => {
                    facts.kind = Some(kind);
                    return Ok((facts, None));
                }
                VolumeKind::Packed(kind) => return packed(examination, facts, kind, &plain),
                _ => {}
            }
            let opened = match Opened::open(&plain) {
                Ok(opened) => opened,
                Err(error) => {
                    facts.unreadable = Some(with_causes(&error));
                    return Ok((facts, None));
                }
            };
            let file = apart(opened.in_use().ok(), &plain, examination.scratch)?;
            let size = plain.size();
            look_inside(examination, facts, kind, file, 0, size)
        }
    }
}

/// Copies a filesystem to a separate file, for programs that cannot read at an offset. Only the ranges in use are
/// copied, or everything if these are unknown.
fn apart(in_use: Option<Vec<Range<u64>>>, source: &dyn Source, scratch: &Path) -> Result<File, Failure> {
    let ranges = in_use.unwrap_or_else(|| std::iter::once(0..source.size()).collect());
    let out = tempfile::tempfile_in(scratch)
        .context(|| format!("could not create a temporary file in `{}`", scratch.display()))?;
    let context = || format!("could not write to `{}`", scratch.display());
    out.set_len(source.size()).context(context)?;
    let mut buffer = vec![0; 1 << 20];
    for range in ranges {
        let mut at = range.start;
        while at < range.end.min(source.size()) {
            let count = buffer.len().min((range.end.min(source.size()) - at) as usize);
            source.read_at(&mut buffer[..count], at).context(|| "could not read the image".to_owned())?;
            if !is_zero(&buffer[..count]) {
                out.write_all_at(&buffer[..count], at).context(context)?;
            }
            at += count as u64;
        }
    }
    Ok(out)
}
