//! Prepares an image file for QEMU: the file itself, or the unpacked content of a compressed one.

use crate::host::{Context, Failure, scratch_directory};
use crate::image::format::{self, ImageFormat, NetworkBoot};
use crate::verify::boot_path::Initramfs;
use std::fs::File;
use std::io::Seek;
use std::path::Path;

/// What QEMU opens.
pub(super) enum Attached {
    /// The image itself or the unpacked disk, and QEMU's name for its format. QEMU inherits the open file that was
    /// checked, so another file cannot replace it.
    Disk(File, &'static str),
    /// A network boot: there is no disk.
    Network(NetworkBoot),
}

impl Attached {
    /// The disk, and QEMU's name for its format.
    pub(super) fn disk(&self) -> Option<(&File, &'static str)> {
        match self {
            Attached::Disk(file, format) => Some((file, format)),
            Attached::Network(_) => None,
        }
    }

    /// The files that QEMU inherits.
    pub(super) fn files(&self) -> Vec<&File> {
        match self {
            Attached::Disk(file, _) => vec![file],
            Attached::Network(_) => Vec::new(),
        }
    }

    /// Bytes of memory needed to unpack the initramfs of a network boot or a CD: the compressed and the unpacked size
    /// together.
    pub(super) fn memory_for_unpacking(&self) -> Option<u64> {
        /// Larger than any initramfs on a CD.
        const MOST: usize = 1 << 30;
        let network = match self {
            Attached::Network(network) => network,
            Attached::Disk(file, _) => {
                let images = format::initramfs_of_cd(file, MOST).ok()?;
                let need = |image: &Vec<u8>| image.len() as u64 + Initramfs::parse(image).unpacked;
                return Some(images.iter().map(need).sum()).filter(|need| *need > 0);
            }
        };
        let mut packed = &network.initrd;
        let size = packed.metadata().ok()?.len();
        packed.rewind().ok()?;
        // Only zstd is measured; with any other compression the size is unknown.
        let unpacked = std::io::copy(&mut zstd::Decoder::new(packed).ok()?, &mut std::io::sink()).ok()?;
        Some(size + unpacked)
    }

    /// The files of a network boot.
    pub(super) fn network_boot(&self) -> Option<&NetworkBoot> {
        match self {
            Attached::Disk(..) => None,
            Attached::Network(network) => Some(network),
        }
    }
}

/// Opens an image in a format that QEMU can read, and determines the format. QEMU must be told the format: probing
/// would depend on data that a guest can write. Compressed images are unpacked to unnamed files.
///
/// An image that refers to other files of the host is rejected, because a malicious image could expose those files to
/// the guest.
pub(super) fn attach(image: &Path) -> Result<Attached, Failure> {
    let context = || format!("could not read the image `{}`", image.display());
    let file = File::open(image).context(|| format!("could not open the image `{}`", image.display()))?;
    let kind = format::kind_of(&file).context(context)?;
    if file.metadata().context(context)?.len() == 0 {
        return Err(Failure::new(format!("the image `{}` is empty", image.display())).of_template());
    }
    if let Some(what) = format::foreign(&file).context(context)? {
        return Err(Failure::new(format!("`{}` is {what}", image.display())).of_template());
    }
    match kind {
        format::FileKind::Packed if format::is_network_boot(&file).context(context)? => {
            format::open_network_boot(image, &scratch_directory()).map(Attached::Network)
        }
        format::FileKind::Packed => {
            let opened = format::open(image, &scratch_directory())?;
            check_name(image, opened.format)?;
            Ok(Attached::Disk(opened.file, "raw"))
        }
        format::FileKind::Image(kind) => {
            format::is_self_contained(&file, kind)
                .map_err(|failure| failure.context(format!("`{}` cannot be booted", image.display())))?;
            check_name(image, kind)?;
            Ok(Attached::Disk(file, kind.qemu_name()))
        }
    }
}

/// Rejects a file whose name does not match its format. A verdict or receipt under that name would be used for a disk
/// that is opened differently.
fn check_name(image: &Path, format: ImageFormat) -> Result<(), Failure> {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    if !format.is_misnamed(&name) {
        return Ok(());
    }
    Err(Failure::new(format!("the file name `{name}` does not match its content, which is {format}"))
        .help("rename it, convert it with qemu-img, or download it again if it is truncated")
        .of_template())
}
