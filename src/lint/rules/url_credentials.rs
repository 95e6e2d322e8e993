//! `url-credentials`: a URL contains a user name or password.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "url-credentials",
    summary: "a URL contains a user name or password",
    level: Level::Warning,
    why: "Mirror URLs are written into the image, and proxy URLs appear in logs and process lists. A password in a URL is likely to leak.",
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
        // The message never contains the password.
        if !parsed.username().is_empty() || parsed.password().is_some() {
            out.report(text.span, format!("{key} contains a user name or password"))
                .help("use a server that requires no login, or one that authorizes by network address");
        }
    }
}
