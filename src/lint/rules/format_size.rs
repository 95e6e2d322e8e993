//! `format-size`: the disk is larger than a format supports.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::requests;
use crate::plan::layout::{self, DiskSize, SectorSize};
use crate::template::limits::of_format;
use crate::template::{Bytes, Named, Size, Spanned, Template, entries};

pub(super) static RULE: Rule = Rule {
    name: "format-size",
    summary: "the disk is larger than a format supports",
    level: Level::Error,
    why: "Each format limits the disk size: 2040 GiB for vhd, 2 TiB for vmdk, 64 TiB for vhdx. A larger disk cannot be converted, and the build would fail in its last step.",
    example: r#"{ "DiskSize": "3T", "Formats": ["vhd"] }"#,
    instead: r#"{ "DiskSize": "2T", "Formats": ["qcow2"] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(size) = disk_size(template) else { return };
    for entry in entries(&template.formats) {
        let Named::Known(format) = entry.value else { continue };
        if let Some(problem) = of_format(format).refuse(size, SectorSize::B512.bytes()) {
            out.report(entry.span, problem).help("remove the format, or reduce the disk size");
        }
    }
}

/// The disk size of the image, if it is known.
fn disk_size(template: &Template) -> Option<Bytes> {
    if let Some(Spanned { value: Ok(Size::Exact(size)), .. }) = &template.disk_size {
        return Some(*size);
    }
    let layout = layout::solve(&requests(template.layout()), DiskSize::Fit, SectorSize::B512).ok()?;
    Some(Bytes(layout.sectors * layout.sector.bytes()))
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"DiskSize": "2041G", "Formats": ["vhd", "vhdx"]}"#,
            &["1:35 vhd supports disks of up to 2040 GiB, but this disk has 2041 GiB"],
        );
        check_rule(
            &super::RULE,
            r#"{"Formats": ["ova"], "PartitionLayout": [{"disk": "a", "partition": 1, "size": "2T", "type": "linux"}]}"#,
            &["1:14 ova supports disks of up to 2 TiB, but this disk has 2097154 MiB"],
        );
        check_rule(&super::RULE, r#"{"DiskSize": "2040G", "Formats": ["vhd", "vmdk"]}"#, &[]);
    }
}
