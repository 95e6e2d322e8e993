//! `url`: a URL has no scheme or no host.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Span, Template, for_message};

pub(super) static RULE: Rule = Rule {
    name: "url",
    summary: "a URL has no scheme or no host",
    level: Level::Error,
    why: "A URL without a scheme or host cannot be fetched. If it is written into the image, the error appears only on the installed system.",
    example: r#"{ "HTTPSProxy": "proxy.example.org:8080" }"#,
    instead: r#"{ "HTTPSProxy": "https://proxy.example.org:8080" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for (key, url) in [
        ("HTTPSProxy", &template.https_proxy),
        ("HTTPProxy", &template.http_proxy),
        ("MirrorURL", &template.mirror_url),
        ("VersionURL", &template.version_url),
    ] {
        let Some(text) = url else { continue };
        let parsed = url::Url::parse(text);
        if !parsed.is_ok_and(|url| url.has_host()) {
            out.report(
                text.span,
                format!("invalid {key} `{}`: not a URL with a scheme and a host", for_message(text)),
            )
            .help("use a URL such as https://mirror.example.org/update");
        }
    }
    let Some(service) = &template.cloud_init_service else { return };
    let http =
        url::Url::parse(service).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !http {
        out.report(
            service.span,
            format!("invalid IsterCloudInitSvc `{}`: not an http or https URL", for_message(service)),
        )
        .help("use a URL such as https://provision.example.org/");
    } else if !service.ends_with('/') {
        out.report(service.span, "the URL of IsterCloudInitSvc does not end with `/`")
            .help("append `/`; `get_config/…` and `get_role/…` are appended to the URL")
            .fix(Fix::safe(
                "append `/`",
                Change::Replace(Span::new(service.span.end - 1, service.span.end - 1), "/".to_owned()),
            ));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"MirrorURL": "example.org/x", "HTTPProxy": "http://"}"##,
            &[
                r##"1:15 invalid MirrorURL `example.org/x`: not a URL with a scheme and a host"##,
                r##"1:45 invalid HTTPProxy `http://`: not a URL with a scheme and a host"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"HTTPProxy": "ada:secret@example.org:80"}"##,
            &["1:15 invalid HTTPProxy `…@example.org:80`: not a URL with a scheme and a host"],
        );
        check_rule(&super::RULE, r##"{"MirrorURL": "https://example.org/x"}"##, &[]);
    }
}
