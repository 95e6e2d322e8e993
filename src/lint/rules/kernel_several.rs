//! `kernel-several`: several bundles bring a kernel.

use crate::lint::content::Content;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "kernel-several",
    summary: "several bundles bring a kernel",
    level: Level::Warning,
    why: "All of them are installed, with an initramfs each, in an EFI partition that may hold only one; the loader starts the one whose version sorts last.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm", "kernel-native", "os-core"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-native", "os-core"] }"#,
    check: Check::Content(check),
};

fn check(_: &Template, content: &Content, out: &mut Findings) {
    let kernels = &content.kernels;
    let Some((first, others)) = kernels.split_first() else { return };
    for other in others {
        out.report(other.span, format!("`{}` is a second kernel", other.value.escape_debug()))
            .label(first.span, "the first one")
            .help("keep the one that fits the machine")
            .fix(Fix::unsafe_("remove it", Change::Remove(other.span)));
    }
}
