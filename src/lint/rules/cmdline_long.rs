//! `cmdline-long`: the kernel command line is too long.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::{ADDED_BY_LOADERS, LONGEST, normalized};
use crate::template::Template;

macro_rules! ten_times {
    ($text:expr) => {
        concat!($text, $text, $text, $text, $text, $text, $text, $text, $text, $text)
    };
}

pub(super) static RULE: Rule = Rule {
    name: "cmdline-long",
    summary: "the kernel command line is too long",
    level: Level::Error,
    why: "The kernel reads 2047 bytes. The plan adds the root partition and consoles, and boot loaders add up to 128 bytes. The kernel truncates a longer command line, and some boot loaders drop nearly all of it. Source: Linux, arch/x86/include/asm/setup.h, COMMAND_LINE_SIZE.",
    example: concat!(
        r#"{ "cmdline": "module_blacklist="#,
        ten_times!(ten_times!("module_number_of_20,")),
        r#"last" }"#
    ),
    instead: r#"{ "cmdline": "quiet" }"#,
    check: Check::Template(check),
};

/// Bytes of `root=PARTUUID=…`, ` rw ` and the consoles.
const ADDED_BY_PLAN: usize = 100;
/// Bytes of the parameters for an encrypted root volume.
const ADDED_FOR_ENCRYPTION: usize = 120;

fn check(template: &Template, out: &mut Findings) {
    let Some(cmdline) = &template.cmdline else { return };
    let is_encrypted = template.filesystems().iter().any(|filesystem| filesystem.encryption.is_some());
    let added = ADDED_BY_PLAN + ADDED_BY_LOADERS + if is_encrypted { ADDED_FOR_ENCRYPTION } else { 0 };
    let own = normalized(cmdline).len();
    if own + added > LONGEST {
        out.report(
            cmdline.span,
            format!(
                "the kernel command line has {own} bytes and up to {added} are added, the kernel reads {LONGEST}"
            ),
        )
        .help("move module parameters to files in /etc/modprobe.d and kernel settings to files in /etc/sysctl.d");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let line = |length: usize| format!(r#"{{"cmdline": "{}"}}"#, "a".repeat(length));
        check_rule(
            &super::RULE,
            &line(1820),
            &["1:13 the kernel command line has 1820 bytes and up to 228 are added, the kernel reads 2047"],
        );
        check_rule(&super::RULE, &line(1819), &[]);
        // Repeated spaces between parameters are not passed on.
        check_rule(&super::RULE, &format!(r#"{{"cmdline": "a{}b"}}"#, " ".repeat(2000)), &[]);
    }
}
