//! How a disk boots: what each firmware finds on it, and where that leads, followed to kernels, initramfs images and command lines
//! without running anything.
//!
//! The result is a tree of [`Step`]s. A broken link is an [`Issue`] of the step that has it; a loader that is not known ends its
//! path with a step that says so, and nothing behind it is judged.

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

/// Whether GRUB can read a configuration. `Err`: in which line it cannot, and why.
pub fn check_grub_script(text: &str) -> Result<(), String> {
    script::parse(text).map(drop).map_err(|error| format!("line {}: {}", error.line, error.message))
}

/// More steps than this on one path are a loop of configuration files.
const DEEPEST: usize = 12;
/// More kernels than this on one disk help nobody.
const MOST_KERNELS: usize = 200;

/// Kernels and initramfs images that are looked into; others are taken as they are.
const MOST_FILES: usize = 24;

/// A file of a partition. The path is as the partition has it.
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
    /// A firmware finds a partition or boot code that is meant for it, and nothing to start.
    LoaderMissing,
    /// A boot program is truncated, or not one.
    LoaderDamaged,
    /// A boot program is for another processor.
    WrongArchitecture,
    /// A loader has no entry that starts anything.
    EntryMissing,
    /// Missing, or not what GRUB can read.
    GrubConfiguration,
    SyslinuxConfiguration,
    KernelMissing,
    /// A kernel that the loader starts as an EFI program is none, for this processor.
    KernelNotEfi,
    InitramfsMissing,
    OtherFileMissing,
}

/// A broken link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Issue {
    pub kind: IssueKind,
    /// Lowercase, without full stop.
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

/// One link of a boot path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    /// Such as `systemd-boot 252.38` or `entry debian-6.1.0-32-amd64.conf`.
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileAt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Issue>,
    /// Which kernel is started here: an index into [`BootPaths::kernels`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Somebody has to choose it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_alternative: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Step>,
}

impl Step {
    pub fn new(title: impl Into<String>) -> Step {
        Step { title: title.into(), ..Step::default() }
    }

    pub fn at(mut self, file: FileAt) -> Step {
        self.file = Some(file);
        self
    }

    fn issue(mut self, issue: Issue) -> Step {
        self.issues.push(issue);
        self
    }

    fn then(mut self, next: impl IntoIterator<Item = Step>) -> Step {
        self.next.extend(next);
        self
    }

    /// This step and all behind it, each with whether somebody has to choose it.
    pub fn all(&self, chosen: bool) -> Vec<(&Step, bool)> {
        let chosen = chosen || self.is_alternative;
        std::iter::once((self, chosen)).chain(self.next.iter().flat_map(|step| step.all(chosen))).collect()
    }
}

/// A kernel that an entry starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelStart {
    /// The configuration that names it, or the unified kernel image.
    pub entry: FileAt,
    /// Nothing if it is not there.
    pub image: Option<(FileAt, KernelImage)>,
    pub initramfs: Vec<(FileAt, Initramfs)>,
    /// The kernel's command line, as far as it is known without running the loader.
    pub options: String,
}

/// What one firmware does with the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootPath {
    pub firmware: Firmware,
    pub start: Step,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootPaths {
    pub paths: Vec<BootPath>,
    pub kernels: Vec<KernelStart>,
}

impl BootPaths {
    /// Every step of every path, each with whether somebody has to choose it.
    pub fn steps(&self) -> impl Iterator<Item = (&Step, bool)> {
        self.paths.iter().flat_map(|path| path.start.all(false))
    }

    /// Those that a firmware reaches by itself, or by a choice.
    pub fn kernels(&self) -> impl Iterator<Item = (&KernelStart, bool)> {
        self.steps().filter_map(|(step, chosen)| Some((self.kernels.get(step.kernel?)?, chosen)))
    }
}

/// What boot programs can read of a disk.
pub struct Disk<'a> {
    /// In the order of the table.
    pub volumes: Vec<Volume<'a>>,
    /// Partitions with a filesystem or volume that is known and not read here: a boot program may read it.
    pub not_read: Vec<u32>,
    /// The first 440 bytes, which BIOS runs.
    pub boot_code: &'a [u8],
    /// Reads sectors of 512 bytes that are in no filesystem.
    pub sectors: &'a dyn Fn(u64, usize) -> Option<Vec<u8>>,
}

/// Follows all paths.
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

/// What is found on the way.
struct Tracer<'d, 'a> {
    disk: &'d Disk<'a>,
    kernels: Vec<KernelStart>,
    /// What was read already.
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

    /// A step that leads to something that is not found, where that may be on a partition that is not read; else with the issue.
    fn unless_not_read(&self, step: Step, issue: Issue) -> Step {
        match self.disk.not_read.first() {
            None => step.issue(issue),
            Some(number) => {
                let title = format!(
                    "{}; its configuration may be on partition {number}, which is not read",
                    step.title
                );
                Step { title, ..step }
            }
        }
    }

    fn volumes(&self) -> &'d [Volume<'a>] {
        &self.disk.volumes
    }

    fn volume(&self, number: u32) -> &'d Volume<'a> {
        self.volumes().iter().find(|volume| volume.number == number).expect("steps name volumes of the disk")
    }

    /// One level deeper, unless that is too deep.
    fn deeper(&mut self, follow: impl FnOnce(&mut Self) -> Step) -> Step {
        if self.depth >= DEEPEST {
            return Step::new("further configuration is not followed").issue(Issue::new(
                IssueKind::EntryMissing,
                format!("more than {DEEPEST} boot programs and configuration files lead to each other"),
            ));
        }
        self.depth += 1;
        let step = follow(self);
        self.depth -= 1;
        step
    }

    /// The kernel of an entry. `linux` and `initrds`: where they were looked for, and the volume with the path if it is there.
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

    /// Whether one more file may be looked into: a hostile disk has any number of large ones.
    fn may_read(&self) -> bool {
        self.images.len() + self.archives.len() < MOST_FILES
    }

    /// What a unified kernel image holds.
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
