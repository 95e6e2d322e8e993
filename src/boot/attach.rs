//! What of an image file QEMU is given: the file, or what is packed in it.

use super::machine::DirectKernel;
use crate::host::{Context, Failure, inherited_name, scratch_directory};
use crate::image::format::{self, ImageFormat, NetworkBoot};
use crate::verify::boot_path::Initramfs;
use std::fs::File;
use std::io::Seek;
use std::path::Path;

/// What QEMU opens.
pub(super) enum Attached {
    /// The image itself or what it was unpacked to, with QEMU's name of its format. QEMU inherits the file that was looked at: no other
    /// can take its place.
    Disk(File, &'static str),
    /// No disk at all.
    Network(NetworkBoot),
}

impl Attached {
    /// The disk, and what QEMU calls its format.
    pub(super) fn disk(&self) -> Option<(&File, &'static str)> {
        match self {
            Attached::Disk(file, format) => Some((file, format)),
            Attached::Network(_) => None,
        }
    }

    /// What QEMU inherits of it.
    pub(super) fn files(&self) -> Vec<&File> {
        match self {
            Attached::Disk(file, _) => vec![file],
            Attached::Network(network) => vec![&network.kernel, &network.initrd],
        }
    }

    /// Bytes of memory that unpacking the initramfs takes, of a network boot and of a CD: packed and unpacked at once.
    pub(super) fn memory_for_unpacking(&self) -> Option<u64> {
        /// More than any initramfs of a CD has.
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
        // What is not packed so is not measured.
        let unpacked = std::io::copy(&mut zstd::Decoder::new(packed).ok()?, &mut std::io::sink()).ok()?;
        Some(size + unpacked)
    }

    /// What is started without a loader.
    pub(super) fn kernel(&self) -> Option<DirectKernel> {
        let Attached::Network(network) = self else { return None };
        Some(DirectKernel {
            kernel: inherited_name(&network.kernel).into(),
            initrd: Some(inherited_name(&network.initrd).into()),
            command_line: network.command_line.clone(),
        })
    }
}

/// What of an image QEMU can open, and the name of its format: QEMU must be told, it would otherwise guess from what a
/// guest can write. Packed ones are unpacked to unnamed files.
///
/// One that refers to other files of the host is refused: whoever made it might read them from inside.
pub(super) fn attach(image: &Path) -> Result<Attached, Failure> {
    let context = || format!("could not read the image `{}`", image.display());
    let file = File::open(image).context(|| format!("could not open the image `{}`", image.display()))?;
    let kind = format::kind_of(&file).context(context)?;
    if file.metadata().context(context)?.len() == 0 {
        return Err(Failure::new(format!("`{}` is no image: it is empty", image.display())));
    }
    if let Some(what) = format::foreign(&file).context(context)? {
        return Err(Failure::new(format!("`{}` is {what}", image.display())));
    }
    match kind {
        format::Kind::Packed if format::is_network_boot(&file).context(context)? => {
            format::open_network_boot(image, &scratch_directory()).map(Attached::Network)
        }
        format::Kind::Packed => {
            let opened = format::open(image, &scratch_directory())?;
            check_name(image, opened.format)?;
            Ok(Attached::Disk(opened.file, "raw"))
        }
        format::Kind::Image(kind) => {
            format::stands_alone(&file, kind)
                .map_err(|failure| failure.context(format!("`{}` cannot be booted", image.display())))?;
            check_name(image, kind)?;
            Ok(Attached::Disk(file, kind.qemu_name()))
        }
    }
}

/// No verdict and no receipt under a name that says something else: whoever goes by it opens another disk.
fn check_name(image: &Path, format: ImageFormat) -> Result<(), Failure> {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    if !format.is_misnamed(&name) {
        return Ok(());
    }
    Err(Failure::new(format!("the file is called `{name}`, its content is {format}"))
        .help("rename it, convert it with qemu-img, or fetch it again: it may be cut")
        .of_template())
}
