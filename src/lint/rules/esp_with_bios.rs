//! `esp-with-bios`: the image boots by BIOS and has an EFI partition.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "esp-with-bios",
    summary: "the image boots by BIOS and has an EFI partition",
    level: Level::Warning,
    why: "With LegacyBios the loader for BIOS is installed, and none for UEFI: the EFI partition stays without a loader, and machines that prefer UEFI do not start.",
    example: r#"{ "LegacyBios": true }"#,
    instead: r#"{ "LegacyBios": false }"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    let Some(bios) = template.legacy_bios.as_ref().filter(|b| b.value) else { return };
    if let Some(efi) = partitions.efi() {
        out.report(
            efi.layout.and_then(|l| l.kind.as_ref()).map_or(efi.span(), |k| k.span),
            "an EFI partition in an image that boots by BIOS",
        )
        .label(bios.span, "LegacyBios is set here")
        .help("remove one of the two");
    }
}
