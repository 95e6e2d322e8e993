//! `mirror-without-version`: a mirror is given for content or for versions, but not for both.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, SoftwareManager, Template, json_string};

pub(super) static RULE: Rule = Rule {
    name: "mirror-without-version",
    summary: "a mirror is given for content or for versions, but not for both",
    level: Level::Warning,
    why: "swupd asks VersionURL which release is the newest, and fetches it from MirrorURL. With one of them only, it may look for a release that the other place does not have.",
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
    // apt and dnf have no separate place for versions.
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
    let report =
        out.report(there.span, format!("a mirror without `{missing}`")).help("usually both are the same URL");
    // A password is not to be written a second time.
    if !credentials {
        report.fix(Fix::unsafe_(
            format!("add `{missing}` with the same URL"),
            Change::AddKey { object: template.span, key: missing.to_owned(), value: json_string(there) },
        ));
    }
}
