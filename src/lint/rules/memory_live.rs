//! `memory-live`: a live system needs more memory than an installed one.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Format, Named, Template, entries};

pub static RULE: Rule = Rule {
    name: "memory-live",
    summary: "a live system needs more memory than an installed one",
    level: Level::Note,
    why: "A network boot unpacks the whole system into memory, where it is packed and unpacked at once: about one and a half times the content. A live CD reads its root tree from the medium, and keeps kernel, initramfs and everything that is written in memory. With less memory the kernel prints `Initramfs unpacking failed: write error`, or finds no init. `ister plan` shows how large the content is.",
    example: r#"{ "Formats": ["pxe"] }"#,
    instead: r#"{ "Formats": ["qcow2"] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let pxe = entries(&template.formats).iter().find(|entry| entry.value == Named::Known(Format::Pxe));
    if let Some(entry) = pxe {
        out.report(
            entry.span,
            "the whole system is unpacked into memory: machines need about one and a half times its size",
        )
        .help("test with the memory that they have: ister boot --memory MIB");
    }
}
