//! `esp-with-bios`: a BIOS image has an EFI partition.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "esp-with-bios",
    summary: "a BIOS image has an EFI partition",
    level: Level::Warning,
    why: "With LegacyBios, only the BIOS boot loader is installed. The EFI partition has no boot loader, so machines that prefer UEFI do not boot.",
    example: r#"{ "LegacyBios": true }"#,
    instead: r#"{ "LegacyBios": false }"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    let Some(bios) = template.legacy_bios.as_ref().filter(|b| b.value) else { return };
    if let Some(efi) = partitions.efi() {
        out.report(
            efi.layout.and_then(|l| l.kind.as_ref()).map_or(efi.span(), |k| k.span),
            "unused EFI partition in an image that boots with BIOS",
        )
        .label(bios.span, "`LegacyBios` is set here")
        .help("remove `LegacyBios` or the EFI partition");
    }
}
