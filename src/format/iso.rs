//! A CD that starts a live system by BIOS and by UEFI, and a USB stick when it is written to one: kernel, initramfs and the root
//! tree as squashfs, which live-boot mounts with a layer in memory above it.
//!
//! GRUB starts both: from El Torito's boot catalogue (BIOS: `i386-pc-eltorito`, UEFI: an ESP that is a partition behind the ISO
//! filesystem), and from the same medium as a disk (the hybrid MBR, the same ESP). Sources: El Torito 1.0; UEFI 2.10, 13.3.2;
//! xorrisofs(1), "Bootable ISO images"; live-boot(7).

use super::pxe::kernel_of;
use super::same::Comparing;
use super::source::Raw;
use super::tree::{Item, Tree};
use crate::image::newest_kernel;
use crate::plan::Diskless;
use crate::tool::{Context, Failure, Invocation, inherit, run, run_fed};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, futimens};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
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
/// Smaller than any GRUB, with room: vfat with 12-bit entries.
const ESP_SIZE: u64 = 4 << 20;
/// An ISO 9660 label has 32 characters. Source: ECMA-119, 8.4.7.
const LABEL: usize = 32;
/// Six times as fast as 15, for a twentieth more bytes.
const LEVEL: &str = "9";
const BLOCK: &str = "128K";

/// What an ISO is called, and by what it finds itself again.
pub struct Name<'n> {
    pub stem: &'n str,
    pub id: Uuid,
    /// Seconds since 1970.
    pub time: u64,
}

/// Writes into `out`, an empty file; unnamed files go to `scratch`.
pub fn write(
    root: &Raw,
    diskless: &Diskless,
    name: &Name,
    scratch: &Path,
    out: &File,
) -> Result<(), Failure> {
    let context = || "could not make a CD of the root tree".to_owned();
    let tree = Tree::read(root).context(context)?;
    if !["/usr/lib/live/boot", "/lib/live/boot"].iter().any(|folder| !tree.list(folder).is_empty()) {
        return Err(Failure::new("the root tree has nothing that would find it on a CD")
            .detail("expected: live-boot, in the tree and in its initramfs")
            .help("for Debian content `Formats` with iso brings it; other content cannot be an iso yet"));
    }
    let kernel = unpacked(&tree, kernel_of(&tree)?, scratch)?;
    let initrds = initrds(&tree, scratch)?;
    let squashfs = squashfs(&tree, diskless, name.time, scratch)?;
    let file = |text: &str| unnamed(text.as_bytes(), name.time, scratch);
    let parts: Vec<String> = (0..initrds.len()).map(|index| format!("initrd{index}")).collect();
    let menu = file(&menu(&diskless.command_line, &parts))?;
    let id = name.id.to_string();
    let mark = file(&format!("{id}\n"))?;
    let early = file(&format!(
        "search --no-floppy --file --set=root /.disk/{id}\nset prefix=($root)/boot/grub\nconfigfile ($root)/boot/grub/grub.cfg\n"
    ))?;
    let bios = grub("i386-pc-eltorito", BIOS, &["biosdisk"], &early, name.time, scratch)?;
    let uefi = grub("x86_64-efi", UEFI, &[], &early, name.time, scratch)?;
    let esp = esp(&uefi, name, scratch)?;

    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(name.time)).to_string();
    // Digits of year to second, and hundredths.
    let date: String = time.chars().filter(char::is_ascii_digit).collect::<String>() + "00";
    // xorriso reads no file that has no name.
    let folder = tempfile::Builder::new().prefix(".ister-iso-").tempdir_in(scratch).context(context)?;
    crate::tool::remove_on_interrupt(folder.path());
    let mut xorriso = Invocation::new("xorriso")
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-o"])
        // It does not write where a link leads to, but to what it inherits.
        .arg(format!("stdio:/dev/fd/{}", inherit(out)?))
        .args(["-V", &label(name.stem), "-iso-level", "3", "-r"])
        .arg(format!("--modification-date={date}"))
        .args(["--set_all_file_dates", &date, "--gpt_disk_guid", &id])
        .args(["-b", "boot/grub/eltorito.img", "-c", "boot/boot.cat", "-no-emul-boot"])
        .args(["-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info"])
        .args(["--grub2-mbr", &format!("{BIOS}/boot_hybrid.img"), "-partition_cyl_align", "off"])
        .args([
            "-append_partition",
            "2",
            "0xef",
            &named(folder.path(), usize::MAX, &esp)?,
            "-appended_part_as_gpt",
        ])
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
    for (index, (path, file)) in files.iter().enumerate() {
        xorriso = xorriso.arg(format!("{path}={}", named(folder.path(), index, file)?));
    }
    run(&settled(xorriso, name.time))?;
    crate::tool::forget_file(folder.path());
    // What starts by BIOS has been patched: it now knows where it is.
    files.retain(|(path, _)| path != "boot/grub/eltorito.img");
    check(out, &files)
}

/// Whether each file is there as it was given: an ISO has a file's bytes in one piece.
fn check(iso: &File, files: &[(String, &File)]) -> Result<(), Failure> {
    let context = || "could not compare the CD with what it was made of".to_owned();
    let finished = run(&Invocation::new("xorriso")
        .args(["-no_rc", "-indev", &format!("stdio:{}", inherited(iso)?)])
        .args(["-find", "/", "-type", "f", "-exec", "report_lba", "--"]))?;
    let places = places(&String::from_utf8_lossy(&finished.stdout));
    let mut buffer = vec![0; 1 << 20];
    for (path, file) in files {
        let wrong =
            |what: &str| Failure::new(format!("what was written does not read back: `{path}` {what}"));
        let (at, size) = *places.get(&format!("/{path}")).ok_or_else(|| wrong("is not there"))?;
        if size != file.metadata().context(context)?.len() {
            return Err(wrong("has another size"));
        }
        let mut should = *file;
        should.rewind().context(context)?;
        let mut there = Comparing::new(Piece { file: iso, at, end: at + size });
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

/// Of each file its first byte, and how many there are. Source: xorriso(1), "report_lba".
fn places(said: &str) -> HashMap<String, (u64, u64)> {
    const BLOCK: u64 = 2048;
    let line = |line: &str| {
        let mut fields = line.strip_prefix("File data lba:")?.split(" , ").map(str::trim);
        let (_, lba, _, size, path) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some((path.trim_matches('\'').to_owned(), (lba.parse::<u64>().ok()? * BLOCK, size.parse().ok()?)))
    };
    said.lines().filter_map(line).collect()
}

/// Some bytes of a file.
struct Piece<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let most = (self.end - self.at).min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// How a program that inherits a file names it.
fn inherited(file: &File) -> Result<String, Failure> {
    Ok(format!("/proc/self/fd/{}", inherit(file)?))
}

/// Gives an unnamed file a name in a folder, without copying it where the filesystem allows that.
fn named(folder: &Path, index: usize, file: &File) -> Result<String, Failure> {
    use std::os::fd::AsRawFd;
    let path = folder.join(index.to_string());
    let context = || format!("could not write `{}`", path.display());
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    if rustix::fs::linkat(CWD, &own, CWD, &path, AtFlags::SYMLINK_FOLLOW).is_err() {
        let mut from = file;
        from.rewind().context(context)?;
        io::copy(&mut from, &mut File::create(&path).context(context)?).context(context)?;
    }
    Ok(path.display().to_string())
}

/// The time that the programs write instead of now. Source: reproducible-builds.org, SOURCE_DATE_EPOCH.
fn settled(invocation: Invocation, time: u64) -> Invocation {
    invocation.env("SOURCE_DATE_EPOCH", time.to_string()).env("TZ", "UTC")
}

fn label(stem: &str) -> String {
    stem.chars()
        .take(LABEL)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect()
}

fn menu(command_line: &str, parts: &[String]) -> String {
    let initrds: Vec<String> = parts.iter().map(|part| format!("/live/{part}")).collect();
    format!(
        "set default=0\nset timeout=0\nmenuentry \"Live system\" {{\n\tlinux /live/vmlinuz boot=live {command_line}\n\tinitrd {}\n}}\n",
        initrds.join(" ")
    )
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
    let kernel = newest_kernel(|folder| tree.list(folder));
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

/// All but what lies on a boot partition, and what mounts the disk's.
fn squashfs(tree: &Tree, diskless: &Diskless, time: u64, scratch: &Path) -> Result<File, Failure> {
    let context = || "could not pack the root tree as squashfs".to_owned();
    let wanted = |item: &Item| !item.path.starts_with("/boot/") && !diskless.without.contains(&item.path);
    let tar = tempfile::tempfile_in(scratch).context(context)?;
    let mut buffer = BufWriter::with_capacity(1 << 20, &tar);
    tree.copy_some(wanted, &mut buffer).and_then(|()| buffer.flush()).context(context)?;
    drop(buffer);
    (&tar).rewind().context(context)?;
    let out = tempfile::tempfile_in(scratch).context(context)?;
    let maker = Invocation::new("mksquashfs")
        .arg("-")
        .arg(inherited(&out)?)
        .args(["-tar", "-noappend", "-comp", "zstd", "-Xcompression-level", LEVEL, "-b", BLOCK])
        // A tar has no entry for its own top.
        .args(["-root-mode", "0755", "-root-uid", "0", "-root-gid", "0"])
        .args(["-mem", "512M", "-no-progress", "-quiet", "-exit-on-error"]);
    run_fed(&settled(maker, time), tar)?;
    Ok(out)
}

fn grub(
    format: &str,
    folder: &str,
    more: &[&str],
    early: &File,
    time: u64,
    scratch: &Path,
) -> Result<File, Failure> {
    let out = tempfile::tempfile_in(scratch)
        .context(|| format!("could not write a file in `{}`", scratch.display()))?;
    run(&Invocation::new("grub-mkimage")
        .args(["-O", format, "-d", folder, "-p", "/boot/grub", "-c"])
        .arg(inherited(early)?)
        .arg("-o")
        .arg(inherited(&out)?)
        .args(more)
        .args(MODULES))?;
    date(&out, time)?;
    Ok(out)
}

/// A vfat filesystem with GRUB where removable media have what starts. Source: UEFI 2.10, 3.5.1.1.
fn esp(grub: &File, name: &Name, scratch: &Path) -> Result<File, Failure> {
    let context = || "could not make the CD's EFI system partition".to_owned();
    let esp = tempfile::tempfile_in(scratch).context(context)?;
    esp.set_len(ESP_SIZE).context(context)?;
    let device = inherited(&esp)?;
    let serial = format!("{:08x}", name.id.as_fields().0);
    run(&settled(
        Invocation::new("mkfs.vfat")
            .args(["--invariant", "-F", "12", "-S", "512", "-s", "4", "-g", "64/32"])
            .args(["-i", &serial, "-n", "EFIBOOT", &device]),
        name.time,
    ))?;
    let mtool = |program: &str| {
        settled(Invocation::new(program), name.time).env("MTOOLS_SKIP_CHECK", "1").args(["-i", &device])
    };
    run(&mtool("mmd").args(["::/EFI", "::/EFI/BOOT"]))?;
    run(&mtool("mcopy").arg("-m").arg(inherited(grub)?).arg("::/EFI/BOOT/BOOTX64.EFI"))?;
    Ok(esp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_what_xorriso_says() {
        let said = "Report layout: xt , Startlba ,   Blocks , Filesize , ISO image path\n\
                    File data lba:  0 ,       40 ,     4211 ,  8622080 , '/live/vmlinuz'\n";
        assert_eq!(places(said), HashMap::from([("/live/vmlinuz".to_owned(), (81_920, 8_622_080))]));
    }

    #[test]
    fn labels_and_menus() {
        assert_eq!(label("live-server"), "LIVE_SERVER");
        assert_eq!(label(&"x".repeat(40)).len(), 32);
        let text = menu("console=ttyS0", &["initrd0".to_owned(), "initrd1".to_owned()]);
        assert!(
            text.contains(
                "\tlinux /live/vmlinuz boot=live console=ttyS0\n\tinitrd /live/initrd0 /live/initrd1\n"
            ),
            "{text}"
        );
    }
}
