//! `cmdline-long`: the kernel does not read all of its command line.

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
    summary: "the kernel does not read all of its command line",
    level: Level::Error,
    why: "The kernel reads 2047 bytes of it. The plan adds the root partition and consoles, a loader adds up to 128 bytes. Of a longer line the end is lost, and with some loaders nearly all of it. Source: Linux, arch/x86/include/asm/setup.h, COMMAND_LINE_SIZE.",
    example: concat!(
        r#"{ "cmdline": "module_blacklist="#,
        ten_times!(ten_times!("module_number_of_20,")),
        r#"last" }"#
    ),
    instead: r#"{ "cmdline": "quiet" }"#,
    check: Check::Template(check),
};

/// `root=PARTUUID=…`, ` rw `, and the consoles.
const ADDED_BY_PLAN: usize = 100;
/// The names of a volume and of its key.
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
                "the command line has {own} bytes, up to {added} are added, and the kernel reads {LONGEST}"
            ),
        )
        .help("put settings of modules into files of /etc/modprobe.d, and those of the kernel into /etc/sysctl.d");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        let line = |length: usize| format!(r#"{{"cmdline": "{}"}}"#, "a".repeat(length));
        check_rule(
            &super::RULE,
            &line(1820),
            &["1:13 the command line has 1820 bytes, up to 228 are added, and the kernel reads 2047"],
        );
        check_rule(&super::RULE, &line(1819), &[]);
        // Blanks between words are not handed over.
        check_rule(&super::RULE, &format!(r#"{{"cmdline": "a{}b"}}"#, " ".repeat(2000)), &[]);
    }
}
