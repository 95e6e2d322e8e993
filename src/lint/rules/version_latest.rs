//! `version-latest`: the version is not a fixed release.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, Version};

pub(super) static RULE: Rule = Rule {
    name: "version-latest",
    summary: "the version is not a fixed release",
    level: Level::Note,
    why: "The same template produces another image when a new release appears. Builds cannot be reproduced and failures are hard to investigate.",
    example: r#"{ "Version": "latest" }"#,
    instead: r#"{ "Version": "bookworm" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(version) = &template.version else { return };
    let Version::Name(name) = &version.value else { return };
    if ["latest", "stable", "testing", "unstable", "sid"].contains(&name.as_str()) {
        out.report(version.span, format!("version `{name}` is not a fixed release"))
            .help("use the name or number of a release for reproducible images");
    }
}
