//! `version-latest`: the version is whatever is newest.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, Version};

pub(super) static RULE: Rule = Rule {
    name: "version-latest",
    summary: "the version is whatever is newest",
    level: Level::Note,
    why: "Tomorrow the same template gives another image: it cannot be repeated, and a failure cannot be looked into.",
    example: r#"{ "Version": "latest" }"#,
    instead: r#"{ "Version": "bookworm" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(version) = &template.version else { return };
    let Version::Name(name) = &version.value else { return };
    if ["latest", "stable", "testing", "unstable", "sid"].contains(&name.as_str()) {
        out.report(version.span, format!("`{name}` is another release every time"))
            .help("name the release, if the image is to be repeated");
    }
}
