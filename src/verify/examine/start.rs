//! Reads the kernel that an image's own boot loader would start.

use super::super::boot_path::{FileAt, Volume};
use super::super::facts::TableFacts;
use super::{Readable, boot_paths, of_record, of_type, table_of};
use crate::disk::{Opened, Window, detect};
use crate::host::{Context, Failure};
use crate::image::format::OpenedImage;
use crate::plan::layout::gpt::GptEntry;
use crate::plan::layout::mbr::Mbr;
use crate::plan::layout::{Lba, SectorSize};

/// The files of the first kernel that needs no selection in a menu.
pub struct StartFiles {
    pub kernel: Vec<u8>,
    /// The concatenated archives.
    pub initramfs: Vec<u8>,
    pub command_line: String,
}

/// Larger than any initramfs.
const MOST: usize = 1 << 30;

/// Follows the boot paths of all firmwares. Returns nothing if none leads to a kernel.
pub fn default_start(image: &OpenedImage) -> Result<Option<StartFiles>, Failure> {
    let context = || "could not read the partition table of the image".to_owned();
    let (sector, table) = table_of(image).context(context)?;
    let readable = readable(image, &entries(&table, image.size, sector), sector)?;
    let paths = boot_paths(&image.file, &table, &[], &readable);
    let windows: Vec<Window> = readable.iter().map(Readable::window).collect();
    let volumes: Vec<Volume> =
        readable.iter().zip(&windows).map(|(readable, window)| readable.volume(window)).collect();
    let read = |at: &FileAt| {
        volumes.iter().find(|volume| volume.number == at.partition).and_then(|volume| volume.read(&at.path))
    };
    for (start, _) in paths.kernels().filter(|(_, chosen)| !chosen) {
        let Some(kernel) = start.image.as_ref().and_then(|(at, _)| read(at)) else { continue };
        let mut initramfs = Vec::new();
        for (at, _) in &start.initramfs {
            let unreadable =
                || Failure::new(format!("could not read the initramfs `{}` of the image", at.path));
            initramfs.extend(read(at).ok_or_else(unreadable)?);
            if initramfs.len() > MOST {
                return Err(Failure::new("the initramfs of the image is too large"));
            }
        }
        return Ok(Some(StartFiles { kernel, initramfs, command_line: start.options.clone() }));
    }
    Ok(None)
}

/// The partitions, or the whole disk if it has none.
fn entries(table: &TableFacts, size: u64, sector: SectorSize) -> Vec<GptEntry> {
    if let Some((_, entries)) = table.valid() {
        return entries.to_vec();
    }
    let records: Vec<GptEntry> = table.records.iter().flat_map(Mbr::partitions).map(of_record).collect();
    if !records.is_empty() {
        return records;
    }
    let last = Lba((size / sector.bytes()).saturating_sub(1));
    vec![GptEntry { number: 0, first: Lba(0), last, ..of_type(super::LINUX_DATA) }]
}

/// The filesystems that boot loaders can read.
fn readable(image: &OpenedImage, entries: &[GptEntry], sector: SectorSize) -> Result<Vec<Readable>, Failure> {
    let mut found = Vec::new();
    for entry in entries {
        let offset = entry.first.0.saturating_mul(sector.bytes());
        let end = entry.last.0.saturating_add(1).saturating_mul(sector.bytes()).min(image.size);
        let file =
            image.file.try_clone().context(|| "could not duplicate the image's descriptor".to_owned())?;
        let window = Window { file: &file, offset, size: end.saturating_sub(offset) };
        let Ok(Some(kind)) = detect(&window) else { continue };
        let Ok(opened) = Opened::open(&window) else { continue };
        let (uuid, label, tree) = (Some(opened.uuid()), opened.label(), opened.tree());
        let Ok(tree) = tree else { continue };
        let size = window.size;
        drop(opened);
        let number = entry.number;
        found.push(Readable {
            number,
            entry: entry.clone(),
            kind,
            uuid,
            label,
            is_encrypted: false,
            file,
            offset,
            size,
            tree,
        });
    }
    Ok(found)
}
