//! What QEMU works on: what the guest writes, and what it is given.

use super::super::firmware::Ovmf;
use super::super::machine::{DirectKernel, credential};
use super::super::run::BootOptions;
use crate::host::{
    Context, Failure, Invocation, JailNetwork, inherited_name, jailed, run, scratch_directory,
};
use crate::template::{Bytes, Secret};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a guest writes, in files without names: an overlay on the disk, and the firmware's variables. They are kept until it has
/// been switched on a second time, if that is asked for.
pub(super) struct Written {
    pub(super) disk: Option<(File, String)>,
    pub(super) variables: (File, String),
}

impl Written {
    /// `more`: by how much the disk is larger than the image.
    pub(super) fn begin(
        image: Option<(&File, &str)>,
        ovmf: Option<&Ovmf>,
        more: Option<Bytes>,
    ) -> Result<Written, Failure> {
        let context = || "could not make a file for what the guest writes".to_owned();
        let disk = match image {
            Some((image, format)) => {
                let overlay = tempfile::tempfile_in(scratch_directory()).context(context)?;
                let name = inherited_name(&overlay);
                let create = Invocation::new("qemu-img")
                    .args(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
                    .args([&inherited_name(image), &name])
                    .inheriting(image)?
                    .inheriting(&overlay)?;
                run(&jailed(&create, JailNetwork::Nothing).0)?;
                if let Some(more) = more {
                    let resize = Invocation::new("qemu-img").args(["resize", "-q", "-f", "qcow2"]);
                    let resize = resize.args([&name, &format!("+{}", more.0)]);
                    let resize = resize.inheriting(image)?.inheriting(&overlay)?;
                    run(&jailed(&resize, JailNetwork::Nothing).0)?;
                }
                Some((overlay, name))
            }
            None => None,
        };
        let mut variables = tempfile::tempfile().context(context)?;
        if let Some(ovmf) = ovmf {
            let mut from = File::open(&ovmf.variables).context(context)?;
            std::io::copy(&mut from, &mut variables).context(context)?;
        }
        let name = inherited_name(&variables);
        Ok(Written { disk, variables: (variables, name) })
    }
}

/// What QEMU is given besides the image, opened, with the names that it has for it.
pub(super) struct Opened {
    pub(super) second_disk: Option<(File, PathBuf)>,
    pub(super) seed: Option<(File, PathBuf)>,
    pub(super) direct: Option<DirectKernel>,
    /// Kernel and initramfs.
    pub(super) kernel_files: Vec<File>,
}

impl Opened {
    pub(super) fn of(options: &BootOptions) -> Result<Opened, Failure> {
        let open = |path: &Path, write: bool| -> Result<(File, PathBuf), Failure> {
            let file = File::options().read(true).write(write).open(path);
            let file = file.context(|| format!("could not open `{}`", path.display()))?;
            let name = inherited_name(&file).into();
            Ok((file, name))
        };
        let mut files = Vec::new();
        let mut inherited = |path: &Path| -> Result<PathBuf, Failure> {
            let (file, name) = open(path, false)?;
            files.push(file);
            Ok(name)
        };
        let direct = match &options.direct {
            Some(direct) => Some(DirectKernel {
                kernel: inherited(&direct.kernel)?,
                initrd: direct.initrd.as_deref().map(&mut inherited).transpose()?,
                command_line: direct.command_line.clone(),
            }),
            None => None,
        };
        Ok(Opened {
            second_disk: options.second_disk.map(|path| open(path, true)).transpose()?,
            seed: options.seed.map(|path| open(path, false)).transpose()?,
            direct,
            kernel_files: files,
        })
    }
}

/// Without names, so that nobody else opens them.
pub(super) fn credential_files(credentials: &[(String, Secret)]) -> std::io::Result<Vec<File>> {
    let write = |(name, value): &(String, Secret)| {
        let mut file = tempfile::tempfile()?;
        file.write_all(credential(name, value.expose().as_bytes()).as_bytes())?;
        Ok(file)
    };
    credentials.iter().map(write).collect()
}
