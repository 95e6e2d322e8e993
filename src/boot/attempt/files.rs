//! The files that QEMU works on: those that the guest writes, and those that it reads.

use super::super::accel::Accelerator;
use super::super::attach::Attached;
use super::super::firmware::{Ovmf, emulator_version, find_ovmf};
use super::super::machine::{DirectKernel, Machine, credential};
use super::super::run::BootOptions;
use super::super::update::Archive;
use super::provision::Provisioned;
use crate::host::{Context, Failure, Invocation, Jail, inherited_name, run_jailed, scratch_directory};
use crate::plan::Firmware;
use crate::template::{Bytes, Secret};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// All files that QEMU works on, open for as long as QEMU runs.
pub(super) struct Parts<'a> {
    attached: &'a Attached,
    ovmf: Option<Ovmf>,
    credentials: Vec<File>,
    credential_names: Vec<String>,
    written: Written,
    archive: Option<(Archive, String)>,
    opened: Opened,
    seed_is_cd: bool,
    smbios: Vec<String>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(
        options: &BootOptions,
        attached: &'a Attached,
        provisioned: Option<&Provisioned>,
    ) -> Result<Parts<'a>, Failure> {
        let ovmf = match options.firmware {
            Firmware::Uefi => Some(find_ovmf()?),
            Firmware::Bios => None,
        };
        let credentials = credential_files(&options.credentials)
            .context(|| "could not write the credentials for the guest".to_owned())?;
        let archive = options.update.map(Archive::of_directory).transpose()?;
        Ok(Parts {
            attached,
            credential_names: credentials.iter().map(inherited_name).collect(),
            credentials,
            written: Written::begin(attached.disk(), ovmf.as_ref(), options.grow)?,
            archive: archive.map(|archive| {
                let name = inherited_name(&archive.file);
                (archive, name)
            }),
            opened: Opened::of(options, provisioned)?,
            seed_is_cd: provisioned.is_some_and(|it| it.medium.as_ref().is_some_and(|(_, is_cd)| *is_cd)),
            smbios: provisioned.map(|it| it.cloud.smbios(&it.instance)).unwrap_or_default(),
            ovmf,
        })
    }

    /// The files that QEMU inherits, so that it needs no paths of this host.
    pub(super) fn files(&self) -> Vec<&File> {
        let mut files = self.attached.files();
        files.extend(&self.credentials);
        files.extend(self.written.disk.iter().chain([&self.written.variables]).map(|(file, _)| file));
        files.extend(self.archive.iter().map(|(archive, _)| &archive.file));
        files.extend(self.opened.second_disk.iter().chain(&self.opened.seed).map(|(file, _)| file));
        files.extend(&self.opened.kernel_files);
        files
    }

    pub(super) fn machine<'p>(
        &'p self,
        options: &BootOptions,
        ssh_port: Option<u16>,
        ports: &'p BTreeMap<u16, u16>,
        files: &'p [&'p File],
    ) -> Result<Machine<'p>, Failure> {
        let variables = self.written.variables.1.as_str();
        let accelerator = options.accelerator.accelerator;
        Ok(Machine {
            disk: self.written.disk.as_ref().map(|(_, name)| name.as_str()),
            hardware: options.hardware,
            sector_size: options.sector_size,
            ovmf: self.ovmf.as_ref().map(|ovmf| (ovmf.code.as_path(), variables)),
            accelerator,
            cmpxchg16b: accelerator != Accelerator::Tcg || has_good_cmpxchg16b()?,
            network: options.network,
            ssh_port,
            ports,
            second_disk: self.opened.second_disk.as_ref().map(|(_, path)| path.as_path()),
            seed: self.opened.seed.as_ref().map(|(_, path)| path.as_path()),
            seed_is_cd: self.seed_is_cd,
            smbios: &self.smbios,
            update: self.archive.as_ref().map(|(_, name)| name.as_str()),
            credentials: &self.credential_names,
            direct: self.opened.direct.as_ref(),
            boots_from_network: self.attached.network_boot().is_some() && self.opened.direct.is_none(),
            files,
        })
    }
}

/// The unnamed files that a guest writes: an overlay on the disk, and the firmware variables. They are preserved for a
/// second boot if one is requested.
struct Written {
    disk: Option<(File, String)>,
    variables: (File, String),
}

impl Written {
    /// `more` is the number of bytes by which the disk is larger than the image.
    pub(super) fn begin(
        image: Option<(&File, &str)>,
        ovmf: Option<&Ovmf>,
        more: Option<Bytes>,
    ) -> Result<Written, Failure> {
        let context = || "could not create a temporary file for the guest's writes".to_owned();
        let disk = match image {
            Some((image, format)) => {
                let overlay = tempfile::tempfile_in(scratch_directory()).context(context)?;
                let name = inherited_name(&overlay);
                let create = Invocation::new("qemu-img")
                    .args(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
                    .args([&inherited_name(image), &name])
                    .inheriting(image)?
                    .inheriting(&overlay)?;
                run_jailed(&create, Jail::Nothing)?;
                if let Some(more) = more {
                    let resize = Invocation::new("qemu-img").args(["resize", "-q", "-f", "qcow2"]);
                    let resize = resize.args([&name, &format!("+{}", more.0)]);
                    let resize = resize.inheriting(image)?.inheriting(&overlay)?;
                    run_jailed(&resize, Jail::Nothing)?;
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

/// Further files for QEMU, opened, and the names under which QEMU inherits them.
struct Opened {
    pub(super) second_disk: Option<(File, PathBuf)>,
    pub(super) seed: Option<(File, PathBuf)>,
    pub(super) direct: Option<DirectKernel>,
    /// Kernel and initramfs.
    pub(super) kernel_files: Vec<File>,
}

impl Opened {
    pub(super) fn of(options: &BootOptions, provisioned: Option<&Provisioned>) -> Result<Opened, Failure> {
        let open = |path: &Path, write: bool| -> Result<(File, PathBuf), Failure> {
            let file = File::options().read(true).write(write).open(path);
            let file = file.context(|| format!("could not open `{}`", path.display()))?;
            let name = inherited_name(&file).into();
            Ok((file, name))
        };
        let medium = provisioned.and_then(|it| it.medium.as_ref()).map(|(path, _)| path.as_path());
        let seed = options.seed.or(medium);
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
            seed: seed.map(|path| open(path, false)).transpose()?,
            direct,
            kernel_files: files,
        })
    }
}

/// Unnamed files, which no other process can open.
fn credential_files(credentials: &[(String, Secret)]) -> std::io::Result<Vec<File>> {
    let write = |(name, value): &(String, Secret)| {
        let mut file = tempfile::tempfile()?;
        file.write_all(credential(name, value.expose().as_bytes()).as_bytes())?;
        Ok(file)
    };
    credentials.iter().map(write).collect()
}

/// Whether TCG emulates `cmpxchg16b` correctly. TCG of QEMU 7.2 leaves undefined flags after this instruction, which
/// Linux 6.12 uses to allocate memory: 5 of 14 boots ended in a double fault. There was none in 8 boots without the
/// instruction, and none in 8 with QEMU 10.0. Versions between them were not tested.
fn has_good_cmpxchg16b() -> Result<bool, Failure> {
    let version = emulator_version()?;
    let major = version.split_whitespace().find_map(|word| word.split_once('.')?.0.parse::<u32>().ok());
    Ok(major.is_none_or(|major| major >= 10))
}
