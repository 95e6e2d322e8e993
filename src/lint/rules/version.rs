//! `version`: the version does not suit the software manager.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SoftwareManager, Template, Version};

pub(super) static RULE: Rule = Rule {
    name: "version",
    summary: "the version does not suit the software manager",
    level: Level::Error,
    why: "swupd releases are numbers, Debian releases are names: each manager can install only its own kind.",
    example: r#"{ "Version": 12 }"#,
    instead: r#"{ "Version": "bookworm" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let (Some(version), Some(manager)) = (&template.version, template.manager()) else { return };
    match (&version.value, manager) {
        (Version::Number(number), _) if *number <= 0 => {
            out.report(version.span, format!("{number} is no version: it must be greater than zero"))
                .help("a release number, or \"latest\"");
        }
        (Version::Number(number), SoftwareManager::Apt) => {
            out.report(version.span, format!("apt knows suites by name, not by the number {number}"))
                .help("name a suite, for example --set Version='\"bookworm\"', or \"latest\"");
        }
        (Version::Name(name), SoftwareManager::Apt)
            if name.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() =>
        {
            out.report(version.span, format!("apt knows suites by name, not by the number {name}"))
                .help("name a suite, for example \"bookworm\", or \"latest\"");
        }
        (Version::Name(name), SoftwareManager::Apt) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
            if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
                out.report(version.span, format!("`{}` is no name of a suite", name.escape_debug()))
                    .help("for example \"bookworm\", or \"latest\"");
            }
        }
        (Version::Name(name), _) if name != "latest" => {
            out.report(version.span, format!("`{}` is no version", name.escape_debug()))
                .help("a release number greater than zero, or \"latest\"; names of suites need `SoftwareManager`: \"apt\"");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"Version": 0}"##,
            &[r##"1:13 0 is no version: it must be greater than zero"##],
        );
        check_rule(&super::RULE, r##"{"Version": "bookworm"}"##, &[r##"1:13 `bookworm` is no version"##]);
        check_rule(
            &super::RULE,
            r##"{"Version": 12, "SoftwareManager": "apt"}"##,
            &[r##"1:13 apt knows suites by name, not by the number 12"##],
        );
        check_rule(&super::RULE, r##"{"Version": "bookworm", "SoftwareManager": "apt"}"##, &[]);
        check_rule(&super::RULE, r##"{"Version": "latest"}"##, &[]);
        check_rule(&super::RULE, r##"{"Version": 930}"##, &[]);
    }
}
