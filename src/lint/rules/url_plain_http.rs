//! `url-plain-http`: content comes over http.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Span, Template};

pub(super) static RULE: Rule = Rule {
    name: "url-plain-http",
    summary: "content comes over http",
    level: Level::Note,
    why: "Anybody on the way can read and hold back what is fetched. swupd checks signatures of what it installs, but not that a newer release exists.",
    example: r#"{
    "MirrorURL": "http://mirror.example.org/update",
    "VersionURL": "https://mirror.example.org/update"
}"#,
    instead: r#"{
    "MirrorURL": "https://mirror.example.org/update",
    "VersionURL": "https://mirror.example.org/update"
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for (key, url) in [
        ("MirrorURL", &template.mirror_url),
        ("VersionURL", &template.version_url),
        ("IsterCloudInitSvc", &template.cloud_init_service),
    ] {
        let Some(url) = url else { continue };
        let plain = url::Url::parse(url).is_ok_and(|parsed| parsed.scheme() == "http" && parsed.has_host());
        if !plain {
            continue;
        }
        let report =
            out.report(url.span, format!("{key} is plain http")).help("use https where the server has it");
        // One letter, so that nothing else of the URL stands in the fix; not where it is written with escapes.
        let letter = url.span.start + "\"http".len();
        if url.span.end - url.span.start == url.len() + 2 {
            report
                .fix(Fix::unsafe_("write https", Change::Replace(Span::new(letter, letter), "s".to_owned())));
        }
    }
}
