//! Existing data on a device, which a build would destroy.

use super::facts::{path, signature, table};
use crate::host::Failure;
use crate::plan::Device;
use crate::template::Bytes;

/// A partition or filesystem on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceContent {
    /// The partition number; `None` for the whole device.
    pub partition: Option<u32>,
    pub size: Bytes,
    /// The type as reported by blkid.
    pub kind: Option<String>,
    /// The label of the filesystem, or else the name of the partition.
    pub label: Option<String>,
}

/// Lists the partitions of a device, or a filesystem without a partition table. Empty if nothing was recognized.
pub fn contents(name: &str, device: &Device) -> Result<Vec<DeviceContent>, Failure> {
    let sector = device.sector_size.bytes();
    if let Some(table) = table(name, device)? {
        let found = table.partitions.iter().map(|partition| {
            let start = partition.first_lba.0.saturating_mul(sector);
            let size =
                (partition.last_lba.0.saturating_sub(partition.first_lba.0) + 1).saturating_mul(sector);
            let label = signature(&path(name), Some((start, size))).and_then(|signature| signature.label);
            DeviceContent {
                partition: Some(partition.number),
                size: Bytes(size),
                kind: partition.filesystem.clone(),
                label: label.or_else(|| Some(partition.name.clone()).filter(|name| !name.is_empty())),
            }
        });
        return Ok(found.collect());
    }
    let whole = signature(&path(name), None).filter(|signature| signature.kind.is_some());
    Ok(whole
        .map(|signature| DeviceContent {
            partition: None,
            size: device.size,
            kind: signature.kind,
            label: signature.label,
        })
        .into_iter()
        .collect())
}
