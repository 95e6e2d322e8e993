//! Writing the GUID partition table: protective MBR, primary and backup table. Source: UEFI 2.10, section 5.3.

use crate::plan::Plan;
use crate::tool::{Context, Failure};
use std::fs::File;

/// Attribute bit 2, legacy BIOS bootable. Source: UEFI 2.10, table 5.8.
const LEGACY_BIOS_BOOTABLE: u64 = 1 << 2;

/// The image must have its full size already: the backup table goes to its end.
pub fn write(plan: &Plan, mut image: &File) -> Result<(), Failure> {
    let context = || "could not write the partition table".to_owned();
    let sector = plan.disk.sector_size.bytes();
    let fault = |error: gptman::Error| std::io::Error::other(error.to_string());
    let mut table = gptman::GPT::new_from(&mut image, sector, plan.disk.guid.to_bytes_le())
        .map_err(fault)
        .context(context)?;
    for partition in &plan.partitions {
        table[partition.number] = gptman::GPTPartitionEntry {
            partition_type_guid: partition.type_guid.to_bytes_le(),
            unique_partition_guid: partition.guid.to_bytes_le(),
            starting_lba: partition.first_lba.0,
            ending_lba: partition.last_lba.0,
            attribute_bits: if partition.legacy_boot { LEGACY_BIOS_BOOTABLE } else { 0 },
            partition_name: partition.name.as_str().into(),
        };
    }
    gptman::GPT::write_protective_mbr_into(&mut image, sector).map_err(fault).context(context)?;
    table.write_into(&mut image).map_err(fault).context(context)?;
    Ok(())
}
