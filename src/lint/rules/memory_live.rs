//! `memory-live`: a live system needs more memory than an installed system.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Format, Named, Template, entries};

pub(super) static RULE: Rule = Rule {
    name: "memory-live",
    summary: "a live system needs more memory than an installed system",
    level: Level::Note,
    why: "A network boot unpacks the whole system into memory. While it is unpacked, the archive and the files take about one and a half times the size of the content. A live CD reads its root filesystem from the medium, but keeps the kernel, the initramfs and all written files in memory. With too little memory, the kernel prints `Initramfs unpacking failed: write error` or finds no init. `ister plan` shows the size of the content.",
    example: r#"{ "Formats": ["pxe"] }"#,
    instead: r#"{ "Formats": ["qcow2"] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in entries(&template.formats) {
        let message = match entry.value {
            Named::Known(Format::Pxe) => {
                "the whole system is unpacked into memory, which requires about one and a half times its size"
            }
            Named::Known(Format::Iso) => {
                "the initramfs and all written files are kept in memory, which requires more than booting from a disk"
            }
            _ => continue,
        };
        out.report(entry.span, message)
            .help("test with the memory of the target machines: `ister boot --memory MIB`");
    }
}
