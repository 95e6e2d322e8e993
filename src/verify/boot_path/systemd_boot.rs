//! systemd-boot: its entries and unified kernel images. Sources: The Boot Loader Specification (UAPI.1); systemd-boot(7);
//! loader.conf(5).

use super::volume::absolute;
use super::{FileAt, Issue, IssueKind, KernelImage, Step, Tracer, Volume, efi};
use std::cmp::Ordering;

const ENTRIES: &str = "/loader/entries";
const UNIFIED: &str = "/EFI/Linux";

/// A Type #1 entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub title: Option<String>,
    pub version: String,
    pub sort_key: Option<String>,
    pub linux: Option<String>,
    /// An EFI program that is not Linux, or one that holds everything.
    pub efi: Option<String>,
    pub initrds: Vec<String>,
    pub options: String,
    pub devicetree: Option<String>,
}

impl Entry {
    pub fn parse(text: &str) -> Entry {
        let fields: Vec<(&str, &str)> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(char::is_whitespace))
            .map(|(key, value)| (key, value.trim()))
            .collect();
        let all = |name: &'static str| {
            fields.iter().filter(move |(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Entry {
            title: all("title").next_back(),
            version: all("version").next_back().unwrap_or_default(),
            sort_key: all("sort-key").next_back(),
            linux: all("linux").next_back(),
            efi: all("efi").next_back().or_else(|| all("uki").next_back()),
            // What a loader's own scripts fill in, as Fedora's.
            initrds: all("initrd")
                .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .filter(|path| !path.contains('$'))
                .collect(),
            options: all("options").collect::<Vec<_>>().join(" "),
            devicetree: all("devicetree").next_back(),
        }
    }
}

/// As the menu has them: by sort key, newest version first; those without a key behind, by name, the last first. Source: UAPI.1,
/// "Sorting".
fn order(a: &(String, Entry), b: &(String, Entry)) -> Ordering {
    let has_no_key = |entry: &Entry| entry.sort_key.is_none();
    has_no_key(&a.1)
        .cmp(&has_no_key(&b.1))
        .then_with(|| a.1.sort_key.cmp(&b.1.sort_key))
        .then_with(|| match a.1.sort_key {
            Some(_) => version_key(&b.1.version).cmp(&version_key(&a.1.version)),
            None => Ordering::Equal,
        })
        .then_with(|| version_key(&b.0).cmp(&version_key(&a.0)))
}

/// Numbers compare as numbers. Source: UAPI.10, as far as versions of kernels need it.
fn version_key(version: &str) -> Vec<(u64, String)> {
    version
        .split(|c: char| !c.is_alphanumeric())
        .map(|part| (part.parse().unwrap_or(0), part.to_owned()))
        .collect()
}

pub fn follow(tracer: &mut Tracer, at: &FileAt, name: &str) -> Step {
    let step = Step::new(name).at(at.clone());
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
            format!("systemd-boot has no entry in {ENTRIES} and no unified kernel image in {UNIFIED}"),
        );
        return step.issue(issue);
    }
    // A default that is not there leaves the first that can be started.
    let settings = tracer.volume(at.partition).text("/loader/loader.conf").unwrap_or_default();
    let default = settings.lines().filter_map(|line| line.trim().strip_prefix("default")).next_back();
    let default =
        default.map(|glob| glob.trim().trim_end_matches(".conf").to_owned()).filter(|glob| !glob.is_empty());
    let is_named = |step: &Step| {
        let name = step.file.as_ref().and_then(|at| at.path.rsplit('/').next()).unwrap_or_default();
        default.as_ref().is_some_and(|glob| matches(glob, name.trim_end_matches(".conf")))
    };
    let can_be_loaded = |step: &Step| !step.issues.iter().any(|issue| issue.kind == IssueKind::KernelMissing);
    let chosen = next
        .iter()
        .position(|step| can_be_loaded(step) && is_named(step))
        .or_else(|| next.iter().position(can_be_loaded))
        .unwrap_or(0);
    for (index, entry) in next.iter_mut().enumerate() {
        entry.is_alternative = index != chosen;
    }
    step.then(next)
}

/// `*` stands for any text, as far as loader.conf is written so. Source: loader.conf(5), default.
fn matches(glob: &str, name: &str) -> bool {
    match glob.split_once('*') {
        None => glob.eq_ignore_ascii_case(name),
        Some((start, rest)) => {
            let rest = rest.rsplit('*').next().unwrap_or_default();
            name.len() >= start.len() + rest.len() && name.starts_with(start) && name.ends_with(rest)
        }
    }
}

/// The entries of a directory. `prefix`: where what they name begins, seen from the volume's root.
pub fn entries(tracer: &mut Tracer, volume: &Volume, directory: &str, prefix: &str) -> Vec<Step> {
    let names =
        volume.list(directory).into_iter().filter(|name| name.to_ascii_lowercase().ends_with(".conf"));
    let mut found: Vec<(String, Entry)> = names
        .filter_map(|name| {
            let text = volume.text(&format!("{directory}/{name}"))?;
            Some((name, Entry::parse(&text)))
        })
        .collect();
    found.sort_by(order);
    found
        .into_iter()
        .map(|(name, text)| entry(tracer, volume, &format!("{directory}/{name}"), &text, prefix))
        .collect()
}

fn entry(tracer: &mut Tracer, volume: &Volume, path: &str, entry: &Entry, prefix: &str) -> Step {
    let at = volume.at(path);
    let mut step = Step::new(format!("entry {}", path.rsplit('/').next().unwrap_or_default())).at(at.clone());
    let place = |path: &str| format!("{prefix}{}", absolute(path));
    let Some(linux) = &entry.linux else {
        return match &entry.efi {
            Some(efi) if volume.has_file(&place(efi)) => {
                let program = volume.at(&place(efi));
                step.then([tracer.deeper(|tracer| efi::program(tracer, &program))])
            }
            Some(efi) => step.issue(Issue::new(
                IssueKind::KernelMissing,
                format!("the loader entry names the program {efi}, which is not there"),
            )),
            None => step.issue(Issue::new(IssueKind::KernelMissing, "the loader entry names no kernel")),
        };
    };
    if !volume.has_file(&place(linux)) {
        let message = format!("the loader entry names the kernel {linux}, which is not there");
        let help = "add a kernel bundle to `Bundles`, or correct the hook that wrote the entry";
        step = step.issue(Issue::new(IssueKind::KernelMissing, message).help(help));
    }
    let mut initrds = Vec::new();
    for initrd in &entry.initrds {
        if volume.has_file(&place(initrd)) {
            initrds.push(volume.at(&place(initrd)));
        } else {
            let message = format!("the loader entry names the initramfs {initrd}, which is not there");
            step = step.issue(Issue::new(IssueKind::InitramfsMissing, message));
        }
    }
    if let Some(file) = entry.devicetree.as_ref().filter(|file| !volume.has_file(&place(file))) {
        let message = format!("the loader entry names the device tree {file}, which is not there");
        step = step.issue(Issue::new(IssueKind::OtherFileMissing, message));
    }
    let linux = volume.has_file(&place(linux)).then(|| volume.at(&place(linux)));
    step.kernel = tracer.kernel(&at, linux, initrds, entry.options.clone());
    let image = step.kernel.and_then(|index| tracer.kernels[index].image.as_ref());
    if let Some((at, KernelImage { is_efi: false, damage: None, .. })) = image {
        let message =
            format!("{} is not an EFI program for x86-64, which is all that systemd-boot starts", at.path);
        step.issues.push(Issue::new(IssueKind::KernelNotEfi, message));
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_as_the_menu_has_them() {
        let entry = |name: &str, text: &str| (format!("{name}.conf"), Entry::parse(text));
        let mut all = [
            entry("a-1", "linux /a"),
            entry("debian-6.9", "sort-key debian\nversion 6.9\n"),
            entry("b-2", "linux /b"),
            entry("debian-6.10", "sort-key debian\nversion 6.10\n"),
        ];
        all.sort_by(order);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["debian-6.10.conf", "debian-6.9.conf", "b-2.conf", "a-1.conf"]);
    }

    #[test]
    fn defaults_are_globs() {
        assert!(matches("debian-*", "debian-6.1") && matches("a*b", "axb") && matches("x", "X"));
        assert!(!matches("debian-*", "fedora-6.1"));
    }
}
