//! `cmdline-overrides`: the kernel command line overrides the root filesystem or init of the image.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::words;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "cmdline-overrides",
    summary: "the kernel command line overrides the root filesystem or init of the image",
    level: Level::Warning,
    why: "The plan adds `root=` with the PARTUUID of the root partition. Another `root=`, `init=` or target boots something other than the installed system, or nothing.",
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
            "root" | "rootfstype" | "rootflags" => "the plan already sets the root partition",
            "init" | "rdinit" => "replaces the init program of the image",
            "systemd.unit" if rescue => "boots into a rescue shell",
            "systemd.unit" => "replaces the default target of the image",
            "single" | "s" | "S" | "1" | "rescue" | "emergency" | "-s" | "-b" if value.is_empty() => {
                "boots into a rescue shell"
            }
            "rd.break" | "break" => "stops the boot in the initramfs",
            _ => continue,
        };
        out.report(cmdline.span, format!("`{}` on the kernel command line: {what}", word.escape_debug()))
            .help("remove it, or allow `cmdline-overrides` in `$lint` if it is intended");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"cmdline": "init=/bin/sh systemd.unit=rescue.target"}"#,
            &[
                "1:13 `init=/bin/sh` on the kernel command line: replaces the init program of the image",
                "1:13 `systemd.unit=rescue.target` on the kernel command line: boots into a rescue shell",
            ],
        );
        check_rule(&super::RULE, r#"{"cmdline": "quiet console=ttyS0 rootwait"}"#, &[]);
    }
}
