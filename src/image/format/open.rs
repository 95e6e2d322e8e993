//! Opens published files and returns the bytes of the disk.

use super::archive_limits::{LARGEST, check_headers, check_space, too_large};
use super::foreign::foreign;
use super::image_format::ImageFormat;
use super::medium::{self, Medium};
use super::self_contained::{self, Reference};
use super::truncation::minimum_end;
use super::unreadable::Unreadable;
use super::vhd;
use crate::disk::is_zero;
use crate::host::{Context, Failure, Invocation, Jail, inherited_name, jailed, run_any_status, run_jailed};
use crate::image::copy_range;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
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

/// Compressions, detected by the first bytes of a file.
#[derive(Clone, Copy)]
enum Compression {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

const COMPRESSIONS: &[(&[u8], Compression)] = &[
    (b"\x1f\x8b", Compression::Gzip),
    (b"\xfd7zXZ\0", Compression::Xz),
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    (b"BZh", Compression::Bzip2),
];

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
        if let Some((_, how)) = COMPRESSIONS.iter().find(|(magic, _)| start.starts_with(magic)) {
            file = decompress(&file, *how, scratch).map_err(unpacking)?;
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

/// Returns the decompressed file, or the file itself if it is not compressed.
pub(super) fn unpacked(file: File, scratch: &Path) -> Result<File, Failure> {
    let start = start(&file).context(|| "could not read a part of the file".to_owned())?;
    match COMPRESSIONS.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, how)) => decompress(&file, *how, scratch).map_err(Unreadable::failure),
        None => Ok(file),
    }
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
    let is_packed = COMPRESSIONS.iter().any(|(magic, _)| start.starts_with(magic));
    if is_packed || start.get(257..262) == Some(b"ustar") {
        return Ok(FileKind::Packed);
    }
    format_of(file).map(FileKind::Image)
}

/// Returns the name of the published format of a file for receipts.
pub fn format_name(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    let start = start(&file)?;
    let packed = COMPRESSIONS.iter().find(|(magic, _)| start.starts_with(magic));
    Ok(match packed {
        Some((_, Compression::Gzip)) => "gz".to_owned(),
        Some((_, Compression::Xz)) => "xz".to_owned(),
        Some((_, Compression::Zstd)) => "zst".to_owned(),
        Some((_, Compression::Bzip2)) => "bz2".to_owned(),
        None if start.get(257..262) == Some(b"ustar") => "tar".to_owned(),
        None if medium::is_cd(&file) => "iso".to_owned(),
        None => format_of(&file)?.to_string(),
    })
}

/// Checks that an image is self-contained.
///
/// # Errors
/// The image refers to other files, which would be read from the host.
pub fn is_self_contained(file: &File, format: ImageFormat) -> Result<(), Failure> {
    check_self_contained(file, format).map_err(Unreadable::failure)
}

/// Has to be called before any other program opens the image.
fn check_self_contained(file: &File, format: ImageFormat) -> Result<(), Unreadable> {
    let context = || "could not read the image".to_owned();
    let size = size(file).context(context)?;
    let found = match format {
        ImageFormat::Raw | ImageFormat::Parallels => return Ok(()),
        ImageFormat::Qcow2 => self_contained::qcow2(file),
        ImageFormat::Vhd => self_contained::vhd(file, size),
        ImageFormat::Vhdx => self_contained::vhdx(file),
        ImageFormat::Vmdk => self_contained::vmdk(file, size),
        ImageFormat::Vdi => self_contained::vdi(file),
        ImageFormat::Qcow => self_contained::qcow(file),
        ImageFormat::Qed => self_contained::qed(file),
    };
    found.context(context)?.map_err(|why| {
        Unreadable::Damaged(match why {
            Reference::Damaged(_) => Failure::new(format!("the {format} image is damaged: {why}")),
            Reference::Encrypted => Failure::new(format!("the {format} image is encrypted"))
                .help("convert it to an image without encryption with `qemu-img convert --object secret,…`"),
            Reference::Named(_) | Reference::Differencing => {
                Failure::new(format!("the {format} image is not self-contained: {why}"))
                    .help("if you trust the image, make it self-contained with `qemu-img convert`")
            }
        })
    })
}

pub(super) fn start(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1024];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Returns the size of a file or device.
fn size(file: &File) -> std::io::Result<u64> {
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

fn scratch_file(scratch: &Path) -> Result<File, Failure> {
    tempfile::tempfile_in(scratch)
        .context(|| format!("could not create a temporary file in `{}`", scratch.display()))
}

/// Decompresses a file. Zeros become holes.
fn decompress(file: &File, how: Compression, scratch: &Path) -> Result<File, Unreadable> {
    /// Memory limit of the decoder. The file determines how much it needs.
    const MOST_MEMORY: u64 = 2 << 30;
    let out = scratch_file(scratch)?;
    let context = || "could not read the image".to_owned();
    let mut input = file.try_clone().context(context)?;
    input.rewind().context(context)?;
    let input = BufReader::with_capacity(1 << 20, input);
    let mut stream: Box<dyn Read> = match how {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Xz => {
            let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32);
            let decoder = liblzma::stream::MtStreamBuilder::new()
                .threads(cores)
                .memlimit_threading(MOST_MEMORY)
                .memlimit_stop(MOST_MEMORY)
                .decoder()
                .map_err(std::io::Error::from)
                .context(context)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, decoder))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input).context(context)?;
            // The limit of zstd's own program: 128 MiB.
            decoder.window_log_max(27).context(context)?;
            Box::new(decoder)
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
    };
    copy_sparse(&mut stream, &out).map_err(|error| error.into_unreadable(scratch)).map(|()| out)
}

/// Which side of a copy failed.
enum CopyError {
    Read(std::io::Error),
    Write(std::io::Error),
    TooLarge,
    /// It would fill the filesystem of temporary files.
    Full(Failure),
}

impl CopyError {
    fn into_unreadable(self, scratch: &Path) -> Unreadable {
        match self {
            // Errors with a number come from the system; others are errors of the decoder.
            CopyError::Read(error) if error.raw_os_error().is_some() => {
                Failure::new("could not read the file").caused_by(&error).into()
            }
            CopyError::Read(error) => {
                Unreadable::Damaged(Failure::new("the file is damaged").caused_by(&error))
            }
            CopyError::TooLarge => Unreadable::Damaged(too_large()),
            CopyError::Full(failure) => {
                failure.context(format!("could not write to `{}`", scratch.display())).into()
            }
            CopyError::Write(error) => Err::<(), _>(error)
                .context(|| format!("could not write to `{}`", scratch.display()))
                .unwrap_err()
                .into(),
        }
    }
}

/// Copies data without writing blocks of zeros.
fn copy_sparse(from: &mut dyn Read, to: &File) -> Result<(), CopyError> {
    const BLOCK: usize = 64 << 10;
    /// How often the free space is checked, in bytes written.
    const STEP: u64 = 64 << 20;
    let mut unchecked = 0;
    let mut buffer = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match from.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Read(error)),
            }
        }
        if filled == 0 {
            return to.set_len(at).map_err(CopyError::Write);
        }
        if at > LARGEST {
            return Err(CopyError::TooLarge);
        }
        if !is_zero(&buffer[..filled]) {
            unchecked += filled as u64;
            if unchecked >= STEP {
                check_space(to, STEP).map_err(CopyError::Full)?;
                unchecked = 0;
            }
            to.write_all_at(&buffer[..filled], at).map_err(CopyError::Write)?;
        }
        at += filled as u64;
    }
}

/// Returns whether a member of an archive is a disk: `disk.raw` for Google, the VMDK of an OVA, the disk of a Vagrant
/// box. Source: Compute Engine, "Manually import boot disks", requirements; DMTF DSP0243, 2.1.2; Vagrant and
/// vagrant-libvirt, "Box File Format".
fn is_disk(path: &Path) -> bool {
    let is_on_top = path.parent().is_none_or(|parent| matches!(parent.to_str(), Some("" | ".")));
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_box = matches!(name.as_str(), "box.img" | "box_0.img");
    path.ends_with("disk.raw") || (is_on_top && (name.ends_with(".vmdk") || is_box))
}

/// Returns the first disk in an archive and its name; `None` if there is no disk.
fn disk_in_archive(file: &File, scratch: &Path) -> Result<Option<(File, String)>, Unreadable> {
    let context = || "could not read the archive".to_owned();
    let size = size(file).context(context)?;
    // The duplicate shares its position with the file.
    let mut input = file.try_clone().context(context)?;
    input.rewind().context(context)?;
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries_with_seek().context(context)? {
        let mut entry = entry.context(context).map_err(Unreadable::Damaged)?;
        if !entry.path().is_ok_and(|path| is_disk(&path)) {
            continue;
        }
        let name = entry.path().map(|path| path.display().to_string()).unwrap_or_default();
        if entry.header().entry_type() == tar::EntryType::GNUSparse {
            let out = scratch_file(scratch)?;
            copy_sparse(&mut entry, &out).map_err(|error| error.into_unreadable(scratch))?;
            let (is, was) = (self::size(&out).context(context)?, entry.size());
            if is < was {
                let why = format!("the archive is truncated: `{name}` has {is} of {was} bytes");
                return Err(Unreadable::Damaged(Failure::new(why)));
            }
            return Ok(Some((out, name)));
        }
        let (start, length) = (entry.raw_file_position(), entry.size());
        if start.checked_add(length).is_none_or(|end| end > size) {
            let why = format!("the archive is truncated in `{name}`");
            return Err(Unreadable::Damaged(Failure::new(why)));
        }
        let out = scratch_file(scratch)?;
        check_space(&out, length)?;
        copy_range(file, start..start + length, &out)
            .context(|| format!("could not write to `{}`", scratch.display()))?;
        return Ok(Some((out, name)));
    }
    Ok(None)
}

fn convert(file: &File, format: ImageFormat, scratch: &Path) -> Result<File, Unreadable> {
    let out = scratch_file(scratch)?;
    let (from, to) = (inherited_name(file), inherited_name(&out));
    // qemu-img must not open an image that refers to other files.
    check_self_contained(file, format)?;
    let size = virtual_size(file, format)?;
    check_complete(file, format)?;
    // Several entries of its table may refer to the same data.
    if check_space(&out, size).is_err() {
        check_space(&out, data_size(file, format)?)?;
    }
    // `-n` writes to the existing unnamed file, which must already have its size.
    out.set_len(size).context(|| format!("could not write to `{}`", scratch.display()))?;
    let convert = ["convert", "-n", "--target-is-zero", "-f", format.qemu_name(), "-O", "raw", &from, &to];
    qemu_img(&convert, &[file, &out])?;
    Ok(out)
}

/// Runs qemu-img in a sandbox with access only to the inherited files.
fn qemu_img(args: &[&str], files: &[&File]) -> Result<Vec<u8>, Unreadable> {
    let invocation = Invocation::new("qemu-img").args(args);
    let invocation = files.iter().try_fold(invocation, |invocation, file| invocation.inheriting(file))?;
    Ok(run_jailed(&invocation, Jail::Nothing)?.stdout)
}

/// Checks that an image is complete. qemu-img silently reads zeros beyond the end of a truncated file.
fn check_complete(file: &File, format: ImageFormat) -> Result<(), Unreadable> {
    if matches!(format, ImageFormat::Qcow2 | ImageFormat::Vhdx | ImageFormat::Vmdk) {
        let check = Invocation::new("qemu-img").args(["check", "-q", "-f", format.qemu_name()]);
        let check = check.arg(inherited_name(file)).inheriting(file)?;
        let (check, _) = jailed(&check, Jail::Nothing);
        // Source: qemu-img(1), check: 2 is corrupt, 3 only has leaked clusters, 63 is not supported.
        let finished = run_any_status(&check)?;
        match finished.status.code() {
            Some(0 | 3 | 63) => {}
            None => return Err(Failure::new("`qemu-img check` was terminated by a signal").into()),
            // The first line contains the cause. Do not report the command: it contains a time limit, and reports
            // must be comparable.
            Some(_) => {
                let line = finished.stderr.lines().next().unwrap_or_default();
                let failure = Failure::new("`qemu-img check` failed").detail(format!("stderr: {line}"));
                return Err(Unreadable::by_stderr(failure, line));
            }
        }
    }
    let size = size(file).context(|| "could not read the image".to_owned())?;
    match minimum_end(file, size, format) {
        Some(end) if end <= size => Ok(()),
        end => {
            let end = end.map_or("more".to_owned(), |end| end.to_string());
            Err(Unreadable::Damaged(Failure::new(format!(
                "the image is truncated: its header requires {end} bytes, but the file has {size}"
            ))))
        }
    }
}

/// Returns how much space the data of an image takes in a sparse raw image, in bytes. Source: qemu-img(1), measure.
fn data_size(file: &File, format: ImageFormat) -> Result<u64, Unreadable> {
    let name = inherited_name(file);
    let measure = ["measure", "--output=json", "-O", "raw", "-f", format.qemu_name(), &name];
    let output = qemu_img(&measure, &[file])?;
    let sizes: serde_json::Value = serde_json::from_slice(&output).unwrap_or_default();
    sizes["required"].as_u64().ok_or_else(|| Failure::new("`qemu-img measure` did not report a size").into())
}

/// Returns the size of the disk in a self-contained image in bytes.
fn virtual_size(file: &File, format: ImageFormat) -> Result<u64, Unreadable> {
    let output =
        qemu_img(&["info", "--output=json", "-f", format.qemu_name(), &inherited_name(file)], &[file])?;
    let info: serde_json::Value = serde_json::from_slice(&output).unwrap_or_default();
    let size = info["virtual-size"].as_u64();
    size.ok_or_else(|| Failure::new("qemu-img reported no size of the disk").into())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn zeros_become_holes() {
        use std::os::unix::fs::MetadataExt;
        let mut bytes = vec![0; 4 << 20];
        bytes[1 << 20] = 7;
        let out = tempfile::tempfile().unwrap();
        assert!(copy_sparse(&mut bytes.as_slice(), &out).is_ok());
        let metadata = out.metadata().unwrap();
        assert_eq!(metadata.len(), 4 << 20);
        assert!(metadata.blocks() * 512 <= 128 << 10);
        let mut byte = [0];
        out.read_exact_at(&mut byte, 1 << 20).unwrap();
        assert_eq!(byte, [7]);
    }
}
