//! Current uses of a device: mounts, swap, device-mapper and RAID on top of it, programs that opened it exclusively.

use super::facts::{path, sysfs};
use crate::host::{Context, Failure};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, major, minor};
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A use of a device that forbids writing to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    Mounted {
        device: String,
        at: String,
    },
    Swap {
        device: String,
    },
    /// LVM, RAID or an open LUKS volume is on top of it.
    Held {
        device: String,
        by: String,
    },
    ReadOnly,
    /// Another program opened or locked it exclusively.
    Busy,
}

impl Use {
    /// Describes the use: "/dev/sda1 is mounted at /home".
    pub fn sentence(&self, name: &str) -> String {
        match self {
            Use::Mounted { device, at } if at == "/" => {
                format!("/dev/{device} is the root filesystem of the running system")
            }
            Use::Mounted { device, at } => format!("/dev/{device} is mounted at {at}"),
            Use::Swap { device } => format!("/dev/{device} is in use as swap"),
            Use::Held { device, by } => format!("/dev/{device} is in use by /dev/{by}"),
            Use::ReadOnly => format!("/dev/{name} is read-only"),
            Use::Busy => format!("/dev/{name} is in use by another program"),
        }
    }

    fn help(&self) -> String {
        match self {
            Use::Mounted { at, .. } if at == "/" => "choose another disk".to_owned(),
            Use::Mounted { at, .. } => format!("if this is the right disk, unmount it: `umount {at}`"),
            Use::Swap { device } => {
                format!("if this is the right disk, disable the swap space: `swapoff /dev/{device}`")
            }
            Use::Held { by, .. } => {
                format!(
                    "close /dev/{by} with `cryptsetup close`, `vgchange -an`, `mdadm --stop` or `losetup -d`"
                )
            }
            Use::ReadOnly => "remove the write protection, or choose another disk".to_owned(),
            Use::Busy => "stop the program that uses it; `lsof` or `fuser` finds it".to_owned(),
        }
    }
}

/// A device or one of its partitions: name, and device number as printed by the kernel ("8:1").
#[derive(Clone, Debug, PartialEq, Eq)]
struct DevicePart {
    name: String,
    number: String,
}

/// Opens /dev/NAME for writing if this machine does not use it. The device stays locked, as systemd documents it in
/// "Locking Block Device Access".
pub fn open(name: &str) -> Result<File, Failure> {
    let path = path(name);
    let Some(directory) = sysfs(&path)? else {
        return Err(Failure::new(format!("`{}` is not a block device", path.display()))
            .help("correct `disk`; `lsblk` lists the available disks"));
    };
    let refuse = |found: Use| {
        Failure::new(format!("refusing to write to /dev/{name}"))
            .detail(found.sentence(name))
            .help(found.help())
    };
    if let Some(found) = uses(&directory)?.into_iter().next() {
        return Err(refuse(found));
    }
    // An exclusive open prevents mounting. Source: Linux, block/bdev.c, bd_prepare_to_claim.
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::BUSY) => return Err(refuse(Use::Busy)),
        Err(rustix::io::Errno::ROFS) => return Err(refuse(Use::ReadOnly)),
        Err(error) => {
            return Err(error).context(|| format!("could not open `{}` for writing", path.display()));
        }
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(refuse(Use::Busy));
    }
    Ok(File::from(file))
}

fn uses(directory: &Path) -> Result<Vec<Use>, Failure> {
    let parts = parts(directory)?;
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .context(|| format!("could not read `{path}` to check whether the disk is in use"))
    };
    let mut found = Vec::new();
    let number_of = |source: &str| {
        let metadata = std::fs::metadata(source).ok().filter(|m| m.file_type().is_block_device())?;
        Some(format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev())))
    };
    found.extend(mounts(&read("/proc/self/mountinfo")?, &parts, &number_of));
    found.extend(swaps(&std::fs::read_to_string("/proc/swaps").unwrap_or_default(), &parts, &number_of));
    for part in &parts {
        let holders = format!("/sys/dev/block/{}/holders", part.number);
        for holder in std::fs::read_dir(holders).into_iter().flatten().flatten() {
            let by = holder.file_name().to_string_lossy().into_owned();
            found.push(Use::Held { device: part.name.clone(), by });
        }
    }
    found.extend(loops(&parts, &number_of));
    if std::fs::read_to_string(directory.join("ro")).is_ok_and(|text| text.trim() == "1") {
        found.push(Use::ReadOnly);
    }
    Ok(found)
}

/// Finds loop devices backed by the disk or a partition of it, which the kernel does not list as holders. Source:
/// Linux, Documentation/ABI/testing/sysfs-block-loop, backing_file.
fn loops(parts: &[DevicePart], number_of: &dyn Fn(&str) -> Option<String>) -> Vec<Use> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let Ok(backing) = std::fs::read_to_string(entry.path().join("loop/backing_file")) else { continue };
        let Some(number) = number_of(backing.trim()) else { continue };
        if let Some(part) = parts.iter().find(|part| part.number == number) {
            let by = entry.file_name().to_string_lossy().into_owned();
            found.push(Use::Held { device: part.name.clone(), by });
        }
    }
    found
}

/// Lists the device and its partitions, which are subdirectories with a file `partition`. Source: Linux,
/// Documentation/ABI/stable/sysfs-block.
fn parts(directory: &Path) -> Result<Vec<DevicePart>, Failure> {
    let part = |directory: &Path| -> Option<DevicePart> {
        let number = std::fs::read_to_string(directory.join("dev")).ok()?.trim().to_owned();
        Some(DevicePart { name: directory.file_name()?.to_str()?.to_owned(), number })
    };
    let entries =
        std::fs::read_dir(directory).context(|| format!("could not read `{}`", directory.display()))?;
    let mut directories: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("partition").exists()).collect();
    directories.sort();
    Ok(std::iter::once(directory.to_owned())
        .chain(directories)
        .filter_map(|directory| part(&directory))
        .collect())
}

/// Finds mounts of the parts. Source: proc(5), /proc/pid/mountinfo: field 3 is the device number, field 5 the mount
/// point; type and source follow the "-". btrfs uses device numbers of its own, so the source is compared too.
fn mounts(mountinfo: &str, parts: &[DevicePart], number_of: &dyn Fn(&str) -> Option<String>) -> Vec<Use> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let number = fields.nth(2)?;
            let at = fields.nth(1)?.replace("\\040", " ");
            let source = line.split(" - ").nth(1)?.split(' ').nth(1)?;
            let mut numbers = vec![number.to_owned()];
            if source.starts_with("/dev/") {
                numbers.extend(number_of(source));
            }
            let part = parts.iter().find(|part| numbers.contains(&part.number))?;
            Some(Use::Mounted { device: part.name.clone(), at })
        })
        .collect()
}

/// Finds swap space on the parts. Source: proc(5), /proc/swaps: the first field is the device.
fn swaps(swaps: &str, parts: &[DevicePart], number_of: &dyn Fn(&str) -> Option<String>) -> Vec<Use> {
    swaps
        .lines()
        .skip(1)
        .filter_map(|line| {
            let number = number_of(line.split_whitespace().next()?)?;
            let part = parts.iter().find(|part| part.number == number)?;
            Some(Use::Swap { device: part.name.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Vec<DevicePart> {
        let part = |name: &str, number: &str| DevicePart { name: name.into(), number: number.into() };
        vec![part("sda", "8:0"), part("sda1", "8:1"), part("sda2", "8:2")]
    }

    #[test]
    fn a_mounted_partition_is_a_use_of_its_disk() {
        let mountinfo = "22 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw\n\
                         23 22 0:30 /@ /my\\040data rw - btrfs /dev/sda1 rw\n\
                         24 22 0:5 / /dev rw - devtmpfs udev rw\n\
                         25 22 8:17 / /mnt rw - ext4 /dev/sdb1 rw\n";
        let number_of = |source: &str| (source == "/dev/sda1").then(|| "8:1".to_owned());
        let found = mounts(mountinfo, &disk(), &number_of);
        let sentences: Vec<String> = found.iter().map(|found| found.sentence("sda")).collect();
        assert_eq!(
            sentences,
            ["/dev/sda2 is the root filesystem of the running system", "/dev/sda1 is mounted at /my data"]
        );
    }

    #[test]
    fn swap_is_a_use() {
        let text =
            "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2  partition 1 0 -2\n/swapfile file 1 0 -3\n";
        let number_of = |source: &str| (source == "/dev/sda2").then(|| "8:2".to_owned());
        assert_eq!(swaps(text, &disk(), &number_of), [Use::Swap { device: "sda2".into() }]);
    }
}
