//! `cmdline-ipxe`: iPXE cannot pass a kernel parameter unchanged.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::altered_by_ipxe;
use crate::template::{Format, Template};

pub(super) static RULE: Rule = Rule {
    name: "cmdline-ipxe",
    summary: "iPXE cannot pass a kernel parameter unchanged",
    level: Level::Error,
    why: "The format pxe contains a script for iPXE, which passes the command line to the kernel. iPXE splits it at whitespace, also between quotes, inserts its settings for `${name}`, ends a command at `||`, `&&` and `;`, and starts a comment at a word that begins with `#`. The kernel would get other parameters. Source: iPXE, src/core/exec.c.",
    example: r#"{ "Formats": ["pxe"], "$lint": { "allow": { "memory-live": "tested with 512 MiB" } }, "cmdline": "quiet tag=${serial}" }"#,
    instead: r#"{ "Formats": ["pxe"], "$lint": { "allow": { "memory-live": "tested with 512 MiB" } }, "cmdline": "quiet tag=serial" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(cmdline) = template.cmdline.as_ref().filter(|_| template.publishes(Format::Pxe)) else { return };
    let Some(word) = altered_by_ipxe(cmdline) else { return };
    out.report(
        cmdline.span,
        format!("iPXE cannot pass the kernel parameter `{}` unchanged", word.escape_debug()),
    )
    .help("change or remove the parameter; iPXE has no quotes");
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Formats": ["pxe"], "cmdline": "quiet a=${b}"}"#,
            &["1:33 iPXE cannot pass the kernel parameter `a=${b}` unchanged"],
        );
        check_rule(&super::RULE, r#"{"Formats": ["pxe"], "cmdline": "a=1;2 b=$c"}"#, &[]);
        check_rule(&super::RULE, r#"{"cmdline": "a=${b}"}"#, &[]);
    }
}
