//! `kernel-several`: more than one bundle contains a kernel.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "kernel-several",
    summary: "more than one bundle contains a kernel",
    level: Level::Warning,
    why: "All kernels are installed, each with an initramfs, and the EFI partition must have space for them if it stores the kernels. The boot loader starts the kernel with the highest version; the others are in its menu.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm", "kernel-native", "os-core"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-native", "os-core"] }"#,
    check: Check::BundleContent(check),
};

fn check(_: &Template, content: &BundleContent, out: &mut Findings) {
    let kernels = &content.kernels;
    let Some((first, others)) = kernels.split_first() else { return };
    for other in others {
        out.report(other.span, format!("second kernel `{}`", other.value.escape_debug()))
            .label(first.span, "first kernel")
            .help("keep only the kernel for the target machine")
            .fix(Fix::unsafe_("remove this bundle", Change::Remove(other.span)));
    }
}
