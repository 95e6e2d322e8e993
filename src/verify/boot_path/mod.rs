//! How a disk boots: what each firmware starts, followed through boot loaders to kernels, initramfs images and command
//! lines. Nothing is executed.
//!
//! The result is a tree of [`PathStep`]s. Problems are [`Issue`]s of the step where they occur. An unknown boot loader ends
//! its path: nothing after it is checked.

mod bios;
pub mod cd;
mod efi;
mod grub;
mod grub_image;
mod grub_legacy;
mod grub_shell;
mod kernel;
mod script;
mod syslinux;
mod systemd_boot;
#[cfg(test)]
mod tests;
mod volume;

pub use kernel::{Initramfs, KernelImage, is_initramfs};

pub use volume::Volume;

use crate::plan::Firmware;
use serde::Serialize;
use std::collections::BTreeMap;

/// Checks the syntax of a GRUB configuration. `Err`: the line, and the error.
pub fn check_grub_script(text: &str) -> Result<(), String> {
    script::parse(text).map(drop).map_err(|error| format!("line {}: {}", error.line, error.message))
}

/// A longer path is a loop of configuration files.
const DEEPEST: usize = 12;
/// The maximum number of kernels for a disk.
const MOST_KERNELS: usize = 200;

/// The maximum number of kernels and initramfs images that are read; the others are not checked.
const MOST_FILES: usize = 24;

/// A file on a partition, with its path in that filesystem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileAt {
    /// 0 for a filesystem without a partition table.
    pub partition: u32,
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IssueKind {
    /// A partition or boot code for the firmware exists, but no boot loader.
    LoaderMissing,
    /// A boot program is truncated, or not a program.
    LoaderDamaged,
    /// A boot program is for another architecture.
    WrongArchitecture,
    /// The boot loader has no entry.
    EntryMissing,
    /// The GRUB configuration is missing or invalid.
    GrubConfiguration,
    SyslinuxConfiguration,
    KernelMissing,
    /// The boot loader starts the kernel as an EFI program, but it is not one for this architecture.
    KernelNotEfi,
    InitramfsMissing,
    OtherFileMissing,
}

/// A problem on a boot path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Issue {
    pub kind: IssueKind,
    /// Starts in lower case, without a full stop.
    pub message: String,
    pub help: Option<String>,
}

impl Issue {
    pub fn new(kind: IssueKind, message: impl Into<String>) -> Issue {
        Issue { kind, message: message.into(), help: None }
    }

    pub fn help(mut self, text: impl Into<String>) -> Issue {
        self.help = Some(text.into());
        self
    }
}

/// A step of a boot path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PathStep {
    /// For example `systemd-boot 252.38` or `entry debian-6.1.0-32-amd64.conf`.
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileAt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Issue>,
    /// The kernel that is started here, as an index into `kernels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// The step is not the default: it must be selected in a menu.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_alternative: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<PathStep>,
}

impl PathStep {
    pub fn new(title: impl Into<String>) -> PathStep {
        PathStep { title: title.into(), ..PathStep::default() }
    }

    pub fn at(mut self, file: FileAt) -> PathStep {
        self.file = Some(file);
        self
    }

    fn issue(mut self, issue: Issue) -> PathStep {
        self.issues.push(issue);
        self
    }

    fn then(mut self, next: impl IntoIterator<Item = PathStep>) -> PathStep {
        self.next.extend(next);
        self
    }

    /// This step and all that follow, each with whether it must be selected in a menu.
    pub fn all(&self, chosen: bool) -> Vec<(&PathStep, bool)> {
        let chosen = chosen || self.is_alternative;
        std::iter::once((self, chosen)).chain(self.next.iter().flat_map(|step| step.all(chosen))).collect()
    }
}

/// A kernel that a loader entry starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelStart {
    /// The configuration with the entry, or the unified kernel image.
    pub entry: FileAt,
    /// `None` if the file is missing.
    pub image: Option<(FileAt, KernelImage)>,
    pub initramfs: Vec<(FileAt, Initramfs)>,
    /// The kernel command line, as far as it can be determined without running the boot loader.
    pub options: String,
}

/// The boot path of a firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootPath {
    pub firmware: Firmware,
    pub start: PathStep,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootPaths {
    pub paths: Vec<BootPath>,
    pub kernels: Vec<KernelStart>,
}

impl BootPaths {
    /// All steps of all paths, each with whether it must be selected in a menu.
    pub fn steps(&self) -> impl Iterator<Item = (&PathStep, bool)> {
        self.paths.iter().flat_map(|path| path.start.all(false))
    }

    /// All kernels on the boot paths, each with whether it must be selected in a menu.
    pub fn kernels(&self) -> impl Iterator<Item = (&KernelStart, bool)> {
        self.steps().filter_map(|(step, chosen)| Some((self.kernels.get(step.kernel?)?, chosen)))
    }
}

/// The parts of a disk that boot loaders can read.
pub struct Disk<'a> {
    /// In the order of the partition table.
    pub volumes: Vec<Volume<'a>>,
    /// Partitions with an unsupported filesystem or volume type, which a boot loader may be able to read.
    pub not_read: Vec<u32>,
    /// The first 440 bytes of the disk, which BIOS executes.
    pub boot_code: &'a [u8],
    /// Reads 512-byte sectors from the disk.
    pub sectors: &'a dyn Fn(u64, usize) -> Option<Vec<u8>>,
}

/// Follows all boot paths.
pub fn follow(disk: &Disk) -> BootPaths {
    let mut tracer = Tracer::new(disk);
    let mut paths = Vec::new();
    for (firmware, starts) in
        [(Firmware::Uefi, efi::starts(&mut tracer)), (Firmware::Bios, bios::starts(&mut tracer))]
    {
        paths.extend(starts.into_iter().map(|start| BootPath { firmware, start }));
    }
    tracer.into_paths(paths)
}

/// State while boot paths are followed.
struct Tracer<'d, 'a> {
    disk: &'d Disk<'a>,
    kernels: Vec<KernelStart>,
    /// Kernels that were already read.
    images: BTreeMap<FileAt, KernelImage>,
    archives: BTreeMap<FileAt, Initramfs>,
    depth: usize,
}

impl<'d, 'a> Tracer<'d, 'a> {
    fn new(disk: &'d Disk<'a>) -> Tracer<'d, 'a> {
        Tracer { disk, kernels: Vec::new(), images: BTreeMap::new(), archives: BTreeMap::new(), depth: 0 }
    }

    fn into_paths(self, paths: Vec<BootPath>) -> BootPaths {
        BootPaths { paths, kernels: self.kernels }
    }

    /// Adds the issue of a missing file to a step, unless the file may be on a partition with an unsupported type.
    fn add_issue_unless_unsupported(&self, step: PathStep, issue: Issue) -> PathStep {
        match self.disk.not_read.first() {
            None => step.issue(issue),
            Some(number) => {
                let title =
                    format!("{}; its configuration may be on the unsupported partition {number}", step.title);
                PathStep { title, ..step }
            }
        }
    }

    fn volumes(&self) -> &'d [Volume<'a>] {
        &self.disk.volumes
    }

    fn volume(&self, number: u32) -> &'d Volume<'a> {
        self.volumes()
            .iter()
            .find(|volume| volume.number == number)
            .expect("steps refer to volumes of the disk")
    }

    /// Follows a step one level deeper, up to the limit.
    fn deeper(&mut self, follow: impl FnOnce(&mut Self) -> PathStep) -> PathStep {
        if self.depth >= DEEPEST {
            return PathStep::new("limit of nested configurations reached").issue(Issue::new(
                IssueKind::EntryMissing,
                format!("more than {DEEPEST} boot loaders and configuration files start each other"),
            ));
        }
        self.depth += 1;
        let step = follow(self);
        self.depth -= 1;
        step
    }

    /// Adds the kernel of an entry. `linux` and `initrds` are the files that exist.
    fn kernel(
        &mut self,
        entry: &FileAt,
        linux: Option<FileAt>,
        initrds: Vec<FileAt>,
        options: String,
    ) -> Option<usize> {
        if self.kernels.len() >= MOST_KERNELS {
            return None;
        }
        let image = linux.map(|at| {
            if !self.images.contains_key(&at) && self.may_read() {
                self.images.insert(at.clone(), KernelImage::read(self.volume(at.partition), &at.path));
            }
            let image = self
                .images
                .get(&at)
                .cloned()
                .unwrap_or(KernelImage { is_efi: true, ..KernelImage::default() });
            (at, image)
        });
        let mut initramfs = Vec::new();
        for at in initrds {
            if !self.archives.contains_key(&at) && self.may_read() {
                self.archives.insert(at.clone(), Initramfs::read(self.volume(at.partition), &at.path));
            }
            let archive = self.archives.get(&at).cloned().unwrap_or_default();
            initramfs.push((at, archive));
        }
        self.kernels.push(KernelStart { entry: entry.clone(), image, initramfs, options });
        Some(self.kernels.len() - 1)
    }

    /// Whether another file may be read. A malicious disk can contain any number of large files.
    fn may_read(&self) -> bool {
        self.images.len() + self.archives.len() < MOST_FILES
    }

    /// Adds the kernel in a unified kernel image.
    fn unified(
        &mut self,
        at: &FileAt,
        linux: &[u8],
        initrd: Option<&[u8]>,
        options: String,
    ) -> Option<usize> {
        if self.kernels.len() >= MOST_FILES {
            return None;
        }
        let image = Some((at.clone(), KernelImage::parse(linux)));
        let initramfs = initrd.map(|bytes| (at.clone(), Initramfs::parse(bytes))).into_iter().collect();
        self.kernels.push(KernelStart { entry: at.clone(), image, initramfs, options });
        Some(self.kernels.len() - 1)
    }
}
