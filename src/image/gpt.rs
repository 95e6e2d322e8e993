//! Writes the GUID partition table: protective MBR, primary and backup table. Source: UEFI 2.10, section 5.3.

use crate::host::{Context, Failure};
use crate::plan::Disk;
use std::fs::File;

/// Attribute bit 2, legacy BIOS bootable. Source: UEFI 2.10, table 5.8.
const LEGACY_BIOS_BOOTABLE: u64 = 1 << 2;

/// Attribute bit 63: the GPT generator neither mounts nor opens the partition. Source: The Discoverable Partitions
/// Specification (UAPI.2), "Partition Flags".
const NO_AUTO: u64 = 1 << 63;

/// Writes the table. The disk must already have its full size, because the backup table goes to its end.
pub fn write(disk: &Disk, mut file: &File) -> Result<(), Failure> {
    let context = || format!("could not write the partition table of `{}`", disk.name);
    let sector = disk.sector_size.bytes();
    let to_io_error = |error: gptman::Error| std::io::Error::other(error.to_string());
    let mut table = gptman::GPT::new_from(&mut file, sector, disk.guid.to_bytes_le())
        .map_err(to_io_error)
        .context(context)?;
    for partition in &disk.partitions {
        let legacy_boot = if partition.legacy_boot { LEGACY_BIOS_BOOTABLE } else { 0 };
        table[partition.number] = gptman::GPTPartitionEntry {
            partition_type_guid: partition.type_guid.to_bytes_le(),
            unique_partition_guid: partition.guid.to_bytes_le(),
            starting_lba: partition.first_lba.0,
            ending_lba: partition.last_lba.0,
            attribute_bits: legacy_boot | if partition.no_auto { NO_AUTO } else { 0 },
            partition_name: partition.name.as_str().into(),
        };
    }
    gptman::GPT::write_protective_mbr_into(&mut file, sector).map_err(to_io_error).context(context)?;
    table.write_into(&mut file).map_err(to_io_error).context(context)?;
    Ok(())
}
