//! Devices in fstab, mount units and crypttab.

use crate::disk::Body;
use crate::finding::Level;
use crate::verify::facts::{Facts, PartitionFacts};
use crate::verify::rule::{Check, Findings, Rule};
use crate::verify::system::System;

/// Mount points of partitions, from fstab and mount units.
pub(crate) fn mounts_of(system: &System, partitions: &[PartitionFacts]) -> Vec<(String, u32)> {
    let fstab = fstab(system).into_iter().map(|line| (line.device, line.at));
    let units = units(system).into_iter().map(|unit| (unit.device, unit.at));
    fstab
        .chain(units)
        .filter(|(_, at)| at.starts_with('/') && at != "/")
        .filter_map(|(device, at)| Some((at, find(partitions, system, &device)?)))
        .collect()
}

/// The partition that a device name refers to.
pub(super) fn find(partitions: &[PartitionFacts], system: &System, device: &str) -> Option<u32> {
    partitions.iter().find(|p| is(p, partitions, system, device)).map(|p| p.entry.number)
}

/// Whether a device name refers to a partition of the image. Source: fstab(5); udev's links below /dev/disk.
pub(super) fn refers_to(facts: &Facts, system: &System, device: &str, number: u32) -> bool {
    facts.partition(number).is_some_and(|partition| is(partition, &facts.partitions, system, device))
}

fn is(partition: &PartitionFacts, partitions: &[PartitionFacts], system: &System, device: &str) -> bool {
    if let Some(name) = device.strip_prefix("/dev/mapper/") {
        let volume = crypttab(system).into_iter().find(|line| line.name == name);
        return volume.is_some_and(|line| {
            partitions
                .iter()
                .filter(|p| p.luks.is_some())
                .any(|p| p.entry.number == partition.entry.number && tag_is(p, &line.device, true))
        });
    }
    tag_is(partition, device, false)
}

/// `of_volume`: compare with the LUKS volume itself, not with the filesystem in it.
fn tag_is(partition: &PartitionFacts, device: &str, of_volume: bool) -> bool {
    let device = device.trim_matches('"');
    let tag = |names: [&str; 2]| names.into_iter().find_map(|name| device.strip_prefix(name));
    let uuid = match (&partition.luks, of_volume) {
        (Some(luks), _) => Some(luks.uuid.as_str()),
        (None, true) => None,
        (None, false) => partition.uuid.as_deref(),
    };
    let same = |text: &str, other: Option<&str>| other.is_some_and(|other| text.eq_ignore_ascii_case(other));
    if let Some(text) = tag(["UUID=", "/dev/disk/by-uuid/"]) {
        same(text, uuid)
    } else if let Some(text) = tag(["PARTUUID=", "/dev/disk/by-partuuid/"]) {
        same(text, partition.partuuid.as_deref())
    } else if let Some(text) = tag(["PARTLABEL=", "/dev/disk/by-partlabel/"]) {
        text == partition.entry.name
    } else if let Some(text) = tag(["LABEL=", "/dev/disk/by-label/"]) {
        partition.label.as_deref() == Some(text)
    } else {
        // /dev/sda2, /dev/vda2, /dev/nvme0n1p2: the disk name depends on the machine, so only the number is compared.
        let digits =
            device.trim_start_matches(|c: char| c != '/').rsplit(|c: char| !c.is_ascii_digit()).next();
        device.starts_with("/dev/") && digits == Some(partition.entry.number.to_string().as_str())
    }
}

pub(super) struct MountLine {
    pub device: String,
    pub at: String,
    pub kind: String,
    pub options: String,
}

pub(super) fn fstab(system: &System) -> Vec<MountLine> {
    let text = system.text("/etc/fstab").unwrap_or_default();
    fields(&text)
        .filter(|fields| fields.len() >= 3)
        .map(|fields| MountLine {
            device: fields[0].to_owned(),
            at: fields[1].replace("\\040", " "),
            kind: fields[2].to_owned(),
            options: fields.get(3).copied().unwrap_or_default().to_owned(),
        })
        .collect()
}

/// The fields of each line; empty lines and comments are skipped.
fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
}

struct NamedVolume {
    name: String,
    device: String,
}

fn crypttab(system: &System) -> Vec<NamedVolume> {
    let text = system.text("/etc/crypttab").unwrap_or_default();
    fields(&text)
        .filter(|fields| fields.len() >= 2)
        .map(|fields| NamedVolume { name: fields[0].to_owned(), device: fields[1].to_owned() })
        .collect()
}

struct MountUnit {
    path: String,
    device: String,
    at: String,
}

/// Mount and swap units in /etc.
fn units(system: &System) -> Vec<MountUnit> {
    let directory = "/etc/systemd/system";
    let mut units = Vec::new();
    for name in system.list(directory) {
        if !name.ends_with(".mount") && !name.ends_with(".swap") {
            continue;
        }
        let path = format!("{directory}/{name}");
        // A link to /dev/null masks a unit.
        let id = system.tree.find_nofollow(&path);
        if id.is_none_or(|id| !matches!(system.tree.nodes[id].body, Body::File(_))) {
            continue;
        }
        let text = system.text(&path).unwrap_or_default();
        let field = |key: &str| {
            text.lines()
                .find_map(|line| Some(line.trim().strip_prefix(key)?.strip_prefix('=')?.trim().to_owned()))
        };
        units.push(MountUnit {
            device: field("What").unwrap_or_default(),
            at: field("Where").unwrap_or_default(),
            path,
        });
    }
    units
}

fn is_missing(facts: &Facts, system: &System, device: &str) -> bool {
    find(&facts.partitions, system, device).is_none() && !facts.is_elsewhere(device)
}

/// Whether the image determines the device. Others (/dev/sda2, LVM, network shares, tmpfs) depend on the machine.
fn is_device(device: &str) -> bool {
    const TAGS: &[&str] = &[
        "UUID=",
        "PARTUUID=",
        "LABEL=",
        "PARTLABEL=",
        "/dev/disk/by-uuid/",
        "/dev/disk/by-partuuid/",
        "/dev/disk/by-label/",
        "/dev/disk/by-partlabel/",
    ];
    TAGS.iter().any(|start| device.starts_with(start))
}

pub(super) static FSTAB: Rule = Rule {
    name: "fstab-device",
    summary: "fstab refers to a device that is not in the image",
    level: Level::Error,
    why: "systemd waits 90 seconds for the device and then starts an emergency shell. Source: fstab(5); \
          systemd-fstab-generator(8).",
    check: Check::Disk(fstab_devices),
};

fn fstab_devices(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    for line in fstab(system) {
        let optional = line.options.split(',').any(|option| option == "nofail" || option == "noauto");
        if is_device(&line.device) && !optional && is_missing(facts, system, &line.device) {
            out.report(format!("{} for {} is not a partition of this image", line.device, line.at))
                .path("/etc/fstab");
        }
    }
}

pub(super) static MOUNT_UNIT: Rule = Rule {
    name: "mount-unit",
    summary: "a mount or swap unit refers to a device that is not in the image",
    level: Level::Error,
    why: "systemd waits 90 seconds for the device. If local-fs.target requires the unit, systemd then \
          starts an emergency shell. Source: systemd.mount(5), What=.",
    check: Check::Disk(mount_units),
};

fn mount_units(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    for unit in units(system) {
        if is_device(&unit.device) && is_missing(facts, system, &unit.device) {
            out.report(format!("{} is not a partition of this image", unit.device)).path(unit.path);
        }
    }
}

pub(super) static MOUNT_POINT: Rule = Rule {
    name: "mount-point",
    summary: "the mount point of a mount unit or a planned partition does not exist",
    level: Level::Error,
    why: "A missing directory cannot be created on a read-only root filesystem. If a planned partition is \
          not mounted, data is written to the wrong partition. Source: systemd.mount(5), Where=; `ister \
          plan`.",
    check: Check::Disk(mount_points),
};

fn mount_points(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    for unit in units(system).iter().filter(|unit| unit.at.starts_with('/')) {
        if !system.exists(&unit.at) {
            out.report(format!("missing mount point {}", unit.at)).path(&unit.path);
        }
    }
    for (_, planned) in facts.plan.iter().flat_map(|plan| plan.partitions()) {
        let Some(mount) = planned.mount.as_deref().filter(|mount| *mount != "/") else { continue };
        if !system.exists(mount) {
            out.report(format!("missing mount point {mount} for partition {}", planned.number))
                .partition(planned.number);
        }
    }
}

pub(super) static CRYPTTAB: Rule = Rule {
    name: "crypttab-device",
    summary: "crypttab refers to a volume that is not in the image",
    level: Level::Error,
    why: "systemd waits for the volume as it does for filesystems. Source: crypttab(5).",
    check: Check::Disk(crypttab_devices),
};

fn crypttab_devices(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    for volume in crypttab(system) {
        let found =
            facts.partitions.iter().filter(|p| p.luks.is_some()).any(|p| tag_is(p, &volume.device, true));
        if is_device(&volume.device) && !found && !facts.is_elsewhere(&volume.device) {
            out.report(format!(
                "{} for `{}` is not an encrypted partition of this image",
                volume.device, volume.name
            ))
            .path("/etc/crypttab");
        }
    }
}
