//! ISO images with a live system that boots by BIOS and UEFI, from CD or from a USB stick. They contain kernel,
//! initramfs and the root tree as squashfs. live-boot mounts the squashfs with a writable layer in memory.
//!
//! With both firmware types, GRUB boots from CD through El Torito's boot catalog (BIOS: `i386-pc-eltorito`, UEFI: an
//! ESP in a partition after the ISO filesystem). It also boots from the same medium as a disk, through the hybrid MBR
//! and the same ESP. Sources: El Torito 1.0; UEFI 2.10, 13.3.2; xorrisofs(1), "Bootable ISO images"; live-boot(7).

mod contents;

use super::comparison::Comparing;
use super::iso_esp;
use super::pxe::{is_inside, kernel_of};
use super::source::Raw;
use super::squashfs::squashfs;
use super::tree::{Item, Tree};
use super::unreadable::Unreadable;
use crate::host::{Context, Failure, Invocation, Names, inherited_name, run};
use crate::image::newest_kernel;
use crate::plan::Diskless;
use crate::plan::command_line::{altered_by_grub, for_grub};
pub(super) use contents::Contents;
pub use contents::{BootCatalog, CdImage, boot_catalog};
use rustix::fs::{Timespec, Timestamps, futimens};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

const BIOS: &str = "/usr/lib/grub/i386-pc";
const UEFI: &str = "/usr/lib/grub/x86_64-efi";
/// Modules that both builds of GRUB need to find their configuration on the medium and to boot Linux.
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
/// Sector size in bytes. Source: ECMA-119, 6.1.2.
pub(super) const SECTOR: u64 = 2048;
const MENU: &str = "/boot/grub/grub.cfg";
/// Program that UEFI firmware loads from removable media. Source: UEFI 2.10, 3.5.1.1.
const LOADER: &str = "/EFI/BOOT/BOOTX64.EFI";
/// Maximum length of an ISO 9660 label. Source: ECMA-119, 8.4.7.
const LABEL: usize = 32;

/// Name, identifier and timestamp of an ISO image. GRUB finds the medium by the identifier.
pub(super) struct Name<'n> {
    pub stem: &'n str,
    pub id: Uuid,
    /// Seconds since 1970.
    pub time: u64,
}

/// Writes the image to `out`, an empty file. Unnamed temporary files are created in `scratch`. Returns a description
/// of attributes that the format cannot store.
pub(super) fn write(
    root: &Raw,
    diskless: &Diskless,
    name: &Name,
    scratch: &Path,
    out: &File,
) -> Result<Option<String>, Failure> {
    let context = || "could not make an ISO image of the root tree".to_owned();
    let tree = Tree::read(root).context(context)?;
    if !["/usr/lib/live/boot", "/lib/live/boot"].iter().any(|directory| !tree.list(directory).is_empty()) {
        return Err(Failure::new("live-boot is missing in the root tree")
            .detail("an ISO image needs live-boot in the root tree and in its initramfs")
            .help(
                "use Debian content, for which the format iso adds live-boot, or remove iso from `Formats`",
            ));
    }
    let kernel = unpacked(&tree, kernel_of(&tree)?, scratch)?;
    let initrds = initrds(&tree, scratch)?;
    let squashfs = squashfs(&tree, diskless, name.time, scratch)?;
    let file = |text: &str| unnamed_file(text.as_bytes(), name.time, scratch);
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
    // Digits of the date from year to second, followed by hundredths of a second.
    let date: String = time.chars().filter(char::is_ascii_digit).collect::<String>() + "00";
    // xorriso cannot read unnamed files.
    let mut names = Names::begin(scratch)?;
    let mut xorriso = Invocation::new("xorriso")
        .kill_on_exit()
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-o"])
        // xorriso does not write to symbolic links, but to inherited file descriptors.
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
    // xorriso patches the BIOS boot image with its location.
    files.retain(|(path, _)| path != "boot/grub/eltorito.img");
    check(out, &files)?;
    // squashfs cannot store attributes of the system namespace. Source: Linux,
    // Documentation/filesystems/squashfs.rst.
    Ok(tree.lost(|item| is_inside(item, diskless), |name| !name.starts_with("system.")))
}

/// Checks that the image contains each file unchanged.
fn check(iso: &File, files: &[(String, &File)]) -> Result<(), Failure> {
    let context = || "could not compare the ISO image with its source files".to_owned();
    let contents = Contents::read(iso).map_err(Unreadable::failure)?;
    let mut buffer = vec![0; 1 << 20];
    for (path, file) in files {
        let wrong =
            |what: &str| Failure::new(format!("the ISO image differs after writing: `{path}` {what}"));
        let range = contents.places.get(&format!("/{path}")).ok_or_else(|| wrong("is missing"))?;
        if range.end - range.start != file.metadata().context(context)?.len() {
            return Err(wrong("has a different size"));
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
                .context(|| format!("the ISO image differs after writing: `{path}`"))?;
        }
    }
    Ok(())
}

/// A reader of a byte range of a file.
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

/// Sets the timestamp that programs use instead of the current time. Source: reproducible-builds.org,
/// SOURCE_DATE_EPOCH.
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
        Failure::new(format!("GRUB cannot pass `{word}` on the kernel command line of an ISO image"))
            .of_template()
    })?;
    Ok(format!(
        "set default=0\nset timeout=0\nmenuentry \"Live system\" {{\n\tlinux /live/vmlinuz boot=live {arguments}\n\tinitrd {}\n}}\n",
        initrds.join(" ")
    ))
}

fn unnamed_file(bytes: &[u8], time: u64, scratch: &Path) -> Result<File, Failure> {
    let context = || format!("could not write a temporary file in `{}`", scratch.display());
    let mut file = tempfile::tempfile_in(scratch).context(context)?;
    file.write_all(bytes).context(context)?;
    set_modification_time(&file, time)?;
    Ok(file)
}

/// Sets the modification time of a file.
fn set_modification_time(file: &File, time: u64) -> Result<(), Failure> {
    let time = Timespec { tv_sec: time as i64, tv_nsec: 0 };
    futimens(file, &Timestamps { last_access: time, last_modification: time })
        .map_err(io::Error::from)
        .context(|| "could not set the modification time of a temporary file".to_owned())
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
        return Err(Failure::new("no initramfs in the root tree, which an ISO image needs to boot"));
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
        .context(|| format!("could not write a temporary file in `{}`", scratch.display()))?;
    run(&Invocation::new("grub-mkimage")
        .args(["-O", format, "-d", directory, "-p", "/boot/grub", "-c"])
        .arg(inherited_name(early))
        .arg("-o")
        .arg(inherited_name(&out))
        .inheriting(early)?
        .inheriting(&out)?
        .args(more)
        .args(MODULES))?;
    set_modification_time(&out, time)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

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
