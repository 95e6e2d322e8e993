//! `cmdline-grub`: GRUB cannot pass a kernel parameter unchanged.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::{altered_by_grub, equivalent_for_grub, words};
use crate::template::{Change, Fix, Format, Loader, Template, boot_method};

pub(super) static RULE: Rule = Rule {
    name: "cmdline-grub",
    summary: "GRUB cannot pass a kernel parameter unchanged",
    level: Level::Error,
    why: "GRUB boots images with LegacyBios, ISO images, and UEFI images that systemd-boot cannot boot. It inserts a backslash before each quote and backslash of the command line, so the kernel gets another value. A parameter with spaces is passed correctly if the quotes enclose all of it. Source: GRUB, grub-core/lib/cmdline.c.",
    example: r#"{ "Formats": ["iso"], "$lint": { "allow": { "memory-live": "tested with 512 MiB" } }, "cmdline": "quiet dyndbg=\"file ata.c +p\"" }"#,
    instead: r#"{ "Formats": ["iso"], "$lint": { "allow": { "memory-live": "tested with 512 MiB" } }, "cmdline": "quiet \"dyndbg=file ata.c +p\"" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(cmdline) = &template.cmdline else { return };
    let is_started = boot_method(template).is_some_and(|method| method.loader == Loader::Grub)
        || template.uses_bios()
        || template.publishes(Format::Iso);
    let Some(word) = altered_by_grub(cmdline).filter(|_| is_started) else { return };
    let finding = out.report(
        cmdline.span,
        format!("GRUB cannot pass the kernel parameter `{}` unchanged", word.escape_debug()),
    );
    let instead: Vec<String> =
        words(cmdline).into_iter().map(|word| written_for_grub(word).unwrap_or_default()).collect();
    if instead.iter().any(String::is_empty) {
        finding.help("remove the parameter; GRUB inserts a backslash before each quote and backslash");
    } else {
        finding.help("enclose the whole parameter in quotes, which the kernel reads the same way").fix(
            Fix::safe(
                "enclose the whole parameter in quotes",
                Change::string(cmdline.span, &instead.join(" ")),
            ),
        );
    }
}

fn written_for_grub(word: &str) -> Option<String> {
    match altered_by_grub(word) {
        None => Some(word.to_owned()),
        Some(_) => equivalent_for_grub(word),
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"LegacyBios": true, "cmdline": "who=it's"}"#,
            &["1:33 GRUB cannot pass the kernel parameter `who=it\\'s` unchanged"],
        );
        check_rule(
            &super::RULE,
            r#"{"Formats": ["iso"], "cmdline": "a=\\n"}"#,
            &["1:33 GRUB cannot pass the kernel parameter `a=\\\\n` unchanged"],
        );
        // systemd-boot passes the command line unchanged.
        check_rule(&super::RULE, r#"{"cmdline": "who=it's"}"#, &[]);
        check_rule(&super::RULE, r#"{"LegacyBios": true, "cmdline": "memmap=64K$0x18690000 a;b"}"#, &[]);
    }
}
