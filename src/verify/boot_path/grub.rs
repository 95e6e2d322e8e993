//! GRUB 2: from the embedded prefix and configuration to the configuration file. Source: GRUB manual.

use super::grub_image::Embedded;
use super::grub_shell::{NAME, Shell, device};
use super::volume::directory;
use super::{FileAt, Issue, IssueKind, PathStep, Tracer};
use crate::plan::Firmware;

/// Directories with a configuration, for a GRUB without a known prefix.
const DIRECTORIES: &[&str] = &["/boot/grub", "/boot/grub2", "/grub", "/grub2"];
const TITLE: &str = "GRUB";
/// Help text for a missing configuration.
const STOPS: &str =
    "generate it with `grub-mkconfig`; without a configuration GRUB stops at its `grub>` prompt";

/// Follows GRUB as an EFI program.
pub(super) fn of_efi(tracer: &mut Tracer, at: &FileAt, embedded: &Embedded) -> PathStep {
    let step = PathStep::new(TITLE).at(at.clone());
    let mut shell = Shell::new(Firmware::Uefi, Some(at.partition));
    let own = directory(&at.path).to_owned();
    shell.set("cmdpath", &format!("({}){own}", device(at.partition)));
    let prefix = embedded.prefix.clone().unwrap_or_default();
    shell.set("prefix", &prefix);
    if let Some(text) = &embedded.configuration {
        let (found, _) = shell.embedded(tracer, at, text);
        if !found.is_empty() {
            return step.then(found);
        }
    }
    let prefix = shell.variables.get("prefix").cloned().unwrap_or_default();
    let mut places: Vec<FileAt> = shell.place(tracer, &format!("{prefix}/{NAME}")).into_iter().collect();
    let volumes = tracer.volumes();
    // Debian's signed image looks on the installation medium, and then next to itself.
    if embedded.has_memdisk {
        let medium = volumes
            .iter()
            .filter(|volume| ["/.disk/info", "/.disk/mini-info"].iter().any(|path| volume.has_file(path)));
        places.extend(medium.map(|volume| volume.at("/boot/grub/grub.cfg")));
    }
    places.push(tracer.volume(at.partition).at(&format!("{own}/{NAME}")));
    if prefix.is_empty() {
        places.extend(conventional(tracer));
    }
    let Some(place) =
        places.iter().find(|place| tracer.volume(place.partition).has_file(&place.path)).cloned()
    else {
        let names: Vec<String> =
            places.iter().map(|place| format!("{} on partition {}", place.path, place.partition)).collect();
        let message = format!("GRUB configuration missing: {}", names.join(", "));
        return tracer.add_issue_unless_unsupported(
            step,
            Issue::new(IssueKind::GrubConfiguration, message).help(STOPS),
        );
    };
    shell.set("prefix", &format!("({}){}", device(place.partition), directory(&place.path)));
    step.then([shell.file(tracer, &place)])
}

/// Follows GRUB for BIOS. `embedded` is the content of its core image, if that could be read.
pub(super) fn of_bios(tracer: &mut Tracer, step: PathStep, embedded: Option<&Embedded>) -> PathStep {
    match embedded {
        Some(embedded) if !embedded.has_memdisk => from_core(tracer, step, embedded),
        _ => from_somewhere(tracer, step),
    }
}

/// Follows the prefix and configuration that are embedded in a core image.
fn from_core(tracer: &mut Tracer, step: PathStep, embedded: &Embedded) -> PathStep {
    let mut shell = Shell::new(Firmware::Bios, None);
    // The boot disk.
    shell.set("root", "hd0");
    let prefix = embedded.prefix.clone().unwrap_or_default();
    let (disk, path) = match prefix.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((device, path)) => (Some(device.to_owned()), path.to_owned()),
        None => (None, prefix.clone()),
    };
    // Without a disk name the prefix refers to the boot disk. Source: GRUB 2.06, grub-core/kern/main.c,
    // grub_set_prefix_and_root.
    if let Some(disk) = disk {
        let disk = if disk.starts_with(',') { format!("hd0{disk}") } else { disk };
        shell.set("root", &disk);
        shell.set("prefix", &format!("({disk}){path}"));
    } else {
        shell.set("prefix", &path);
    }
    let mut search = None;
    if let Some(text) = &embedded.configuration {
        let Some(first) = tracer.volumes().first() else { return step };
        let at = FileAt { partition: first.number, path: "GRUB core image".to_owned() };
        let (found, searches) = shell.embedded(tracer, &at, text);
        if !found.is_empty() {
            return step.then(found);
        }
        search = searches.into_iter().next_back();
    }
    let prefix = shell.variables.get("prefix").cloned().unwrap_or_default();
    let root = shell.variables.get("root").cloned().unwrap_or_default();
    if shell.is_opened_by_grub(&prefix) {
        return PathStep {
            title: format!("{}; its prefix {prefix} is on an unsupported volume", step.title),
            ..step
        };
    }
    let path = format!("{prefix}/{NAME}");
    let place = shell.place(tracer, &path);
    let is_read = place.is_some();
    match place.filter(|place| tracer.volume(place.partition).has_file(&place.path)) {
        Some(place) => {
            shell.set("prefix", &format!("({}){}", device(place.partition), directory(&place.path)));
            step.then([shell.file(tracer, &place)])
        }
        None => {
            let place = if path.starts_with('(') { path } else { format!("({root}){path}") };
            let mut message = format!("GRUB configuration missing: {place}");
            if let Some(search) = search {
                message = format!("{message}; the search for `{search}` fails");
            }
            let issue = Issue::new(IssueKind::GrubConfiguration, message).help(STOPS);
            if is_read { step.issue(issue) } else { tracer.add_issue_unless_unsupported(step, issue) }
        }
    }
}

fn from_somewhere(tracer: &mut Tracer, step: PathStep) -> PathStep {
    let Some(place) = conventional(tracer).into_iter().next() else {
        let places = DIRECTORIES.join(&format!("/{NAME}, "));
        let message = format!("GRUB configuration missing: {places}/{NAME}");
        return tracer.add_issue_unless_unsupported(
            step,
            Issue::new(IssueKind::GrubConfiguration, message).help(STOPS),
        );
    };
    let mut shell = Shell::new(Firmware::Bios, Some(place.partition));
    shell.set("prefix", &format!("({}){}", device(place.partition), directory(&place.path)));
    step.then([shell.file(tracer, &place)])
}

/// Configurations in the usual directories of distributions.
fn conventional(tracer: &Tracer) -> Vec<FileAt> {
    let all = DIRECTORIES.iter().flat_map(|directory| {
        let path = format!("{directory}/{NAME}");
        tracer
            .volumes()
            .iter()
            .filter(move |volume| volume.has_file(&path))
            .map(move |volume| volume.at(&format!("{directory}/{NAME}")))
    });
    all.collect()
}
