//! `url-plain-http`: content is fetched over plain http.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Span, Template};

pub(super) static RULE: Rule = Rule {
    name: "url-plain-http",
    summary: "content is fetched over plain http",
    level: Level::Note,
    why: "An attacker on the network can read and withhold the content. swupd verifies the signatures of what it installs, but cannot detect that a newer release is withheld.",
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
        let report = out
            .report(url.span, format!("{key} uses plain http"))
            .help("use https if the server supports it");
        // The fix inserts one letter, so that it does not repeat the URL. URLs with JSON escapes get no fix.
        let letter = url.span.start + "\"http".len();
        if url.span.end - url.span.start == url.len() + 2 {
            report.fix(Fix::unsafe_(
                "replace `http` with `https`",
                Change::Replace(Span::new(letter, letter), "s".to_owned()),
            ));
        }
    }
}
