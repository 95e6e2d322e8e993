//! Network boot: a kernel, and an initramfs with the complete root tree, so nothing has to be mounted. Both are in a
//! tar.xz together with a menu for PXELINUX and a script for iPXE, to be unpacked on a TFTP or HTTP server. Sources: the Syslinux
//! wiki, "PXELINUX"; ipxe.org, "scripting".

use super::archive_limits::check_space;
use super::comparison::Comparing;
use super::source::{Raw, Source};
use super::tree::{Item, Tree};
use super::{initramfs, xz};
use crate::host::{Context, Failure};
use crate::image::newest_kernel;
use crate::plan::Diskless;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::Path;
use tar::{Archive, Builder, EntryType, Header};

pub(super) const KERNEL: &str = "vmlinuz";
pub(super) const INITRD: &str = "initrd";
pub(super) const MENU: &str = "pxelinux.cfg/default";
/// A script for iPXE, which is also the firmware of QEMU's network cards.
pub(super) const SCRIPT: &str = "boot.ipxe";
const LEVEL: i32 = 12;
/// The output is the same for any number of threads except 0.
const MOST_WORKERS: usize = 16;

/// Writes the archive. `time` is in seconds since 1970. Unnamed temporary files are created in `scratch`. Returns a
/// description of attributes that the format cannot store.
pub(super) fn write(
    root: &Raw,
    diskless: &Diskless,
    time: u64,
    scratch: &Path,
    out: &mut impl Write,
) -> Result<Option<String>, Failure> {
    let context = || "could not pack the root tree for a network boot".to_owned();
    let tree = Tree::read(root).context(context)?;
    let kernel = kernel_of(&tree)?;
    let initrd = tempfile::tempfile_in(scratch).context(context)?;
    pack(&tree, diskless, &initrd).context(context)?;
    let packed = tempfile::tempfile_in(scratch).context(context)?;
    let mut builder = Builder::new(BufWriter::new(&packed));
    let menu = format!(
        "DEFAULT linux\nLABEL linux\n  KERNEL {KERNEL}\n  INITRD {INITRD}\n  APPEND {}\n",
        diskless.command_line
    );
    add(&mut builder, MENU, time, menu.len() as u64, &mut menu.as_bytes()).context(context)?;
    let script = script(&diskless.command_line);
    add(&mut builder, SCRIPT, time, script.len() as u64, &mut script.as_bytes()).context(context)?;
    let size = kernel.data.end - kernel.data.start;
    add(&mut builder, KERNEL, time, size, &mut tree.reader(kernel)).context(context)?;
    let size = initrd.metadata().context(context)?.len();
    (&initrd).rewind().context(context)?;
    add(&mut builder, INITRD, time, size, &mut &initrd).context(context)?;
    builder.into_inner().and_then(|mut buffer| buffer.flush()).context(context)?;
    xz::write(&Raw::new(&packed).context(context)?, out).context(context)?;
    Ok(tree.lost(|item| is_inside(item, diskless), |_| false))
}

/// The script for iPXE. File names are relative to the script. Source: ipxe.org, "cmd/kernel": Linux needs the name of
/// its initramfs if it is started by UEFI.
fn script(command_line: &str) -> String {
    format!("#!ipxe\nkernel {KERNEL} initrd={INITRD} {command_line}\ninitrd {INITRD}\nboot\n")
}

/// Returns whether an item belongs to a system without a disk: not to the boot partition, and not to files that mount
/// partitions of the disk.
pub(super) fn is_inside(item: &Item, diskless: &Diskless) -> bool {
    !item.path.starts_with("/boot/") && !diskless.without.contains(&item.path)
}

/// Returns the newest kernel of a tree.
pub(super) fn kernel_of<'t>(tree: &'t Tree) -> Result<&'t Item, Failure> {
    let none = || {
        Failure::new("no kernel in the root tree to boot from the network or from CD")
            .help("add a kernel bundle to `Bundles`, such as kernel-kvm")
    };
    let kernel = newest_kernel(|directory| tree.list(directory)).ok_or_else(none)?;
    let inside = format!("/boot{}", kernel.image);
    // If the kernel is not on the boot partition yet, use its original path.
    let from = kernel.copies.iter().find(|(_, to)| *to == inside).map(|(from, _)| from.as_str());
    tree.find(&inside).or_else(|| tree.find(from?)).ok_or_else(none)
}

fn unpacked(tree: &Tree, diskless: &Diskless, out: &mut impl Write) -> io::Result<()> {
    let init = ["/sbin/init", "/usr/sbin/init", "/usr/lib/systemd/systemd"]
        .into_iter()
        .find(|path| tree.find(path).is_some())
        .ok_or_else(|| io::Error::other("no /sbin/init in the root tree"))?;
    initramfs::write(tree, |item| is_inside(item, diskless), init.trim_start_matches('/'), out)
}

fn pack(tree: &Tree, diskless: &Diskless, out: &File) -> io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_WORKERS));
    let mut packer = zstd::Encoder::new(BufWriter::new(out), LEVEL)?;
    packer.include_checksum(true)?;
    packer.multithread(workers as u32)?;
    unpacked(tree, diskless, &mut packer)?;
    packer.finish()?.flush()
}

fn add(
    builder: &mut Builder<impl Write>,
    path: &str,
    time: u64,
    size: u64,
    data: &mut dyn Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(size);
    builder.append_data(&mut header, path, data)
}

/// Checks that a published file contains the kernel and the tree unchanged.
pub(super) fn check(root: &Raw, diskless: &Diskless, file: &File, scratch: &Path) -> Result<(), Failure> {
    let context = || "the published file differs from the root tree after writing".to_owned();
    let tree = Tree::read(root).context(context)?;
    let back = unpack(file, scratch)
        .context(context)?
        .ok_or_else(|| Failure::new("parts of the published file are missing"))?;
    if back.script != script(&diskless.command_line) {
        return Err(Failure::new(context()).detail(format!("`{SCRIPT}` differs")));
    }
    (&back.kernel).rewind().context(context)?;
    let mut kernel = Comparing::new(&back.kernel);
    io::copy(&mut tree.reader(kernel_of(&tree)?), &mut kernel).context(context)?;
    kernel.finish().context(context)?;
    (&back.initrd).rewind().context(context)?;
    let mut initrd = Comparing::new(zstd::Decoder::new(&back.initrd).context(context)?);
    unpacked(&tree, diskless, &mut initrd).and_then(|()| initrd.finish()).context(context)
}

/// The files of a network boot.
pub struct NetworkBoot {
    /// The script for iPXE; made from the menu if the archive has none.
    pub script: String,
    pub kernel: File,
    pub initrd: File,
    pub command_line: String,
}

/// Returns whether a file is a network boot archive, by its first member.
pub fn is_network_boot(file: &File) -> io::Result<bool> {
    let mut start = [0; 512];
    let packed = Raw::new(file)?;
    let mut decoder = liblzma::read::XzDecoder::new(Beginning { source: &packed, at: 0 });
    Ok(decoder.read_exact(&mut start).is_ok() && start.starts_with(MENU.as_bytes()))
}

/// A reader that does not change the position of the file.
struct Beginning<'s, 'f> {
    source: &'s Raw<'f>,
    at: u64,
}

impl Read for Beginning<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.source.size() - self.at).min(buffer.len() as u64) as usize;
        self.source.read_at(&mut buffer[..count], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Unpacks a network boot archive into unnamed files.
pub fn open(path: &Path, scratch: &Path) -> Result<NetworkBoot, Failure> {
    let context = || format!("could not unpack `{}`", path.display());
    let file = File::open(path).context(context)?;
    unpack(&file, scratch).context(context)?.ok_or_else(|| {
        Failure::new(format!("`{}` is not a network boot archive", path.display()))
            .detail(format!("expected members: {KERNEL}, {INITRD} and {MENU}"))
    })
}

/// Unpacks an archive; `None` if a part is missing.
fn unpack(file: &File, scratch: &Path) -> io::Result<Option<NetworkBoot>> {
    let packed = Raw::new(file)?;
    let from = io::BufReader::new(Beginning { source: &packed, at: 0 });
    let parts = parts_of(liblzma::read::XzDecoder::new(from), scratch)?;
    let whole = parts.kernel.zip(parts.initrd).zip(parts.command_line);
    Ok(whole.map(|((kernel, initrd), command_line)| NetworkBoot {
        script: parts.script.unwrap_or_else(|| script(&command_line)),
        kernel,
        initrd,
        command_line,
    }))
}

/// The parts of a network boot archive.
#[derive(Default)]
pub(super) struct Parts {
    pub kernel: Option<File>,
    pub initrd: Option<File>,
    pub command_line: Option<String>,
    pub script: Option<String>,
}

/// Extracts the parts of a tar into unnamed files.
pub(super) fn parts(tar: &File, scratch: &Path) -> io::Result<Parts> {
    parts_of(Beginning { source: &Raw::new(tar)?, at: 0 }, scratch)
}

fn parts_of(tar: impl Read, scratch: &Path) -> io::Result<Parts> {
    let mut parts = Parts::default();
    // The names are short. Long ones would be read into memory.
    for entry in Archive::new(tar).entries()?.raw(true) {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let place = match name.as_str() {
            KERNEL => &mut parts.kernel,
            INITRD => &mut parts.initrd,
            MENU | SCRIPT => {
                let mut text = String::new();
                entry.by_ref().take(64 << 10).read_to_string(&mut text)?;
                if name == SCRIPT {
                    parts.script = Some(text);
                    continue;
                }
                let append = text.lines().find_map(|line| line.trim().strip_prefix("APPEND "));
                parts.command_line = append.map(str::to_owned);
                continue;
            }
            _ => continue,
        };
        if entry.header().entry_type() != EntryType::Regular {
            return Err(io::Error::other(format!("`{name}` is not a regular file")));
        }
        let mut out = tempfile::tempfile_in(scratch)?;
        check_space(&out, entry.size()).map_err(|failure| io::Error::other(failure.message))?;
        io::copy(&mut entry, &mut out)?;
        *place = Some(out);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::packed;
    use super::*;

    #[test]
    fn archives_are_reproducible_and_can_be_opened() {
        let root = packed();
        let raw = Raw::new(&root).unwrap();
        let diskless = Diskless {
            command_line: "console=ttyS0 quiet".to_owned(),
            without: ["/etc/fstab".to_owned()].into(),
        };
        let directory = tempfile::tempdir().unwrap();
        let made: Vec<Vec<u8>> = (0..2)
            .map(|_| {
                let mut out = Vec::new();
                write(&raw, &diskless, 1_700_000_000, directory.path(), &mut out).unwrap();
                out
            })
            .collect();
        assert!(made[0] == made[1]);
        let path = directory.path().join("t.pxe.tar.xz");
        std::fs::write(&path, &made[0]).unwrap();
        assert!(is_network_boot(&File::open(&path).unwrap()).unwrap());
        let opened = open(&path, directory.path()).unwrap();
        assert_eq!(opened.command_line, "console=ttyS0 quiet");
        assert_eq!(
            opened.script,
            "#!ipxe\nkernel vmlinuz initrd=initrd console=ttyS0 quiet\ninitrd initrd\nboot\n"
        );
        let text = |mut file: &File| {
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(text(&opened.kernel), b"a kernel");
        let cpio = zstd::decode_all(&text(&opened.initrd)[..]).unwrap();
        let has = |name: &str| cpio.windows(name.len()).any(|part| part == name.as_bytes());
        assert!(has("etc/hostname") && has("TRAILER!!!") && !has("etc/fstab") && !has("vmlinuz"));
        std::fs::write(&path, b"no archive").unwrap();
        assert!(!is_network_boot(&File::open(&path).unwrap()).unwrap());
        assert!(open(&path, directory.path()).is_err());
    }
}
