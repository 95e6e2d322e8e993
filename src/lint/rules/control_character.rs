//! `control-character`: a value that is written to a line of a file has a control character.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Spanned, Template};

pub(super) static RULE: Rule = Rule {
    name: "control-character",
    summary: "a value that is written to a line of a file has a control character",
    level: Level::Error,
    why: "Kernel command lines, labels and addresses are written to lines of configuration files in the image. A newline in the value would inject another line.",
    example: r#"{ "cmdline": "quiet\nsplash" }"#,
    instead: r#"{ "cmdline": "quiet splash" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let single = [
        &template.cmdline,
        &template.https_proxy,
        &template.http_proxy,
        &template.mirror_url,
        &template.version_url,
        &template.cloud_init_service,
    ];
    let network = template.static_ip.iter().flat_map(|n| [&n.iface, &n.address, &n.gateway, &n.dns]);
    let filesystems = template.filesystems().iter().flat_map(|f| [&f.label, &f.options]);
    let users = template.users().iter().flat_map(|u| [&u.fullname, &u.key]);
    // Private keys are reported by `user-key`.
    let public = |text: &&Spanned<String>| !text.contains("PRIVATE KEY");
    for text in single.into_iter().chain(network).chain(filesystems).chain(users).flatten().filter(public) {
        if let Some(c) = text.value.trim_end().chars().find(|c| c.is_control()) {
            out.report(text.span, format!("invalid control character U+{:04X}", c as u32))
                .help("remove it; the value is written to one line of a configuration file");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"cmdline": "quiet\nlinux /evil"}"##,
            &[r##"1:13 invalid control character U+000A"##],
        );
        check_rule(&super::RULE, r##"{"cmdline": "quiet splash"}"##, &[]);
    }
}
