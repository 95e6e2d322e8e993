//! `mirror-without-version`: only one of `MirrorURL` and `VersionURL` is set.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, SoftwareManager, Template, json_string};

pub(super) static RULE: Rule = Rule {
    name: "mirror-without-version",
    summary: "only one of `MirrorURL` and `VersionURL` is set",
    level: Level::Warning,
    why: "swupd gets the number of the newest release from VersionURL and the release itself from MirrorURL. If only one of them is set, the other server may not have that release.",
    example: r#"{
    "SoftwareManager": "swupd",
    "Version": 25,
    "MirrorURL": "https://mirror.example.org/update"
}"#,
    instead: r#"{
    "SoftwareManager": "swupd",
    "Version": 25,
    "MirrorURL": "https://mirror.example.org/update",
    "VersionURL": "https://mirror.example.org/update"
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    // apt and dnf have no separate URL for versions.
    if template.manager() != Some(SoftwareManager::Swupd) {
        return;
    }
    let (there, missing) = match (&template.mirror_url, &template.version_url) {
        (Some(url), None) => (url, "VersionURL"),
        (None, Some(url)) => (url, "MirrorURL"),
        _ => return,
    };
    let credentials = there.contains('@');
    if template.key_span(missing).is_some() {
        return;
    }
    let report = out
        .report(there.span, format!("a mirror is set without `{missing}`"))
        .help(format!("add `{missing}`"));
    // Do not copy a password to a second key.
    if !credentials {
        report.fix(Fix::unsafe_(
            format!("add `{missing}` with the same URL"),
            Change::AddKey { object: template.span, key: missing.to_owned(), value: json_string(there) },
        ));
    }
}
