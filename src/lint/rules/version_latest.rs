//! `version-latest`: the version is whatever is newest.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, Version};

pub static RULE: Rule = Rule {
    name: "version-latest",
    summary: "the version is whatever is newest",
    level: Level::Note,
    why: "Tomorrow the same template gives another image: it cannot be repeated, and a failure cannot be looked into.",
    example: r#"{ "Version": "latest" }"#,
    instead: r#"{ "Version": "bookworm" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if let Some(version) = template.version.as_ref().filter(|v| v.value == Version::Name("latest".to_owned()))
    {
        out.report(version.span, "`latest` is another release every time")
            .help("name the release, if the image is to be repeated");
    }
}
