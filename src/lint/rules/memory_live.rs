//! `memory-live`: a live system needs more memory than an installed one.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Format, Named, Template, entries};

pub(super) static RULE: Rule = Rule {
    name: "memory-live",
    summary: "a live system needs more memory than an installed one",
    level: Level::Note,
    why: "A network boot unpacks the whole system into memory, where it is packed and unpacked at once: about one and a half times the content. A live CD reads its root tree from the medium, and keeps kernel, initramfs and everything that is written in memory. With less memory the kernel prints `Initramfs unpacking failed: write error`, or finds no init. `ister plan` shows how large the content is.",
    example: r#"{ "Formats": ["pxe"] }"#,
    instead: r#"{ "Formats": ["qcow2"] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in entries(&template.formats) {
        let message = match entry.value {
            Named::Known(Format::Pxe) => {
                "the whole system is unpacked into memory: machines need about one and a half times its size"
            }
            Named::Known(Format::Iso) => {
                "the initramfs and everything that is written are kept in memory: machines need more than from a disk"
            }
            _ => continue,
        };
        out.report(entry.span, message).help("test with the memory that they have: ister boot --memory MIB");
    }
}
