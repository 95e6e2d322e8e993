//! `url`: a URL has no scheme or no host.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Span, Template, for_message};

pub(super) static RULE: Rule = Rule {
    name: "url",
    summary: "a URL has no scheme or no host",
    level: Level::Error,
    why: "A URL without scheme or host cannot be fetched, and one that is written into the image is found out there, when it is too late.",
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
                format!("`{}` is no URL with scheme and host, as {key} needs", for_message(text)),
            )
            .help("for example https://mirror.example.org/update");
        }
    }
    let Some(service) = &template.cloud_init_service else { return };
    let http =
        url::Url::parse(service).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !http {
        out.report(
            service.span,
            format!("`{}` is no http or https URL, as IsterCloudInitSvc needs", for_message(service)),
        )
        .help("for example https://provision.example.org/");
    } else if !service.ends_with('/') {
        out.report(service.span, "the URL of IsterCloudInitSvc does not end in `/`")
            .help("`get_config/…` and `get_role/…` are appended to it as they are")
            .fix(Fix::safe(
                "add `/`",
                Change::Replace(Span::new(service.span.end - 1, service.span.end - 1), "/".to_owned()),
            ));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"MirrorURL": "example.org/x", "HTTPProxy": "http://"}"##,
            &[
                r##"1:15 `example.org/x` is no URL with scheme and host, as MirrorURL needs"##,
                r##"1:45 `http://` is no URL with scheme and host, as HTTPProxy needs"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"HTTPProxy": "ada:secret@example.org:80"}"##,
            &["1:15 `…@example.org:80` is no URL with scheme and host, as HTTPProxy needs"],
        );
        check_rule(&super::RULE, r##"{"MirrorURL": "https://example.org/x"}"##, &[]);
    }
}
