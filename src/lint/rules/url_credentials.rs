//! `url-credentials`: a URL has a user name or password in it.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "url-credentials",
    summary: "a URL has a user name or password in it",
    level: Level::Warning,
    why: "Mirror URLs are written into the image, proxies appear in logs and process lists. A secret in a URL is soon no secret.",
    example: r#"{ "HTTPSProxy": "https://ada:secret@proxy.example.org" }"#,
    instead: r#"{ "HTTPSProxy": "https://proxy.example.org" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for (key, url) in [
        ("HTTPSProxy", &template.https_proxy),
        ("HTTPProxy", &template.http_proxy),
        ("MirrorURL", &template.mirror_url),
        ("VersionURL", &template.version_url),
        ("IsterCloudInitSvc", &template.cloud_init_service),
    ] {
        let Some(text) = url else { continue };
        let Ok(parsed) = url::Url::parse(text) else { continue };
        // The secret itself stands in no message.
        if !parsed.username().is_empty() || parsed.password().is_some() {
            out.report(text.span, format!("{key} has a user name or password in it"))
                .help("use a server that needs none, or one that knows the machine by its address");
        }
    }
}
