//! `esp-fat32`: the EFI partition is too small for FAT32.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Template};

pub(super) static RULE: Rule = Rule {
    name: "esp-fat32",
    summary: "the EFI partition is too small for FAT32",
    level: Level::Note,
    why: "Below 33 MiB, or 257 MiB on a disk with sectors of 4096 bytes, mkfs makes FAT16 or FAT12: FAT32 needs 65,525 clusters. UEFI reads them all on a fixed disk, but some firmware looks for FAT32 only.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "32M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "64M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    let Some(efi) = partitions.efi() else { return };
    let (Some(size), Some(entry)) = (efi.size(), efi.layout.and_then(|l| l.size.as_ref())) else { return };
    // An image file has sectors of 512 bytes; what a disk has, its template does not say.
    let physical = template.is_physical();
    if size < super::esp_small::LEAST {
        // Too small for anything, which is said already.
    } else if size < Bytes::mib(33) {
        out.report(entry.span, format!("an EFI partition of {size} is too small for FAT32"))
            .help("FAT32 starts at 33M; UEFI reads FAT16, but some firmware does not");
    } else if physical && size < Bytes::mib(257) {
        out.report(
            entry.span,
            format!(
                "an EFI partition of {size} is too small for FAT32 if the disk has sectors of 4096 bytes"
            ),
        )
        .help("FAT32 starts at 257M there; 512M fits any disk");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "physical", "PartitionLayout": [{"disk": "sda", "partition": 1, "type": "EFI", "size": "64M"}]}"#,
            &[
                "1:108 an EFI partition of 64 MiB is too small for FAT32 if the disk has sectors of 4096 bytes",
            ],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "physical", "PartitionLayout": [{"disk": "sda", "partition": 1, "type": "EFI", "size": "512M"}]}"#,
            &[],
        );
    }
}
