//! A CD that starts a live system by BIOS and by UEFI, and a USB stick when it is written to one: kernel, initramfs and the root
//! tree as squashfs, which live-boot mounts with a layer in memory above it.
//!
//! GRUB starts both: from El Torito's boot catalogue (BIOS: `i386-pc-eltorito`, UEFI: an ESP that is a partition behind the ISO
//! filesystem), and from the same medium as a disk (the hybrid MBR, the same ESP). Sources: El Torito 1.0; UEFI 2.10, 13.3.2;
//! xorrisofs(1), "Bootable ISO images"; live-boot(7).

use super::comparison::Comparing;
use super::iso_esp;
use super::nodes::node;
use super::pxe::{is_inside, kernel_of};
use super::source::Raw;
use super::squashfs::squashfs;
use super::tree::{Item, Tree};
use super::unreadable::Unreadable;
use crate::disk::{Body, Content, Extent, Node, Opened, ROOT, Tree as FileTree, Window, mode};
use crate::host::{Context, Failure, Invocation, Names, inherited_name, run};
use crate::image::newest_kernel;
use crate::plan::command_line::{altered_by_grub, for_grub, from_grub};
use crate::plan::{Diskless, Firmware};
use rustix::fs::{Timespec, Timestamps, futimens};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

const BIOS: &str = "/usr/lib/grub/i386-pc";
const UEFI: &str = "/usr/lib/grub/x86_64-efi";
/// What both need to find their configuration on the medium, and to start Linux.
const MODULES: &[&str] = &[
    "normal",
    "configfile",
    "search",
    "search_fs_file",
    "iso9660",
    "part_gpt",
    "part_msdos",
    "linux",
    "boot",
];
/// Bytes of a sector. Source: ECMA-119, 6.1.2.
pub(super) const SECTOR: u64 = 2048;
const MENU: &str = "/boot/grub/grub.cfg";
/// What UEFI starts from removable media. Source: UEFI 2.10, 3.5.1.1.
const LOADER: &str = "/EFI/BOOT/BOOTX64.EFI";
/// An ISO 9660 label has 32 characters. Source: ECMA-119, 8.4.7.
const LABEL: usize = 32;

/// What an ISO is called, and by what it finds itself again.
pub(super) struct Name<'n> {
    pub stem: &'n str,
    pub id: Uuid,
    /// Seconds since 1970.
    pub time: u64,
}

/// Writes into `out`, an empty file; unnamed files go to `scratch`. Gives what the format could not keep, in words.
pub(super) fn write(
    root: &Raw,
    diskless: &Diskless,
    name: &Name,
    scratch: &Path,
    out: &File,
) -> Result<Option<String>, Failure> {
    let context = || "could not make a CD of the root tree".to_owned();
    let tree = Tree::read(root).context(context)?;
    if !["/usr/lib/live/boot", "/lib/live/boot"].iter().any(|directory| !tree.list(directory).is_empty()) {
        return Err(Failure::new("the root tree has nothing that would find it on a CD")
            .detail("expected: live-boot, in the tree and in its initramfs")
            .help("for Debian content `Formats` with iso brings it; other content cannot be an iso yet"));
    }
    let kernel = unpacked(&tree, kernel_of(&tree)?, scratch)?;
    let initrds = initrds(&tree, scratch)?;
    let squashfs = squashfs(&tree, diskless, name.time, scratch)?;
    let file = |text: &str| unnamed(text.as_bytes(), name.time, scratch);
    let parts: Vec<String> = (0..initrds.len()).map(|index| format!("initrd{index}")).collect();
    let menu = file(&menu(&diskless.command_line, &parts)?)?;
    let id = name.id.to_string();
    let mark = file(&format!("{id}\n"))?;
    let early = file(&format!(
        "search --no-floppy --file --set=root /.disk/{id}\nset prefix=($root)/boot/grub\nconfigfile ($root)/boot/grub/grub.cfg\n"
    ))?;
    let bios = grub("i386-pc-eltorito", BIOS, &["biosdisk"], &early, name.time, scratch)?;
    let uefi = grub("x86_64-efi", UEFI, &[], &early, name.time, scratch)?;
    let esp = iso_esp::esp(&uefi, name, scratch)?;

    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(name.time)).to_string();
    // Digits of year to second, and hundredths.
    let date: String = time.chars().filter(char::is_ascii_digit).collect::<String>() + "00";
    // xorriso reads no file that has no name.
    let mut names = Names::begin(scratch)?;
    let mut xorriso = Invocation::new("xorriso")
        .dying_with_us()
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-o"])
        // It does not write where a link leads to, but to what it inherits.
        .arg(format!("stdio:/dev/fd/{}", out.as_raw_fd()))
        .inheriting(out)?
        .args(["-V", &label(name.stem), "-iso-level", "3", "-r"])
        .arg(format!("--modification-date={date}"))
        .args(["--set_all_file_dates", &date, "--gpt_disk_guid", &id])
        .args(["-b", "boot/grub/eltorito.img", "-c", "boot/boot.cat", "-no-emul-boot"])
        .args(["-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info"])
        .args(["--grub2-mbr", &format!("{BIOS}/boot_hybrid.img"), "-partition_cyl_align", "off"])
        .args(["-append_partition", "2", "0xef", &names.give(&esp)?, "-appended_part_as_gpt"])
        .args(["-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"])
        .arg("-graft-points");
    let mut files = vec![
        (format!(".disk/{id}"), &mark),
        ("boot/grub/eltorito.img".to_owned(), &bios),
        ("boot/grub/grub.cfg".to_owned(), &menu),
        ("live/vmlinuz".to_owned(), &kernel),
        ("live/filesystem.squashfs".to_owned(), &squashfs),
    ];
    files.extend(parts.iter().map(|part| format!("live/{part}")).zip(&initrds));
    for (path, file) in &files {
        xorriso = xorriso.arg(format!("{path}={}", names.give(file)?));
    }
    run(&reproducible(xorriso, name.time))?;
    drop(names);
    // What starts by BIOS has been patched: it now knows where it is.
    files.retain(|(path, _)| path != "boot/grub/eltorito.img");
    check(out, &files)?;
    // Source: Linux, Documentation/filesystems/squashfs.rst: what is of the system's own namespace has no place.
    Ok(tree.lost(|item| is_inside(item, diskless), |name| !name.starts_with("system.")))
}

/// What can be read of a CD.
pub(super) struct Contents<'f> {
    file: &'f File,
    size: u64,
    /// Of each file its bytes: they lie in one piece.
    places: HashMap<String, Range<u64>>,
}

/// What one kind of firmware is given by the boot catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdImage {
    pub firmware: Firmware,
    /// Why it would not start.
    pub fault: Option<String>,
}

/// All of the boot catalogue.
pub type CdStart = Vec<CdImage>;

impl<'f> Contents<'f> {
    pub(super) fn read(file: &'f File) -> Result<Contents<'f>, Unreadable> {
        let finished = run(&Invocation::new("xorriso")
            .args(["-no_rc", "-indev", &format!("stdio:{}", inherited_name(file))])
            .inheriting(file)?
            .args(["-find", "/", "-type", "f", "-exec", "report_lba", "--"]))?;
        let size = file.metadata().context(|| "could not read the CD".to_owned())?.len();
        Ok(Contents { file, size, places: places(&String::from_utf8_lossy(&finished.stdout)) })
    }

    /// A file's first bytes; nothing if it is not there, or not all of it.
    pub(super) fn bytes(&self, path: &str, most: usize) -> Option<Vec<u8>> {
        let range = self.places.get(path)?;
        let mut bytes = vec![0; most.min((range.end - range.start) as usize)];
        let is_whole = range.end <= self.size && self.file.read_exact_at(&mut bytes, range.start).is_ok();
        is_whole.then_some(bytes)
    }

    /// What GRUB's menu starts first: kernel, initramfs, command line. The menu's own name stands for a kernel if it names none.
    pub(super) fn menu(&self) -> (String, Vec<String>, String) {
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

    /// Whether it was made as [`write`] makes them.
    pub(super) fn is_own(&self) -> bool {
        let is_mark =
            |path: &String| path.strip_prefix("/.disk/").is_some_and(|name| Uuid::parse_str(name).is_ok());
        self.places.keys().any(is_mark)
    }

    /// The first root tree that live-boot would mount. Source: live-boot(7).
    pub(super) fn squashfs(&self) -> Option<Range<u64>> {
        let mut names: Vec<&String> = self
            .places
            .keys()
            .filter(|name| name.starts_with("/live/") && name.ends_with(".squashfs"))
            .collect();
        names.sort();
        self.places.get(*names.first()?).cloned().filter(|range| range.end <= self.size)
    }

    /// Its files and directories. Sizes and places are what the CD says.
    pub(super) fn tree(&self) -> FileTree {
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

    /// The boot catalogue, with what is wrong with each image.
    pub(super) fn start(&self) -> CdStart {
        let with_fault = |(firmware, range): (Firmware, Range<u64>)| CdImage {
            firmware,
            fault: self.fault(firmware, range),
        };
        self.images().into_iter().map(with_fault).collect()
    }

    /// What it offers, with where that is.
    pub(super) fn images(&self) -> Vec<(Firmware, Range<u64>)> {
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

    fn fault(&self, firmware: Firmware, range: Range<u64>) -> Option<String> {
        if range.end > self.size || range.is_empty() {
            return Some(format!("its bytes {} to {} are not all there", range.start, range.end));
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
                    Err(error) => Some(format!("it is no vfat filesystem: {error}")),
                    // Names of vfat have no case.
                    Ok(tree)
                        if !tree
                            .paths()
                            .iter()
                            .any(|(path, _)| path.eq_ignore_ascii_case(LOADER.as_bytes())) =>
                    {
                        Some(format!("it has no {LOADER}"))
                    }
                    Ok(_) => None,
                }
            }
        }
    }
}

/// The firmware that the boot catalogue of a CD has an entry for; nothing for what is no CD, or not bootable.
pub fn boot_catalogue(disk: &File) -> std::io::Result<Vec<Firmware>> {
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

/// Where the boot catalogue is. Source: El Torito 1.0, figure 7, "Boot Record Volume Descriptor".
fn catalogue_place(record: &[u8]) -> Option<u64> {
    record.starts_with(b"\0CD001\x01EL TORITO SPECIFICATION").then_some(())?;
    Some(u64::from(u32::from_le_bytes(record.get(0x47..0x4b)?.try_into().ok()?)))
}

/// What a boot catalogue offers, with where it is; nothing between both ends if its size is not told. Source: El Torito 1.0,
/// figures 2 to 5; UEFI 2.10, 13.3.2.1 (platform 0xef).
fn boot_images(catalogue: &[u8]) -> Vec<(Firmware, Range<u64>)> {
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
            // Whole sectors are loaded. Source: SeaBIOS, src/cdrom.c, cdrom_boot.
            Firmware::Bios => count.next_multiple_of(SECTOR),
            // 0 and 1: up to the end of the CD. Source: UEFI 2.10, 13.3.2.1.
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

/// Whether each file is there as it was given.
fn check(iso: &File, files: &[(String, &File)]) -> Result<(), Failure> {
    let context = || "could not compare the CD with what it was made of".to_owned();
    let contents = Contents::read(iso).map_err(Unreadable::failure)?;
    let mut buffer = vec![0; 1 << 20];
    for (path, file) in files {
        let wrong =
            |what: &str| Failure::new(format!("what was written does not read back: `{path}` {what}"));
        let range = contents.places.get(&format!("/{path}")).ok_or_else(|| wrong("is not there"))?;
        if range.end - range.start != file.metadata().context(context)?.len() {
            return Err(wrong("has another size"));
        }
        let mut should = *file;
        should.rewind().context(context)?;
        let mut there = Comparing::new(Piece { file: iso, at: range.start, end: range.end });
        loop {
            let count = should.read(&mut buffer).context(context)?;
            if count == 0 {
                break;
            }
            there
                .write_all(&buffer[..count])
                .context(|| format!("what was written does not read back: `{path}`"))?;
        }
    }
    Ok(())
}

/// Of each file where its bytes are. Source: xorriso(1), "report_lba".
fn places(said: &str) -> HashMap<String, Range<u64>> {
    let line = |line: &str| {
        let mut fields = line.strip_prefix("File data lba:")?.split(" , ").map(str::trim);
        let (_, lba, _, size, path) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let start = lba.parse::<u64>().ok()?.checked_mul(SECTOR)?;
        let end = start.checked_add(size.parse().ok()?)?;
        Some((path.trim_matches('\'').to_owned(), start..end))
    };
    // A file of 4 GiB or more has a line for each piece, with the size of all: the pieces follow each other.
    let mut places = HashMap::new();
    for (path, range) in said.lines().filter_map(line) {
        places.entry(path).or_insert(range);
    }
    places
}

/// Some bytes of a file.
struct Piece<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = (self.end - self.at).min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The time that the programs write instead of now. Source: reproducible-builds.org, SOURCE_DATE_EPOCH.
pub(super) fn reproducible(invocation: Invocation, time: u64) -> Invocation {
    invocation.env("SOURCE_DATE_EPOCH", time.to_string()).env("TZ", "UTC")
}

fn label(stem: &str) -> String {
    stem.chars()
        .take(LABEL)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect()
}

fn menu(command_line: &str, parts: &[String]) -> Result<String, Failure> {
    let initrds: Vec<String> = parts.iter().map(|part| format!("/live/{part}")).collect();
    let arguments = for_grub(command_line).ok_or_else(|| {
        let word = altered_by_grub(command_line).unwrap_or_default();
        Failure::new(format!("GRUB cannot carry `{word}` on the kernel command line of a CD")).of_template()
    })?;
    Ok(format!(
        "set default=0\nset timeout=0\nmenuentry \"Live system\" {{\n\tlinux /live/vmlinuz boot=live {arguments}\n\tinitrd {}\n}}\n",
        initrds.join(" ")
    ))
}

fn unnamed(bytes: &[u8], time: u64, scratch: &Path) -> Result<File, Failure> {
    let context = || format!("could not write a file in `{}`", scratch.display());
    let mut file = tempfile::tempfile_in(scratch).context(context)?;
    file.write_all(bytes).context(context)?;
    date(&file, time)?;
    Ok(file)
}

/// mcopy takes a file's own time over.
fn date(file: &File, time: u64) -> Result<(), Failure> {
    let time = Timespec { tv_sec: time as i64, tv_nsec: 0 };
    futimens(file, &Timestamps { last_access: time, last_modification: time })
        .map_err(io::Error::from)
        .context(|| "could not set a file's time".to_owned())
}

fn unpacked(tree: &Tree, item: &Item, scratch: &Path) -> Result<File, Failure> {
    let context = || format!("could not unpack `{}`", item.path);
    let mut file = tempfile::tempfile_in(scratch).context(context)?;
    io::copy(&mut tree.reader(item), &mut file).context(context)?;
    Ok(file)
}

fn initrds(tree: &Tree, scratch: &Path) -> Result<Vec<File>, Failure> {
    let kernel = newest_kernel(|directory| tree.list(directory));
    let names = kernel.map(|kernel| kernel.initramfs).unwrap_or_default();
    let files: Vec<File> = names
        .iter()
        .filter_map(|name| tree.find(&format!("/boot{name}")))
        .map(|item| unpacked(tree, item, scratch))
        .collect::<Result<_, _>>()?;
    if files.is_empty() {
        return Err(Failure::new("the root tree has no initramfs that could find it on a CD"));
    }
    Ok(files)
}

fn grub(
    format: &str,
    directory: &str,
    more: &[&str],
    early: &File,
    time: u64,
    scratch: &Path,
) -> Result<File, Failure> {
    let out = tempfile::tempfile_in(scratch)
        .context(|| format!("could not write a file in `{}`", scratch.display()))?;
    run(&Invocation::new("grub-mkimage")
        .args(["-O", format, "-d", directory, "-p", "/boot/grub", "-c"])
        .arg(inherited_name(early))
        .arg("-o")
        .arg(inherited_name(&out))
        .inheriting(early)?
        .inheriting(&out)?
        .args(more)
        .args(MODULES))?;
    date(&out, time)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_what_xorriso_says() {
        let said = "Report layout: xt , Startlba ,   Blocks , Filesize , ISO image path\n\
                    File data lba:  0 ,       40 ,     4211 ,  8622080 , '/live/vmlinuz'\n";
        assert_eq!(places(said), HashMap::from([("/live/vmlinuz".to_owned(), 81_920..8_704_000)]));
        let pieces = "File data lba:  0 , 1 , 2097151 , 5000000000 , '/a'\nFile data lba:  1 , 2097152 , 344255 , 5000000000 , '/a'\n";
        assert_eq!(places(pieces), HashMap::from([("/a".to_owned(), 2048..5_000_002_048)]));
    }

    #[test]
    fn a_boot_catalogue_names_both_firmwares() {
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

    #[test]
    fn labels_and_menus() {
        assert_eq!(label("live-server"), "LIVE_SERVER");
        assert_eq!(label(&"x".repeat(40)).len(), 32);
        let text = menu("console=ttyS0", &["initrd0".to_owned(), "initrd1".to_owned()]).expect("a line");
        assert!(
            text.contains(
                "\tlinux /live/vmlinuz boot=live console=ttyS0\n\tinitrd /live/initrd0 /live/initrd1\n"
            ),
            "{text}"
        );
    }
}
