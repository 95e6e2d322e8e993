//! `version`: the version is invalid for the software manager.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SoftwareManager, Template, Version};

pub(super) static RULE: Rule = Rule {
    name: "version",
    summary: "the version is invalid for the software manager",
    level: Level::Error,
    why: "swupd and dnf releases are numbers, Debian and Ubuntu releases are suite names.",
    example: r#"{ "Version": 12 }"#,
    instead: r#"{ "Version": "bookworm" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let (Some(version), Some(manager)) = (&template.version, template.manager()) else { return };
    match (&version.value, manager) {
        (Version::Number(number), _) if *number <= 0 => {
            out.report(version.span, format!("invalid version {number}: must be greater than zero"))
                .help("use a release number, or \"latest\"");
        }
        (Version::Number(number), SoftwareManager::Apt) => {
            out.report(
                version.span,
                format!("invalid version {number}: apt requires a suite name, not a number"),
            )
            .help("use the name of a suite, for example --set Version='\"bookworm\"', or \"latest\"");
        }
        (Version::Name(name), SoftwareManager::Apt)
            if name.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() =>
        {
            out.report(
                version.span,
                format!("invalid version `{name}`: apt requires a suite name, not a number"),
            )
            .help("use the name of a suite, for example \"bookworm\", or \"latest\"");
        }
        (Version::Name(name), SoftwareManager::Apt) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
            if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
                out.report(version.span, format!("invalid suite name `{}`", name.escape_debug()))
                    .help("use the name of a suite, for example \"bookworm\", or \"latest\"");
            }
        }
        (Version::Name(name), _) if name != "latest" => {
            out.report(version.span, format!("invalid version `{}`", name.escape_debug()))
                .help("use a release number greater than zero, or \"latest\"; suite names require `\"SoftwareManager\": \"apt\"`");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"Version": 0}"##,
            &[r##"1:13 invalid version 0: must be greater than zero"##],
        );
        check_rule(&super::RULE, r##"{"Version": "bookworm"}"##, &[r##"1:13 invalid version `bookworm`"##]);
        check_rule(
            &super::RULE,
            r##"{"Version": 12, "SoftwareManager": "apt"}"##,
            &[r##"1:13 invalid version 12: apt requires a suite name, not a number"##],
        );
        check_rule(&super::RULE, r##"{"Version": "bookworm", "SoftwareManager": "apt"}"##, &[]);
        check_rule(&super::RULE, r##"{"Version": "latest"}"##, &[]);
        check_rule(&super::RULE, r##"{"Version": 930}"##, &[]);
    }
}
