//! systemd-boot: its entries and unified kernel images. Sources: The Boot Loader Specification (UAPI.1);
//! systemd-boot(7); loader.conf(5).

use super::volume::absolute;
use super::{FileAt, Issue, IssueKind, KernelImage, PathStep, Tracer, Volume, efi};
use crate::plan::bls::{self, LoaderEntry};

const ENTRIES: &str = "/loader/entries";
const UNIFIED: &str = "/EFI/Linux";

pub(super) fn follow(tracer: &mut Tracer, at: &FileAt, name: &str) -> PathStep {
    let step = PathStep::new(name).at(at.clone());
    let volumes = tracer.volumes();
    let own = volumes.iter().filter(|volume| volume.number == at.partition || volume.is_xbootldr);
    let mut next = Vec::new();
    for volume in own {
        next.extend(entries(tracer, volume, ENTRIES, ""));
        for name in
            volume.list(UNIFIED).into_iter().filter(|name| name.to_ascii_lowercase().ends_with(".efi"))
        {
            let at = volume.at(&format!("{UNIFIED}/{name}"));
            next.push(tracer.deeper(|tracer| efi::program(tracer, &at)));
        }
    }
    if next.is_empty() {
        let issue = Issue::new(
            IssueKind::EntryMissing,
            format!("systemd-boot finds no entry in {ENTRIES} and no unified kernel image in {UNIFIED}"),
        );
        return step.issue(issue);
    }
    // If the default entry does not exist, the first one is the default.
    let settings = tracer.volume(at.partition).text("/loader/loader.conf").unwrap_or_default();
    let named: Vec<bls::LoaderEntry> = next
        .iter()
        .map(|step| {
            let name = step.file.as_ref().and_then(|at| at.path.rsplit('/').next()).unwrap_or_default();
            bls::LoaderEntry::parse(name, "")
        })
        .collect();
    let can_be_loaded =
        |index: usize| !next[index].issues.iter().any(|issue| issue.kind == IssueKind::KernelMissing);
    let chosen = bls::chosen(&named, &settings, can_be_loaded).unwrap_or(0);
    for (index, entry) in next.iter_mut().enumerate() {
        entry.is_alternative = index != chosen;
    }
    step.then(next)
}

/// The entries in a directory. `prefix` is the directory on the volume that paths in entries are relative to.
pub(super) fn entries(tracer: &mut Tracer, volume: &Volume, directory: &str, prefix: &str) -> Vec<PathStep> {
    let names =
        volume.list(directory).into_iter().filter(|name| name.to_ascii_lowercase().ends_with(".conf"));
    let mut found: Vec<LoaderEntry> = names
        .filter_map(|name| {
            let text = volume.text(&format!("{directory}/{name}"))?;
            Some(LoaderEntry::parse(&name, &text))
        })
        .collect();
    found.sort_by(bls::order);
    found
        .into_iter()
        .map(|found| entry(tracer, volume, &format!("{directory}/{}", found.name), &found, prefix))
        .collect()
}

fn entry(tracer: &mut Tracer, volume: &Volume, path: &str, entry: &LoaderEntry, prefix: &str) -> PathStep {
    let at = volume.at(path);
    let mut step =
        PathStep::new(format!("entry {}", path.rsplit('/').next().unwrap_or_default())).at(at.clone());
    let place = |path: &str| format!("{prefix}{}", absolute(path));
    let Some(linux) = &entry.linux else {
        return match &entry.efi {
            Some(efi) if volume.has_file(&place(efi)) => {
                let program = volume.at(&place(efi));
                step.then([tracer.deeper(|tracer| efi::program(tracer, &program))])
            }
            Some(efi) => step.issue(Issue::new(
                IssueKind::KernelMissing,
                format!("loader entry refers to missing program {efi}"),
            )),
            None => step.issue(Issue::new(IssueKind::KernelMissing, "loader entry has no kernel")),
        };
    };
    if !volume.has_file(&place(linux)) {
        let message = format!("loader entry refers to missing kernel {linux}");
        let help = "add a kernel bundle to `Bundles`, or fix the hook that wrote the entry";
        step = step.issue(Issue::new(IssueKind::KernelMissing, message).help(help));
    }
    let mut initrds = Vec::new();
    for initrd in &entry.initrds {
        if volume.has_file(&place(initrd)) {
            initrds.push(volume.at(&place(initrd)));
        } else {
            let message = format!("loader entry refers to missing initramfs {initrd}");
            step = step.issue(Issue::new(IssueKind::InitramfsMissing, message));
        }
    }
    if let Some(file) = entry.devicetree.as_ref().filter(|file| !volume.has_file(&place(file))) {
        let message = format!("loader entry refers to missing device tree {file}");
        step = step.issue(Issue::new(IssueKind::OtherFileMissing, message));
    }
    let linux = volume.has_file(&place(linux)).then(|| volume.at(&place(linux)));
    step.kernel = tracer.kernel(&at, linux, initrds, entry.options.clone());
    let image = step.kernel.and_then(|index| tracer.kernels[index].image.as_ref());
    if let Some((at, KernelImage { is_efi: false, damage: None, .. })) = image {
        let message =
            format!("{} is not an EFI program for x86-64; systemd-boot starts only EFI programs", at.path);
        step.issues.push(Issue::new(IssueKind::KernelNotEfi, message));
    }
    step
}
