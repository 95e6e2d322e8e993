//! Size, sectors and partition table of a device.

use crate::host::{Context, Failure, Invocation, run};
use crate::plan::layout::{SectorSize, gpt};
use crate::plan::{Device, ExistingPartition, ExistingTable};
use crate::template::Bytes;
use rustix::fs::{major, minor};
use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Returns size and sector size of /dev/NAME, without its table; `None` if there is no such block device.
pub fn facts(name: &str) -> Result<Option<Device>, Failure> {
    let Some(directory) = sysfs(&path(name))? else { return Ok(None) };
    if directory.join("partition").exists() {
        let disk =
            directory.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        return Err(Failure::new(format!("/dev/{name} is a partition of /dev/{disk}, not a disk"))
            .help(format!("use the disk, `{disk}`; DisabledNewPartitions preserves its partitions")));
    }
    let number = |file: &str| -> Result<u64, Failure> {
        let file = directory.join(file);
        let text =
            std::fs::read_to_string(&file).context(|| format!("could not read `{}`", file.display()))?;
        text.trim().parse().map_err(|_| {
            Failure::new(format!("`{}` does not contain a number: `{}`", file.display(), text.trim()))
        })
    };
    // sysfs always counts sectors of 512 bytes, regardless of the device. Source: Linux, include/linux/types.h,
    // sector_t.
    let size = Bytes(number("size")?.saturating_mul(512));
    if size.0 == 0 {
        return Err(Failure::new(format!(
            "/dev/{name} has a size of 0: no medium is inserted or no backing file is attached"
        )));
    }
    let sector_size = SectorSize::try_from(number("queue/logical_block_size").unwrap_or(512))
        .map_err(|error| Failure::new(format!("/dev/{name} cannot be used: {error}")))?;
    Ok(Some(Device { size, sector_size, table: None }))
}

pub(super) fn path(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

/// Returns the sysfs directory of a device; `None` if the path is not a block device.
pub(super) fn sysfs(path: &Path) -> Result<Option<PathBuf>, Failure> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_block_device() => {
            let device = metadata.rdev();
            let directory = format!("/sys/dev/block/{}:{}", major(device), minor(device));
            let directory =
                std::fs::canonicalize(&directory).context(|| format!("could not resolve `{directory}`"))?;
            Ok(Some(directory))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("could not inspect `{}`", path.display())),
    }
}

/// Reads the partition table of a device; `None` if it has no valid table.
pub fn table(name: &str, device: &Device) -> Result<Option<ExistingTable>, Failure> {
    let path = path(name);
    let context = || format!("could not read `{}`", path.display());
    let file = File::open(&path).context(context)?;
    let sector = device.sector_size.bytes();
    let mut bytes = vec![0; sector as usize];
    file.read_exact_at(&mut bytes, sector).context(context)?;
    let Ok(header) = gpt::GptHeader::decode(&bytes) else { return Ok(None) };
    let mut array = vec![0; header.array_size()];
    let at = header.entries.0.saturating_mul(sector);
    if file.read_exact_at(&mut array, at).is_err() || gpt::crc32(&array) != header.entries_crc {
        return Ok(None);
    }
    let entries = gpt::entries(&array, header.entry_size);
    if !gpt::are_valid(&header, &entries, device.size.0 / sector) {
        return Ok(None);
    }
    let partitions = entries
        .into_iter()
        .map(|entry| {
            let size = (entry.last.0.saturating_sub(entry.first.0) + 1).saturating_mul(sector);
            let filesystem = signature(&path, Some((entry.first.0.saturating_mul(sector), size)));
            ExistingPartition {
                number: entry.number,
                name: entry.name,
                type_guid: entry.type_guid,
                guid: entry.guid,
                first_lba: entry.first,
                last_lba: entry.last,
                attributes: entry.attributes,
                filesystem: filesystem.and_then(|signature| signature.kind),
            }
        })
        .collect();
    Ok(Some(ExistingTable { guid: header.disk_guid, partitions }))
}

/// Type and label reported by blkid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signature {
    pub kind: Option<String>,
    pub label: Option<String>,
}

/// Probes a whole device or a byte range of it (start and size). `None` if blkid recognizes nothing.
pub(super) fn signature(device: &Path, range: Option<(u64, u64)>) -> Option<Signature> {
    let mut blkid = Invocation::new("blkid").args(["-p", "-o", "export"]);
    if let Some((offset, size)) = range {
        blkid = blkid.args(["-O", &offset.to_string(), "-S", &size.to_string()]);
    }
    // blkid exits with 2 if it recognizes nothing.
    let finished = run(&blkid.arg(device)).ok()?;
    Some(parse(&String::from_utf8_lossy(&finished.stdout)))
}

/// Parses lines of `KEY=value`. Source: blkid(8), "--output export".
fn parse(text: &str) -> Signature {
    let field = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    Signature { kind: field("TYPE").or_else(|| field("PTTYPE")), label: field("LABEL") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blkid_output_is_parsed() {
        let text = "DEVNAME=/dev/loop0\nLABEL=data\nUUID=1\nVERSION=1.0\nTYPE=ext4\nUSAGE=filesystem\n";
        assert_eq!(parse(text), Signature { kind: Some("ext4".into()), label: Some("data".into()) });
        assert_eq!(parse("PTUUID=1\nPTTYPE=gpt\n").kind.as_deref(), Some("gpt"));
    }

    #[test]
    fn other_files_are_not_disks() {
        assert_eq!(facts("null").unwrap(), None);
        assert_eq!(facts("no/such/device").unwrap(), None);
    }
}
