//! Opens published files and returns the bytes of the disk.

use super::archive_limits::check_headers;
use super::convert::convert;
use super::foreign::foreign;
use super::image_format::ImageFormat;
use super::medium::{self, Medium};
use super::unpack::{Compression, compression, decompress, disk_in_archive};
use super::unreadable::Unreadable;
use super::vhd;
use crate::host::{Context, Failure};
use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

/// The raw bytes of an image and the properties of its file.
pub struct OpenedImage {
    /// Raw bytes: the image itself or an unnamed file with the unpacked image.
    pub file: File,
    pub format: ImageFormat,
    /// Size of the disk in bytes.
    pub size: u64,
    /// Sizes in bytes of a VHD that programs interpret differently: from its size field and from its cylinders.
    pub ambiguous_size: Option<(u64, u64)>,
    /// Whether it was `disk.raw` in an archive, the format of Google Compute Engine.
    pub is_gce_archive: bool,
}

/// The content of a published file.
pub enum Published {
    Disk(OpenedImage),
    Medium(Medium),
}

/// Opens a disk image of any published format, compressed or in an archive. Data is unpacked to unnamed files in
/// `scratch`.
///
/// # Errors
/// The file is not a disk image.
pub fn open(path: &Path, scratch: &Path) -> Result<OpenedImage, Failure> {
    match open_any(path, scratch, false).map_err(Unreadable::failure)? {
        Published::Disk(disk) => Ok(disk),
        Published::Medium(medium) => {
            Err(Failure::new(format!("`{}` is not a disk image ({})", path.display(), medium.kind)))
        }
    }
}

/// Like [`open`], but also accepts media and damaged files.
pub fn open_published(path: &Path, scratch: &Path) -> Result<Published, Failure> {
    match open_any(path, scratch, true) {
        Err(Unreadable::Damaged(failure)) => Ok(Published::Medium(Medium::damaged(&failure))),
        taken => taken.map_err(Unreadable::failure),
    }
}

/// Opens a file. CDs are opened as media if `cds` is set, and as disks otherwise.
fn open_any(path: &Path, scratch: &Path, cds: bool) -> Result<Published, Unreadable> {
    let opening = || format!("could not open the image `{}`", path.display());
    // Opening a FIFO would wait for a writer.
    let kind = path.metadata().context(opening)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Unreadable::Damaged(Failure::new(format!("`{}` is not a regular file", path.display()))));
    }
    let mut file = File::open(path).context(opening)?;
    let context = || format!("could not unpack `{}`", path.display());
    let failed = |failure: Failure| Unreadable::Host(failure.context(context()));
    let unpacking = |why: Unreadable| why.context(context());
    let mut is_gce_archive = false;
    // At most three layers: compression, a tar, and a compressed image in it.
    for _ in 0..3 {
        let start = start(&file).context(|| format!("could not read the image `{}`", path.display()))?;
        if let Some(how) = compression(&start) {
            file = decompress(&file, how, scratch).map_err(unpacking)?;
            continue;
        }
        if start.get(257..262) == Some(b"ustar") {
            let size = size(&file).context(|| format!("could not read the image `{}`", path.display()))?;
            check_headers(&file, size).map_err(unpacking)?;
            match disk_in_archive(&file, scratch).map_err(unpacking)? {
                Some((disk, name)) => {
                    file = disk;
                    is_gce_archive = name == "disk.raw";
                }
                None => {
                    let none = || {
                        Failure::new(
                            "the archive contains neither a disk (`disk.raw`, `*.vmdk`, `box.img`) nor a root tree",
                        )
                        .help("extract the image from the archive and use its path")
                    };
                    let medium = medium::of_archive(file, scratch).map_err(failed)?;
                    let unknown = || Unreadable::Damaged(none().context(context()));
                    return medium.map(Published::Medium).ok_or_else(unknown);
                }
            }
            continue;
        }
        break;
    }
    if cds && medium::is_cd(&file) {
        let medium = medium::of_cd(&file, scratch);
        return medium.map(Published::Medium).map_err(unpacking);
    }
    let reading = || format!("could not read the image `{}`", path.display());
    if let Some(what) = foreign(&file).context(reading)? {
        return Err(Unreadable::Damaged(Failure::new(format!("`{}` is {what}", path.display()))));
    }
    let format = format_of(&file).context(reading)?;
    let ambiguous_size = match format {
        ImageFormat::Vhd => ambiguous_vhd(&file).context(reading)?,
        _ => None,
    };
    if format != ImageFormat::Raw {
        file = convert(&file, format, scratch).map_err(unpacking)?;
    }
    let size = size(&file).context(|| format!("could not read the image `{}`", path.display()))?;
    if size == 0 {
        let why = format!("`{}` is not a disk image: the file is empty", path.display());
        return Err(Unreadable::Damaged(Failure::new(why)));
    }
    Ok(Published::Disk(OpenedImage { file, format, size, ambiguous_size, is_gce_archive }))
}

/// The kind of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A disk image that can be opened directly.
    Image(ImageFormat),
    /// A compressed file or an archive that has to be unpacked first.
    Packed,
}

pub fn kind_of(file: &File) -> std::io::Result<FileKind> {
    let start = start(file)?;
    if compression(&start).is_some() || start.get(257..262) == Some(b"ustar") {
        return Ok(FileKind::Packed);
    }
    format_of(file).map(FileKind::Image)
}

/// Returns the name of the published format of a file for receipts.
pub fn format_name(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    let start = start(&file)?;
    Ok(match compression(&start) {
        Some(Compression::Gzip) => "gz".to_owned(),
        Some(Compression::Xz) => "xz".to_owned(),
        Some(Compression::Zstd) => "zst".to_owned(),
        Some(Compression::Bzip2) => "bz2".to_owned(),
        None if start.get(257..262) == Some(b"ustar") => "tar".to_owned(),
        None if medium::is_cd(&file) => "iso".to_owned(),
        None => format_of(&file)?.to_string(),
    })
}

pub(super) fn start(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1024];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Returns the size of a file or device.
pub(super) fn size(file: &File) -> std::io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

/// Source: QEMU, docs/interop/qcow2.txt; Virtual Hard Disk Image Format Specification (footer "conectix" in the last
/// 512 bytes); [MS-VHDX] 2.2.1; VMware Virtual Disk Format 5.0 ("KDMV"); VirtualBox, VDI header signature at 64.
fn format_of(file: &File) -> std::io::Result<ImageFormat> {
    let start = start(file)?;
    let size = size(file)?;
    let mut footer = [0; 8];
    let footer_is_vhd =
        size >= 512 && file.read_exact_at(&mut footer, size - 512).is_ok() && footer == *b"conectix";
    Ok(match start.as_slice() {
        s if s.starts_with(b"QFI\xfb\0\0\0\x01") => ImageFormat::Qcow,
        s if s.starts_with(b"QFI\xfb") => ImageFormat::Qcow2,
        s if s.starts_with(b"QED\0") => ImageFormat::Qed,
        s if s.starts_with(b"WithoutFreeSpace") || s.starts_with(b"WithouFreSpacExt") => {
            ImageFormat::Parallels
        }
        s if s.starts_with(b"vhdxfile") => ImageFormat::Vhdx,
        s if s.starts_with(b"KDMV") => ImageFormat::Vmdk,
        s if s.starts_with(b"conectix") || footer_is_vhd => ImageFormat::Vhd,
        s if s.get(64..68) == Some(&[0x7f, 0x10, 0xda, 0xbe]) => ImageFormat::Vdi,
        _ => ImageFormat::Raw,
    })
}

fn ambiguous_vhd(file: &File) -> std::io::Result<Option<(u64, u64)>> {
    let mut footer = [0; vhd::FOOTER as usize];
    file.read_exact_at(&mut footer, size(file)?.saturating_sub(vhd::FOOTER))?;
    Ok(if footer.starts_with(b"conectix") { vhd::ambiguous_sizes(&footer) } else { None })
}

#[cfg(test)]
mod tests {
    use super::super::convert::is_self_contained;
    use super::*;
    use crate::host::Invocation;

    #[test]
    fn images_with_external_files_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.qcow2");
        let create = |more: &[&str]| {
            crate::host::run(
                &Invocation::new("qemu-img")
                    .args(["create", "-q", "-f", "qcow2"])
                    .args(more)
                    .arg(&path)
                    .arg("1M"),
            )
            .unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(kind_of(&file).unwrap(), FileKind::Image(ImageFormat::Qcow2));
            let alone = is_self_contained(&file, ImageFormat::Qcow2);
            let opened = open(&path, directory.path()).map(|opened| opened.size);
            (alone.map_err(|failure| failure.message), opened.map_err(|failure| failure.details[0].clone()))
        };
        assert_eq!(create(&[]), (Ok(()), Ok(1 << 20)));
        let other = directory.path().join("other");
        std::fs::write(&other, "secret").unwrap();
        let refused =
            |what: &str| format!("the qcow2 image is not self-contained: it refers to another file ({what})");
        let other = other.to_str().unwrap();
        assert_eq!(
            create(&["-b", other, "-F", "raw"]),
            (Err(refused("backing file")), Err(refused("backing file")))
        );
        let data = format!("data_file={other}");
        assert_eq!(create(&["-o", &data]), (Err(refused("data file")), Err(refused("data file"))));
    }
}
