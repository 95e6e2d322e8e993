//! Reads the contents of a CD.

use super::super::nodes::node;
use super::super::unreadable::Unreadable;
use super::{LOADER, MENU, SECTOR};
use crate::disk::Tree as FileTree;
use crate::disk::{Body, Content, Extent, Node, Opened, ROOT, Window, mode};
use crate::host::{Context, Invocation, Jail, inherited_name, run_jailed_within};
use crate::plan::Firmware;
use crate::plan::command_line::from_grub;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use uuid::Uuid;

/// The time to list the files of a CD. Lists of a hundred thousand files take a few seconds.
const LONGEST_LISTING: Duration = Duration::from_secs(60);

/// The files of a CD.
pub(crate) struct Contents<'f> {
    pub(crate) file: &'f File,
    pub(crate) size: u64,
    /// Byte range of each file. Files are contiguous.
    pub(crate) places: HashMap<String, Range<u64>>,
}

/// A boot image in the boot catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdImage {
    pub firmware: Firmware,
    /// The reason why it does not boot.
    pub fault: Option<String>,
}

/// All boot images of the boot catalog.
pub type BootCatalog = Vec<CdImage>;

impl<'f> Contents<'f> {
    pub(crate) fn read(file: &'f File) -> Result<Contents<'f>, Unreadable> {
        let list = Invocation::new("xorriso")
            .args(["-no_rc", "-indev", &format!("stdio:{}", inherited_name(file))])
            .inheriting(file)?
            .args(["-find", "/", "-type", "f", "-exec", "report_lba", "--"]);
        // A directory may contain itself.
        let finished = run_jailed_within(&list, Jail::Nothing, LONGEST_LISTING)?;
        let size = file.metadata().context(|| "could not read the CD".to_owned())?.len();
        Ok(Contents { file, size, places: places(&String::from_utf8_lossy(&finished.stdout)) })
    }

    /// Returns the first bytes of a file; `None` if it is missing or truncated.
    pub(crate) fn bytes(&self, path: &str, most: usize) -> Option<Vec<u8>> {
        let range = self.places.get(path)?;
        let mut bytes = vec![0; most.min((range.end - range.start) as usize)];
        let is_whole = range.end <= self.size && self.file.read_exact_at(&mut bytes, range.start).is_ok();
        is_whole.then_some(bytes)
    }

    /// Returns kernel, initramfs images and command line of the first entry of GRUB's menu. If the menu has no
    /// kernel, its own path is returned instead.
    pub(crate) fn menu(&self) -> (String, Vec<String>, String) {
        let text = self.bytes(MENU, 64 << 10).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = |word: &str| {
            text.lines().find_map(|line| Some(line.trim().strip_prefix(word)?.trim().to_owned()))
        };
        let linux = line("linux ").unwrap_or_else(|| MENU.to_owned());
        let (kernel, command_line) = linux.split_once(' ').unwrap_or((&linux, ""));
        let initrds = line("initrd ").unwrap_or_default();
        (kernel.to_owned(), initrds.split_whitespace().map(str::to_owned).collect(), from_grub(command_line))
    }

    /// Returns whether ister made the CD.
    pub(crate) fn is_own(&self) -> bool {
        let is_mark =
            |path: &String| path.strip_prefix("/.disk/").is_some_and(|name| Uuid::parse_str(name).is_ok());
        self.places.keys().any(is_mark)
    }

    /// Returns the first root tree that live-boot mounts. Source: live-boot(7).
    pub(crate) fn squashfs(&self) -> Option<Range<u64>> {
        let mut names: Vec<&String> = self
            .places
            .keys()
            .filter(|name| name.starts_with("/live/") && name.ends_with(".squashfs"))
            .collect();
        names.sort();
        self.places.get(*names.first()?).cloned().filter(|range| range.end <= self.size)
    }

    /// Returns the files and directories. Sizes and offsets are those stored on the CD and may be wrong.
    pub(crate) fn tree(&self) -> FileTree {
        let mut tree =
            FileTree { nodes: vec![node(mode::DIRECTORY | 0o755, Body::Directory(BTreeMap::new()))] };
        for (path, range) in &self.places {
            let mut at = ROOT;
            let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
            while let Some(part) = parts.next() {
                let length = range.end - range.start;
                let new = match parts.peek() {
                    Some(_) => node(mode::DIRECTORY | 0o755, Body::Directory(BTreeMap::new())),
                    None => {
                        let extents = vec![Extent { at: 0, from: range.start, length }];
                        let body = Body::File(Content::Extents(extents));
                        Node { size: length, ..node(mode::FILE | 0o644, body) }
                    }
                };
                let next = tree.nodes.len();
                let Body::Directory(entries) = &mut tree.nodes[at].body else { break };
                at = *entries.entry(part.as_bytes().to_vec()).or_insert(next);
                if at == next {
                    tree.nodes.push(new);
                }
            }
        }
        tree
    }

    /// Returns the images of the boot catalog with their errors.
    pub(crate) fn start(&self) -> BootCatalog {
        let with_fault = |(firmware, range): (Firmware, Range<u64>)| CdImage {
            firmware,
            fault: self.fault(firmware, range),
        };
        self.images().into_iter().map(with_fault).collect()
    }

    /// Returns the images of the boot catalog with their byte ranges.
    pub(crate) fn images(&self) -> Vec<(Firmware, Range<u64>)> {
        let sector = |number: u64| {
            let mut bytes = vec![0; SECTOR as usize];
            let read = self.file.read_exact_at(&mut bytes, number.checked_mul(SECTOR)?);
            read.is_ok().then_some(bytes)
        };
        let record = sector(17).unwrap_or_default();
        let catalogue = catalogue_place(&record).and_then(sector).unwrap_or_default();
        boot_images(&catalogue)
            .into_iter()
            .map(|(firmware, range)| {
                let is_open = range.is_empty() && firmware == Firmware::Uefi;
                let end = if is_open { self.size } else { range.end };
                (firmware, range.start..end)
            })
            .collect()
    }

    pub(crate) fn fault(&self, firmware: Firmware, range: Range<u64>) -> Option<String> {
        if range.end > self.size || range.is_empty() {
            return Some(format!("its bytes {} to {} are outside of the file", range.start, range.end));
        }
        match firmware {
            Firmware::Bios => {
                let mut bytes = [0; 512];
                let read = self.file.read_exact_at(&mut bytes, range.start);
                (read.is_err() || bytes == [0; 512]).then(|| "it is empty".to_owned())
            }
            Firmware::Uefi => {
                let size = range.end - range.start;
                let window = Window { file: self.file, offset: range.start, size };
                let tree = Opened::open(&window).and_then(|opened| opened.tree());
                match tree {
                    Err(error) => Some(format!("it is not a valid vfat filesystem: {error}")),
                    // Names in vfat are case-insensitive.
                    Ok(tree)
                        if !tree
                            .paths()
                            .iter()
                            .any(|(path, _)| path.eq_ignore_ascii_case(LOADER.as_bytes())) =>
                    {
                        Some(format!("{LOADER} is missing"))
                    }
                    Ok(_) => None,
                }
            }
        }
    }
}

/// Returns the firmware types in the boot catalog of a CD. Empty if the file is not a CD or is not bootable.
pub fn boot_catalog(disk: &File) -> std::io::Result<Vec<Firmware>> {
    let read = |at: u64| -> std::io::Result<Vec<u8>> {
        let mut sector = vec![0; SECTOR as usize];
        let mut filled = 0;
        while filled < sector.len() {
            match disk.read_at(&mut sector[filled..], at.saturating_mul(SECTOR) + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(sector)
    };
    match catalogue_place(&read(17)?) {
        Some(place) => Ok(boot_images(&read(place)?).into_iter().map(|(firmware, _)| firmware).collect()),
        None => Ok(Vec::new()),
    }
}

/// Returns the sector of the boot catalog. Source: El Torito 1.0, figure 7, "Boot Record Volume Descriptor".
pub(crate) fn catalogue_place(record: &[u8]) -> Option<u64> {
    record.starts_with(b"\0CD001\x01EL TORITO SPECIFICATION").then_some(())?;
    Some(u64::from(u32::from_le_bytes(record.get(0x47..0x4b)?.try_into().ok()?)))
}

/// Returns the images of a boot catalog with their byte ranges. The range is empty if the size is unspecified.
/// Source: El Torito 1.0, figures 2 to 5; UEFI 2.10, 13.3.2.1 (platform 0xef).
pub(crate) fn boot_images(catalogue: &[u8]) -> Vec<(Firmware, Range<u64>)> {
    const ENTRY: usize = 32;
    const BOOTABLE: u8 = 0x88;
    const EFI: u8 = 0xef;
    let firmware = |platform: u8| match platform {
        0 => Some(Firmware::Bios),
        EFI => Some(Firmware::Uefi),
        _ => None,
    };
    let image = |firmware: Firmware, entry: &[u8]| {
        let start = u64::from(u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]])) * SECTOR;
        let count = u64::from(u16::from_le_bytes([entry[6], entry[7]])) * 512;
        let length = match firmware {
            // The BIOS loads complete sectors. Source: SeaBIOS, src/cdrom.c, cdrom_boot.
            Firmware::Bios => count.next_multiple_of(SECTOR),
            // 0 and 1 mean up to the end of the CD. Source: UEFI 2.10, 13.3.2.1.
            Firmware::Uefi => {
                if count > 512 {
                    count
                } else {
                    0
                }
            }
        };
        (entry[0] == BOOTABLE).then(|| (firmware, start..start + length))
    };
    let mut entries = catalogue.chunks_exact(ENTRY);
    let Some(validation) = entries.next().filter(|entry| entry[0] == 1 && entry[30..] == [0x55, 0xaa]) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut add = |platform: u8, entry: &[u8]| {
        found.extend(firmware(platform).and_then(|firmware| image(firmware, entry)));
    };
    if let Some(first) = entries.next() {
        add(validation[1], first);
    }
    while let Some(header) = entries.next().filter(|entry| matches!(entry[0], 0x90 | 0x91)) {
        for _ in 0..u16::from_le_bytes([header[2], header[3]]) {
            let Some(entry) = entries.next() else { break };
            add(header[1], entry);
        }
        if header[0] == 0x91 {
            break;
        }
    }
    found
}

/// Parses the byte range of each file. Source: xorriso(1), "report_lba".
pub(crate) fn places(output: &str) -> HashMap<String, Range<u64>> {
    let line = |line: &str| {
        let mut fields = line.strip_prefix("File data lba:")?.split(" , ").map(str::trim);
        let (_, lba, _, size, path) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let start = lba.parse::<u64>().ok()?.checked_mul(SECTOR)?;
        let end = start.checked_add(size.parse().ok()?)?;
        Some((path.trim_matches('\'').to_owned(), start..end))
    };
    // A file of 4 GiB or more has a line for each piece with the total size. The pieces are contiguous.
    let mut places = HashMap::new();
    for (path, range) in output.lines().filter_map(line) {
        places.entry(path).or_insert(range);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xorriso_output_is_parsed() {
        let output = "Report layout: xt , Startlba ,   Blocks , Filesize , ISO image path\n\
                    File data lba:  0 ,       40 ,     4211 ,  8622080 , '/live/vmlinuz'\n";
        assert_eq!(places(output), HashMap::from([("/live/vmlinuz".to_owned(), 81_920..8_704_000)]));
        let pieces = "File data lba:  0 , 1 , 2097151 , 5000000000 , '/a'\nFile data lba:  1 , 2097152 , 344255 , 5000000000 , '/a'\n";
        assert_eq!(places(pieces), HashMap::from([("/a".to_owned(), 2048..5_000_002_048)]));
    }

    #[test]
    fn boot_catalog_has_both_firmware_types() {
        let entry = |bytes: &[(usize, u8)]| {
            let mut entry = [0; 32];
            for (at, byte) in bytes {
                entry[*at] = *byte;
            }
            entry
        };
        let validation = entry(&[(0, 1), (30, 0x55), (31, 0xaa)]);
        let bios = entry(&[(0, 0x88), (6, 4), (8, 40)]);
        let header = entry(&[(0, 0x91), (1, 0xef), (2, 1)]);
        let uefi = entry(&[(0, 0x88), (8, 50)]);
        let catalogue = [validation, bios, header, uefi].concat();
        let images = boot_images(&catalogue);
        assert_eq!(images, [(Firmware::Bios, 81_920..83_968), (Firmware::Uefi, 102_400..102_400)]);
        assert_eq!(boot_images(&catalogue[..64]), images[..1]);
        assert_eq!(boot_images(&catalogue[32..]), []);
        assert_eq!(boot_images(&[]), []);
    }
}
