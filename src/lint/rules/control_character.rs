//! `control-character`: a text has a control character where a line of a file is made of it.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Spanned, Template};

pub(super) static RULE: Rule = Rule {
    name: "control-character",
    summary: "a text has a control character where a line of a file is made of it",
    level: Level::Error,
    why: "Kernel command lines, labels and addresses become lines of files in the image. A newline inside would begin a line of its own, which nobody asked for.",
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
    // Of a private key its own rule speaks.
    let public = |text: &&Spanned<String>| !text.contains("PRIVATE KEY");
    for text in single.into_iter().chain(network).chain(filesystems).chain(users).flatten().filter(public) {
        if let Some(c) = text.value.trim_end().chars().find(|c| c.is_control()) {
            out.report(text.span, format!("a control character, U+{:04X}, cannot stand here", c as u32))
                .help("it would begin another line in a file of the image");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"cmdline": "quiet\nlinux /evil"}"##,
            &[r##"1:13 a control character, U+000A, cannot stand here"##],
        );
        check_rule(&super::RULE, r##"{"cmdline": "quiet splash"}"##, &[]);
    }
}
