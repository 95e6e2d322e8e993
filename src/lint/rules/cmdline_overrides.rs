//! `cmdline-overrides`: the kernel command line overrides what the image says itself.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::words;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "cmdline-overrides",
    summary: "the kernel command line overrides what the image says itself",
    level: Level::Warning,
    why: "The plan adds `root=` with the PARTUUID of the root partition. Another one, another `init=` or another target starts something else than what was built, often nothing.",
    example: r#"{ "cmdline": "quiet root=/dev/sda3" }"#,
    instead: r#"{ "cmdline": "quiet" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(cmdline) = &template.cmdline else { return };
    for word in words(cmdline) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let rescue = ["rescue", "emergency"].iter().any(|target| value.starts_with(target));
        let what = match name {
            "root" | "rootfstype" | "rootflags" => "the plan names the root partition itself",
            "init" | "rdinit" => "another program than the image's init is started",
            "systemd.unit" if rescue => "the boot ends in a rescue shell",
            "systemd.unit" => "another target than the image's default is started",
            "single" | "s" | "S" | "1" | "rescue" | "emergency" | "-s" | "-b" if value.is_empty() => {
                "the boot ends in a rescue shell"
            }
            "rd.break" | "break" => "the boot stops in the initramfs",
            _ => continue,
        };
        out.report(cmdline.span, format!("`{}` on the kernel command line: {what}", word.escape_debug()))
            .help("leave it out, unless that is what the image is for");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"cmdline": "init=/bin/sh systemd.unit=rescue.target"}"#,
            &[
                "1:13 `init=/bin/sh` on the kernel command line: another program than the image's init is started",
                "1:13 `systemd.unit=rescue.target` on the kernel command line: the boot ends in a rescue shell",
            ],
        );
        check_rule(&super::RULE, r#"{"cmdline": "quiet console=ttyS0 rootwait"}"#, &[]);
    }
}
