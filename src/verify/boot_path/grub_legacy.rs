//! GRUB Legacy (0.97) and its menu. Source: the manual of GRUB 0.97.

use super::volume::absolute;
use super::{FileAt, Issue, IssueKind, PathStep, Tracer, Volume};

/// Paths of the menu, in the versions of GNU and Red Hat, with and without a separate /boot filesystem.
const MENUS: &[&str] = &["/boot/grub/menu.lst", "/boot/grub/grub.conf", "/grub/menu.lst", "/grub/grub.conf"];
/// Offset of the interface version in the boot sector. Source: GRUB 0.97, stage1/stage1.h, COMPAT_VERSION.
const VERSION: std::ops::Range<usize> = 0x3e..0x40;
/// Offset of the next stage's sector number in the boot sector. Source: the same, STAGE1_STAGE2_SECTOR.
const NEXT: std::ops::Range<usize> = 0x44..0x48;

/// Whether boot code with the string `GRUB` belongs to GRUB Legacy.
pub(super) fn is_legacy(code: &[u8]) -> bool {
    code.get(VERSION) == Some(&[3, 2])
}

/// The sector of the next stage.
pub(super) fn next_sector(code: &[u8]) -> u64 {
    code.get(NEXT).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")).into())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct MenuEntry {
    title: String,
    /// `(hd0,0)`, or the UUID of the filesystem.
    root: Option<String>,
    kernel: Option<String>,
    options: String,
    initrds: Vec<String>,
    /// Another boot sector, or another menu.
    other: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Menu {
    default: usize,
    entries: Vec<MenuEntry>,
}

fn parse(text: &str) -> Menu {
    let mut menu = Menu::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        // `default=0` and `default 0` are equivalent.
        let (name, rest) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        let rest = rest.trim();
        if name == "title" {
            menu.entries.push(MenuEntry { title: rest.to_owned(), ..MenuEntry::default() });
        }
        let Some(entry) = menu.entries.last_mut() else {
            if name == "default" {
                // `saved` depends on the last boot of the machine.
                menu.default = rest.parse().unwrap_or(0);
            }
            continue;
        };
        match name {
            "root" | "rootnoverify" | "uuid" => entry.root = Some(rest.to_owned()),
            "kernel" => {
                let rest = rest.split_whitespace().skip_while(|word| word.starts_with("--"));
                let mut words = rest.map(str::to_owned);
                entry.kernel = words.next();
                entry.options = words.collect::<Vec<_>>().join(" ");
            }
            "initrd" | "module" => entry.initrds.extend(rest.split_whitespace().next().map(str::to_owned)),
            "chainloader" | "configfile" => entry.other = true,
            _ => {}
        }
    }
    menu
}

/// Follows the menu, on the first filesystem that has one.
pub(super) fn follow(tracer: &mut Tracer, step: PathStep) -> PathStep {
    let menu = tracer.volumes().iter().find_map(|volume| {
        MENUS.iter().find(|path| volume.has_file(path)).map(|path| (volume, volume.at(path)))
    });
    let Some((volume, at)) = menu else {
        let message = format!("GRUB Legacy menu missing: {}", MENUS.join(", "));
        let issue = Issue::new(IssueKind::GrubConfiguration, message)
            .help("create the menu; without it GRUB Legacy stops at its `grub>` prompt");
        return tracer.add_issue_unless_unsupported(step, issue);
    };
    step.then([tracer.deeper(|tracer| menu_of(tracer, volume, &at))])
}

fn menu_of(tracer: &mut Tracer, volume: &Volume, at: &FileAt) -> PathStep {
    let step = PathStep::new("GRUB Legacy menu").at(at.clone());
    let menu = parse(&volume.text(&at.path).unwrap_or_default());
    if menu.entries.is_empty() {
        return step
            .issue(Issue::new(IssueKind::EntryMissing, format!("no menu entry (`title`) in {}", at.path)));
    }
    let chosen = menu.default.min(menu.entries.len() - 1);
    let entries: Vec<PathStep> = menu
        .entries
        .iter()
        .enumerate()
        .map(|(index, entry)| PathStep {
            is_alternative: index != chosen,
            ..entry_of(tracer, volume, at, entry)
        })
        .collect();
    step.then(entries)
}

fn entry_of(tracer: &mut Tracer, own: &Volume, at: &FileAt, entry: &MenuEntry) -> PathStep {
    let title = format!("entry `{}`", entry.title);
    let Some(kernel) = &entry.kernel else {
        return match entry.other {
            true => PathStep::new(format!("{title}, not followed")),
            false => PathStep::new(title.clone())
                .issue(Issue::new(IssueKind::KernelMissing, format!("{title} has no kernel"))),
        };
    };
    let mut step = PathStep::new(title.clone()).at(at.clone());
    let place = |path: &str| {
        let (device, path) = match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((device, path)) => (Some(device), path),
            None => (entry.root.as_deref(), path),
        };
        let place = match device {
            None => Some(own.at(path)),
            Some(device) => volume_of(tracer, device).map(|volume| volume.at(path)),
        };
        place.filter(|place| tracer.volume(place.partition).has_file(&absolute(&place.path)))
    };
    let linux = place(kernel);
    if linux.is_none() {
        let root = entry.root.as_deref().unwrap_or("the filesystem of the menu");
        let message = format!("{title} refers to missing file {kernel} (`kernel`) in {root}");
        step = step.issue(Issue::new(IssueKind::KernelMissing, message));
    }
    let mut initrds = Vec::new();
    for path in &entry.initrds {
        match place(path) {
            Some(place) => initrds.push(place),
            None => {
                let message = format!("{title} refers to missing file {path} (`initrd`)");
                step = step.issue(Issue::new(IssueKind::InitramfsMissing, message));
            }
        }
    }
    step.kernel = tracer.kernel(at, linux, initrds, entry.options.clone());
    step
}

/// Resolves a device name: `hd0,0` is the first partition, `hd0` a disk without partitions.
fn volume_of<'d>(tracer: &Tracer<'d, '_>, device: &str) -> Option<&'d Volume<'d>> {
    let name = device.trim_start_matches('(').trim_end_matches(')');
    let by_number = |number: u32| tracer.volumes().iter().find(|volume| volume.number == number);
    match name.strip_prefix("hd").and_then(|rest| rest.split_once(',')) {
        Some((_, partition)) => by_number(partition.parse::<u32>().ok()?.checked_add(1)?),
        None if name.starts_with("hd") || name.starts_with("cd") => by_number(0),
        None => tracer
            .volumes()
            .iter()
            .find(|volume| volume.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn menu_is_parsed() {
        let menu = parse(
            "# a\ndefault=1\ntimeout 5\n\ntitle A\nroot (hd0,0)\nkernel --no-mem-option /vmlinuz root=/dev/sda1 ro\ninitrd /initrd.img\n\n\
             title\tB\nuuid 1-2\nkernel (hd0,1)/k quiet\ntitle C\nrootnoverify (hd0,2)\nchainloader +1\n",
        );
        assert_eq!((menu.default, menu.entries.len()), (1, 3));
        let [a, b, c] = &menu.entries[..] else { panic!() };
        assert_eq!((a.title.as_str(), a.root.as_deref()), ("A", Some("(hd0,0)")));
        assert_eq!((a.kernel.as_deref(), a.options.as_str()), (Some("/vmlinuz"), "root=/dev/sda1 ro"));
        assert_eq!(a.initrds, ["/initrd.img"]);
        assert_eq!(
            (b.title.as_str(), b.root.as_deref(), b.kernel.as_deref()),
            ("B", Some("1-2"), Some("(hd0,1)/k"))
        );
        assert!(c.other && c.kernel.is_none());
        assert_eq!(parse("default saved\n"), Menu::default());
    }
}
