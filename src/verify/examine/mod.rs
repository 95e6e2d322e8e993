//! Reads an image into facts.

mod partition;
mod start;
mod verity;

use super::boot_path::{self, BootPaths};
use super::facts::{Facts, PartitionFacts, Scheme, TableCopy, TableFacts};
use super::package_files::PackageFiles;
use super::programs;
use super::system::System;
use crate::disk::{ReadError, Tree, VolumeKind, Window, detect};
use crate::host::{Context, Failure, Progress};
use crate::image::format::OpenedImage;
use crate::plan::command_line::words;
use crate::plan::layout::gpt::{self, GptEntry, GptHeader, HeaderError};
use crate::plan::layout::mbr::{Mbr, Record};
use crate::plan::layout::{Lba, SectorSize, first_usable};
use crate::plan::{ESP, Plan};
use crate::template::{Bytes, Secret};
use partition::{Readable, partition};
pub use start::{StartFiles, default_start};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The image to examine, and the inputs for that.
pub struct Examination<'a> {
    /// File name of the image.
    pub name: &'a str,
    pub image: &'a OpenedImage,
    /// The expected layout.
    pub plan: Option<Plan>,
    /// Passphrases to try on encrypted partitions.
    pub passphrases: Vec<Secret>,
    /// Strings that identify the build host.
    pub host_marks: Vec<String>,
    /// A directory for unnamed temporary files.
    pub scratch: &'a Path,
}

/// Reads partition tables, filesystems and the installed system.
pub fn examine(examination: &Examination, progress: &dyn Progress) -> Result<Facts, Failure> {
    let image = examination.image;
    progress.begin("reading the partition table");
    let (sector, table) = table_of(image).context(|| format!("could not read `{}`", examination.name))?;
    let scheme = scheme(examination, &table)?;
    let entries = partitions(scheme, &table, image.size, sector);
    progress.begin("reading and checking filesystems");
    // In parallel, because each thread waits for an fsck process.
    let looked: Vec<Result<(PartitionFacts, Option<Readable>), Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            entries.iter().map(|entry| scope.spawn(move || partition(examination, entry, sector))).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(Failure::new("internal error: a thread that reads a partition panicked"))
                })
            })
            .collect()
    });
    let mut partitions = Vec::new();
    let mut readable = Vec::new();
    for outcome in looked {
        let (mut facts, tree) = outcome?;
        facts.partuuid = match (scheme, &table.records) {
            (Scheme::Gpt, _) => Some(facts.entry.guid.to_string()),
            (Scheme::Mbr, Some(mbr)) => Some(mbr.partuuid(facts.entry.number)),
            _ => None,
        };
        partitions.push(facts);
        readable.extend(tree);
    }
    progress.begin("following the boot paths");
    let boot_paths = boot_paths(&image.file, &table, &partitions, &readable);
    let verity = verity::verity(&image.file, &partitions, &boot_paths)?;
    progress.begin("checking the installed system");
    let init = boot_paths.kernels().find(|(_, chosen)| !chosen).and_then(|(start, _)| {
        words(&start.options).into_iter().filter_map(|word| word.strip_prefix("init=")).next_back()
    });
    let mut system = system(readable, examination.plan.as_ref(), &partitions, init, examination.scratch)?;
    if let Some(system) = &mut system {
        let vfat = partitions.iter().filter(|partition| partition.kind == Some(VolumeKind::Vfat));
        system.without_modes = vfat.map(|partition| partition.entry.number).collect();
        system.host_marks.clone_from(&examination.host_marks);
    }
    Ok(Facts {
        name: examination.name.to_owned(),
        format: image.format,
        ambiguous_size: image.ambiguous_size,
        is_gce_archive: image.is_gce_archive,
        size: image.size,
        sector,
        scheme,
        table,
        partitions,
        plan: examination.plan.clone(),
        boot_paths,
        verity,
        system,
    })
}

/// A disk with a plan, or with any trace of a GPT, is expected to have a GPT.
fn scheme(examination: &Examination, table: &TableFacts) -> Result<Scheme, Failure> {
    let image = examination.image;
    let absent = |copy: &TableCopy| copy.header == Err(HeaderError::Signature);
    let has_gpt = !absent(&table.primary) || !absent(&table.backup);
    let records = table.records.as_ref();
    if examination.plan.is_some() || has_gpt || records.is_some_and(Mbr::is_protective) {
        return Ok(Scheme::Gpt);
    }
    if records.is_some_and(|mbr| mbr.partitions().next().is_some()) {
        return Ok(Scheme::Mbr);
    }
    let whole = Window { file: &image.file, offset: 0, size: image.size };
    Ok(match detect(&whole).map_err(|error| unreadable(&error))? {
        Some(_) => Scheme::Whole,
        None => Scheme::Gpt,
    })
}

fn partitions(scheme: Scheme, table: &TableFacts, size: u64, sector: SectorSize) -> Vec<GptEntry> {
    match scheme {
        Scheme::Gpt => table.valid().map(|(_, entries)| entries.to_vec()).unwrap_or_default(),
        Scheme::Mbr => table.records.iter().flat_map(Mbr::partitions).map(of_record).collect(),
        Scheme::Whole => {
            let last = Lba((size / sector.bytes()).saturating_sub(1));
            vec![GptEntry { number: 0, first: Lba(0), last, ..of_type(LINUX_DATA) }]
        }
    }
}

/// The GPT entry that corresponds to an MBR partition. Sources: UEFI 2.10, table 5.2; UAPI.2; sfdisk(8), --list-types.
fn of_record(record: &Record) -> GptEntry {
    let kind = match record.kind {
        0xef => ESP,
        0xea => XBOOTLDR,
        0x82 => SWAP,
        _ => LINUX_DATA,
    };
    GptEntry {
        number: record.number,
        first: record.first,
        last: record.last(),
        attributes: u64::from(record.is_active) << 2,
        ..of_type(kind)
    }
}

fn of_type(type_guid: uuid::Uuid) -> GptEntry {
    let (number, guid, attributes, name) = (0, uuid::Uuid::nil(), 0, String::new());
    GptEntry { number, type_guid, guid, first: Lba(0), last: Lba(0), attributes, name }
}

/// Source: UAPI.2.
const LINUX_DATA: uuid::Uuid = uuid::uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
const SWAP: uuid::Uuid = uuid::uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
/// Source: UAPI.1, "The Partitions".
const XBOOTLDR: uuid::Uuid = uuid::uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172");

/// Follows the boot paths on all filesystems that boot loaders can read.
fn boot_paths(
    image: &File,
    table: &TableFacts,
    partitions: &[PartitionFacts],
    readable: &[Readable],
) -> BootPaths {
    let not_read = partitions.iter().filter(|partition| matches!(partition.kind, Some(VolumeKind::Other(_))));
    let open: Vec<&Readable> = readable.iter().filter(|readable| !readable.is_encrypted).collect();
    let windows: Vec<Window> = open.iter().map(|readable| readable.window()).collect();
    let volumes = open.iter().zip(&windows).map(|(readable, window)| readable.volume(window));
    let sectors = |lba: u64, length: usize| {
        let mut bytes = vec![0; length];
        image.read_exact_at(&mut bytes, lba.checked_mul(512)?).ok()?;
        Some(bytes)
    };
    boot_path::follow(&boot_path::Disk {
        volumes: volumes.collect(),
        not_read: not_read.map(|partition| partition.entry.number).collect(),
        boot_code: &table.boot_code,
        sectors: &sectors,
    })
}

/// The partition table of an image, with the sector size of its format.
pub fn table_of(image: &OpenedImage) -> std::io::Result<(SectorSize, TableFacts)> {
    read_table(&image.file, image.size, image.format.sector_size())
}

/// Reads both copies of the table. If no sector size is given, it is determined by the location of the header; 512 if
/// there is none.
pub fn read_table(
    file: &File,
    size: u64,
    sector: Option<SectorSize>,
) -> std::io::Result<(SectorSize, TableFacts)> {
    let has_header = |sector: SectorSize| {
        let mut bytes = vec![0; sector.bytes() as usize];
        file.read_exact_at(&mut bytes, sector.bytes()).is_ok()
            && GptHeader::decode(&bytes) != Err(HeaderError::Signature)
    };
    let backup_at_4096 = || {
        let mut bytes = [0; 8];
        size >= 4096 && file.read_exact_at(&mut bytes, size - 4096).is_ok() && bytes == *b"EFI PART"
    };
    let sector = if let Some(sector) = sector {
        sector
    } else if has_header(SectorSize::B512) {
        SectorSize::B512
    } else if has_header(SectorSize::B4096) || backup_at_4096() {
        SectorSize::B4096
    } else {
        SectorSize::B512
    };
    let bytes = sector.bytes();
    let mut first = vec![0; bytes.min(size) as usize];
    file.read_exact_at(&mut first, 0)?;
    let primary = copy(file, size, sector, 1);
    let backup = copy(file, size, sector, (size / bytes).saturating_sub(1));
    let boot_code = first.get(..440).unwrap_or_default().to_vec();
    let read_sector = |at: Lba| {
        let mut sector = vec![0; 512];
        file.read_exact_at(&mut sector, at.0.checked_mul(bytes)?).ok()?;
        Some(sector)
    };
    let mut facts = TableFacts {
        mbr: gpt::check_mbr(&first, size / bytes),
        records: first.get(..512).and_then(|first| Mbr::read(first, read_sector)),
        primary,
        backup,
        core: grub_core(file, size, &boot_code)?,
        boot_code,
        gap: Vec::new(),
    };
    let until = facts.valid().and_then(|(_, entries)| entries.iter().map(|e| e.first.0).min());
    if let Some(until) = until {
        let start = first_usable(sector).0 * bytes;
        // The core image of a boot loader is smaller than this.
        let end = until.saturating_mul(bytes).min(start + Bytes::MIB).min(size);
        facts.gap = vec![0; end.saturating_sub(start) as usize];
        file.read_exact_at(&mut facts.gap, start)?;
    }
    Ok((sector, facts))
}

/// Reads GRUB's core image from the sector in its boot code. Source: GRUB 2.06, include/grub/i386/pc/boot.h,
/// GRUB_BOOT_MACHINE_KERNEL_SECTOR.
fn grub_core(file: &File, size: u64, boot_code: &[u8]) -> std::io::Result<Vec<u8>> {
    const MOST: u64 = 1 << 20;
    let is_grub = boot_code.windows(4).any(|window| window == b"GRUB");
    let Some(place) = boot_code.get(0x5c..0x64).filter(|_| is_grub) else { return Ok(Vec::new()) };
    let start = u64::from_le_bytes(place.try_into().expect("eight bytes")).saturating_mul(512);
    let mut core = vec![0; size.saturating_sub(start).min(MOST) as usize];
    file.read_exact_at(&mut core, start)?;
    Ok(core)
}

fn copy(file: &File, size: u64, sector: SectorSize, at: u64) -> TableCopy {
    let mut bytes = vec![0; sector.bytes() as usize];
    let none = |header| TableCopy { header, array_crc: None, entries: Vec::new() };
    if file.read_exact_at(&mut bytes, at * sector.bytes()).is_err() {
        return none(Err(HeaderError::Signature));
    }
    let header = match GptHeader::decode(&bytes) {
        Ok(header) => header,
        Err(fault) => return none(Err(fault)),
    };
    let mut array = vec![0; header.array_size()];
    let place = header.entries.0.saturating_mul(sector.bytes());
    if place >= size || file.read_exact_at(&mut array, place).is_err() {
        return none(Ok(header));
    }
    let entries = gpt::entries(&array, header.entry_size);
    TableCopy { array_crc: Some(gpt::crc32(&array)), entries, header: Ok(header) }
}

/// An error for images that cannot be read because of the host.
pub(super) fn unreadable(error: &ReadError) -> Failure {
    Failure::new("could not read the image").caused_by(error)
}

/// Assembles the installed system. The root filesystem is determined by the plan, or by its directories. Other
/// filesystems are mounted according to the plan, or to fstab and mount units.
fn system(
    mut readable: Vec<Readable>,
    plan: Option<&Plan>,
    partitions: &[PartitionFacts],
    init: Option<&str>,
    scratch: &Path,
) -> Result<Option<System>, Failure> {
    // Partition numbers are not unique if the plan has several disks.
    let is_here =
        |partition: &crate::plan::Partition| partitions.iter().any(|p| p.entry.guid == partition.guid);
    let disk = plan.and_then(|plan| {
        let here = plan.disks.iter().max_by_key(|disk| disk.partitions.iter().filter(|p| is_here(p)).count());
        here.filter(|disk| disk.partitions.iter().any(is_here)).or(plan.disks.first())
    });
    let planned = |mount: &str| {
        disk.and_then(|disk| disk.partitions.iter().find(|p| p.mount.as_deref() == Some(mount)))
            .map(|p| p.number)
    };
    let looks_like_root = |tree: &Tree| tree.find("/etc").is_some() && tree.find("/usr").is_some();
    let Some(index) = readable.iter().position(|r| match planned("/") {
        Some(number) => r.number == number,
        None => looks_like_root(&r.tree),
    }) else {
        return Ok(None);
    };
    let root = readable.remove(index);
    let mut system = System::new(root.number, root.tree.clone());
    let mut sources = BTreeMap::from([(root.number, root)]);
    read_texts(&mut system, &sources)?;
    let mut mounts: Vec<(String, u32)> = match disk {
        Some(disk) => disk
            .partitions
            .iter()
            .filter_map(|p| Some((p.mount.clone()?, p.number)))
            .filter(|(mount, _)| mount != "/")
            .collect(),
        None => super::rules::mounts_of(&system, partitions),
    };
    // An ESP without any configured mount point is mounted at /boot if that is empty, as systemd does.
    if !mounts.iter().any(|(at, _)| at == "/boot")
        && system.list("/boot").is_empty()
        && let Some(esp) = readable.iter().find(|r| r.entry.type_guid == ESP)
        && !mounts.iter().any(|(_, number)| *number == esp.number)
    {
        mounts.push(("/boot".to_owned(), esp.number));
    }
    // Parent directories first.
    mounts.sort_by_key(|(at, _)| at.matches('/').count());
    for (at, number) in mounts {
        if let Some(index) = readable.iter().position(|r| r.number == number) {
            let found = readable.remove(index);
            system.mount(&at, number, found.tree.clone());
            sources.insert(number, found);
        }
    }
    read_texts(&mut system, &sources)?;
    let window = |partition: u32| sources.get(&partition).map(Readable::window);
    let packages = PackageFiles::read(&system, scratch, window)?;
    system.faults = programs::faults(&system, init, &packages, window).map_err(|error| unreadable(&error))?;
    Ok(Some(system))
}

fn read_texts(system: &mut System, sources: &BTreeMap<u32, Readable>) -> Result<(), Failure> {
    system
        .read_texts(|partition| sources.get(&partition).map(Readable::window))
        .map_err(|error| unreadable(&error))
}
