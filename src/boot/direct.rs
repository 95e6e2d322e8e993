//! Starts the kernel of an image's own boot loader entry without the boot loader. This serves hardware that the
//! firmware on this host cannot read from, such as a disk on VMware's PVSCSI under OVMF.

use super::machine::DirectKernel;
use crate::host::{Context, Failure, inherited_name};
use crate::image::format::{self, NetworkBoot};
use crate::verify::default_start;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Kernel and initramfs in unnamed files.
pub struct OwnKernel {
    kernel: File,
    initrd: Option<File>,
    command_line: String,
}

impl OwnKernel {
    /// Reads the kernel of the default boot loader entry.
    ///
    /// # Errors
    /// No boot path of the image leads to a kernel.
    pub fn of_image(image: &Path, scratch: &Path) -> Result<OwnKernel, Failure> {
        let context = || format!("could not read the image `{}`", image.display());
        if format::is_network_boot(&File::open(image).context(context)?).context(context)? {
            let NetworkBoot { kernel, initrd, command_line, .. } = format::open_network_boot(image, scratch)?;
            return Ok(OwnKernel { kernel, initrd: Some(initrd), command_line });
        }
        let opened = format::open(image, scratch)?;
        let start = default_start(&opened)?.ok_or_else(|| {
            Failure::new(format!(
                "`{}` has no kernel that can be started without its boot loader",
                image.display()
            ))
            .help("`ister verify --explain-boot` shows what the boot loaders find")
        })?;
        let unnamed = |bytes: &[u8]| {
            let written =
                tempfile::tempfile_in(scratch).and_then(|mut file| file.write_all(bytes).map(|()| file));
            written.context(|| format!("could not write a file in `{}`", scratch.display()))
        };
        let kernel = unnamed(&start.kernel)?;
        let initrd = if start.initramfs.is_empty() { None } else { Some(unnamed(&start.initramfs)?) };
        Ok(OwnKernel { kernel, initrd, command_line: start.command_line })
    }

    /// The kernel with the names that QEMU inherits the files under.
    pub fn direct(&self) -> DirectKernel {
        DirectKernel {
            kernel: inherited_name(&self.kernel).into(),
            initrd: self.initrd.as_ref().map(|initrd| inherited_name(initrd).into()),
            command_line: self.command_line.clone(),
        }
    }
}
