//! `cmdline-console`: no kernel console is a serial port.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::words;
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "cmdline-console",
    summary: "no kernel console is a serial port",
    level: Level::Warning,
    why: "Without `console=`, the screen and the first serial port are consoles. If `console=` names only the screen, nothing is printed on the serial port, so `ister boot` and cloud consoles do not show the boot.",
    example: r#"{ "cmdline": "quiet console=tty0" }"#,
    instead: r#"{ "cmdline": "quiet console=tty0 console=ttyS0,115200n8" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(cmdline) = &template.cmdline else { return };
    let consoles: Vec<&str> =
        words(cmdline).into_iter().filter_map(|word| word.strip_prefix("console=")).collect();
    let serial =
        |console: &&str| ["ttyS", "ttyAMA", "hvc", "ttysclp"].iter().any(|line| console.starts_with(line));
    if consoles.is_empty() || consoles.iter().any(serial) {
        return;
    }
    let with = format!("{} console=ttyS0,115200n8", cmdline.trim_end());
    out.report(
        cmdline.span,
        "no `console=` names a serial port, so `ister boot` cannot read the boot output",
    )
    .help("add `console=ttyS0,115200n8`")
    .fix(Fix::unsafe_("add a serial console", Change::string(cmdline.span, &with)));
}
