//! `esp-fat32`: the EFI partition is too small for FAT32.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Template};

pub(super) static RULE: Rule = Rule {
    name: "esp-fat32",
    summary: "the EFI partition is too small for FAT32",
    level: Level::Note,
    why: "FAT32 needs 65,525 clusters. Below 33 MiB, or 257 MiB on a disk with 4096-byte sectors, mkfs creates FAT16 or FAT12. UEFI reads all of them on a fixed disk, but some firmware supports only FAT32.",
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
    // An image file has 512-byte sectors; the sector size of a physical disk is not in the template.
    let physical = template.is_physical();
    if size < super::esp_small::LEAST {
        // Reported by `esp-small`.
    } else if size < Bytes::mib(33) {
        out.report(entry.span, format!("the EFI partition of {size} is too small for FAT32"))
            .help("make it 33M or larger; UEFI reads FAT16, but some firmware does not");
    } else if physical && size < Bytes::mib(257) {
        out.report(
            entry.span,
            format!("the EFI partition of {size} is too small for FAT32 if the disk has 4096-byte sectors"),
        )
        .help("make it 257M or larger; 512M is enough for any disk");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "physical", "PartitionLayout": [{"disk": "sda", "partition": 1, "type": "EFI", "size": "64M"}]}"#,
            &["1:108 the EFI partition of 64 MiB is too small for FAT32 if the disk has 4096-byte sectors"],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "physical", "PartitionLayout": [{"disk": "sda", "partition": 1, "type": "EFI", "size": "512M"}]}"#,
            &[],
        );
    }
}
