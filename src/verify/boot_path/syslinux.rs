//! SYSLINUX, EXTLINUX and ISOLINUX: their configuration. Source: the Syslinux wiki, "Config".

use super::volume::{absolute, directory};
use super::{FileAt, Issue, IssueKind, PathStep, Tracer, Volume};

/// Paths of the configuration, in search order. Source: the Syslinux wiki, "Config", "Working directory".
const CONFIGURATIONS: &[&str] = &[
    "/boot/isolinux/isolinux.cfg",
    "/isolinux/isolinux.cfg",
    "/isolinux.cfg",
    "/boot/extlinux/extlinux.conf",
    "/extlinux/extlinux.conf",
    "/extlinux.conf",
    "/boot/syslinux/extlinux.conf",
    "/syslinux/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
    "/syslinux/syslinux.cfg",
    "/syslinux.cfg",
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Label {
    name: String,
    linux: Option<String>,
    initrds: Vec<String>,
    options: String,
    /// Another configuration, a module or another boot sector.
    other: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Configuration {
    default: Option<String>,
    labels: Vec<Label>,
    includes: Vec<String>,
}

fn parse(text: &str) -> Configuration {
    let mut found = Configuration::default();
    for line in text.lines() {
        let line = line.trim();
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (key, value) = (key.to_ascii_lowercase(), value.trim());
        let label = found.labels.last_mut();
        match (key.as_str(), label) {
            ("label", _) => found.labels.push(Label { name: value.to_owned(), ..Label::default() }),
            // A menu module is not a label; the menu uses `menu default`.
            ("default", _) => found.default = Some(value.to_owned()).filter(|value| !value.contains(".c32")),
            ("include", _) => {
                found.includes.push(value.split_whitespace().next().unwrap_or_default().to_owned())
            }
            ("kernel" | "linux", Some(label)) => {
                // Syslinux determines the file type by its extension.
                let is_other = key == "kernel"
                    && [".c32", ".com", ".bin", ".bss", ".0"].iter().any(|end| value.ends_with(end));
                label.other |= is_other;
                label.linux = Some(value.to_owned()).filter(|_| !is_other);
            }
            ("initrd", Some(label)) => {
                label.initrds.extend(value.split(',').map(|path| path.trim().to_owned()))
            }
            ("append", Some(label)) => {
                let initrd = value.split_whitespace().filter_map(|word| word.strip_prefix("initrd="));
                label.initrds.extend(initrd.flat_map(|list| list.split(',')).map(str::to_owned));
                label.options = value.to_owned();
            }
            (
                "localboot" | "com32" | "config" | "boot" | "bss" | "pxe" | "fdimage" | "comboot",
                Some(label),
            ) => label.other = true,
            ("menu", Some(label)) if value.eq_ignore_ascii_case("default") => {
                found.default = Some(label.name.clone())
            }
            _ => {}
        }
    }
    found
}

/// Follows the configuration, on the filesystem with the boot sector.
pub(super) fn follow(tracer: &mut Tracer, volume: &Volume, step: PathStep) -> PathStep {
    let Some(path) = CONFIGURATIONS.iter().find(|path| volume.has_file(path)) else {
        let issue = Issue::new(IssueKind::SyslinuxConfiguration, "Syslinux configuration missing");
        return step
            .issue(issue.help("create the configuration; without it Syslinux stops at its `boot:` prompt"));
    };
    let at = volume.at(path);
    step.then([tracer.deeper(|tracer| configuration(tracer, volume, &at))])
}

fn configuration(tracer: &mut Tracer, volume: &Volume, at: &FileAt) -> PathStep {
    let step = PathStep::new("Syslinux configuration").at(at.clone());
    let own = directory(&at.path).to_owned();
    let mut found = parse(&volume.text(&at.path).unwrap_or_default());
    for include in std::mem::take(&mut found.includes).iter().take(20) {
        let text = volume.text(&place(&own, include)).unwrap_or_default();
        let more = parse(&text);
        found.default = found.default.or(more.default);
        found.labels.extend(more.labels);
    }
    if found.labels.is_empty() {
        return step.issue(Issue::new(IssueKind::EntryMissing, "no label in the configuration"));
    }
    let default = found.default.take();
    let chosen = found.labels.iter().position(|label| Some(&label.name) == default.as_ref()).unwrap_or(0);
    let labels = found.labels.iter().enumerate().map(|(index, label)| {
        let step = entry(tracer, volume, at, &own, label);
        PathStep { is_alternative: index != chosen, ..step }
    });
    let labels: Vec<PathStep> = labels.collect();
    step.then(labels)
}

fn entry(tracer: &mut Tracer, volume: &Volume, at: &FileAt, own: &str, label: &Label) -> PathStep {
    let mut step = PathStep::new(format!("label {}", label.name));
    let Some(linux) = &label.linux else {
        return match label.other {
            true => PathStep::new(format!("label {}, not followed", label.name)),
            false => step
                .issue(Issue::new(IssueKind::KernelMissing, format!("label {} has no kernel", label.name))),
        };
    };
    let kernel = place(own, linux);
    let is_there = volume.has_file(&kernel);
    if !is_there {
        let message = format!("label {} refers to missing kernel {linux}", label.name);
        step = step.issue(Issue::new(IssueKind::KernelMissing, message));
    }
    let mut initrds = Vec::new();
    for initrd in &label.initrds {
        let path = place(own, initrd);
        if volume.has_file(&path) {
            initrds.push(volume.at(&path));
        } else {
            let message = format!("label {} refers to missing initramfs {initrd}", label.name);
            step = step.issue(Issue::new(IssueKind::InitramfsMissing, message));
        }
    }
    step.kernel = tracer.kernel(at, is_there.then(|| volume.at(&kernel)), initrds, label.options.clone());
    step
}

/// Resolves a path relative to the directory of the configuration.
fn place(own: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { absolute(&format!("{own}/{path}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_parsed() {
        let found = parse(
            "DEFAULT vesamenu.c32\nTIMEOUT 1\nLABEL a\n  KERNEL memdisk.c32\nlabel b\n menu default\n linux ../vmlinuz\n append initrd=/initrd.img root=x rw\n",
        );
        assert_eq!(found.default.as_deref(), Some("b"));
        assert!(found.labels[0].other);
        let label = &found.labels[1];
        assert_eq!(
            (label.linux.as_deref(), label.options.as_str()),
            (Some("../vmlinuz"), "initrd=/initrd.img root=x rw")
        );
        assert_eq!(label.initrds, ["/initrd.img"]);
        assert_eq!(place("/boot/extlinux", "vmlinuz"), "/boot/extlinux/vmlinuz");
    }
}
