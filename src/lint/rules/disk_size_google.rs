//! `disk-size-google`: the disk size is not accepted by Google Compute Engine.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Bytes, Change, Fix, Format, Size, Template};

pub(super) static RULE: Rule = Rule {
    name: "disk-size-google",
    summary: "the disk size is not accepted by Google Compute Engine",
    level: Level::Error,
    why: "The size of disk.raw in a `tar.gz` must be a whole number of GiB. Without `DiskSize`, ister rounds the disk size up.",
    example: r#"{
    "DiskSize": "9000M",
    "Formats": ["tar.gz"]
}"#,
    instead: r#"{
    "DiskSize": "9G",
    "Formats": ["tar.gz"]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(size) = &template.disk_size else { return };
    let Ok(Size::Exact(bytes)) = size.value else { return };
    if !template.publishes(Format::TarGz) || bytes.0.is_multiple_of(Bytes::GIB) {
        return;
    }
    let whole = bytes.0.div_ceil(Bytes::GIB);
    out.report(
        size.span,
        format!("{bytes} ({} bytes) is not a whole number of GiB, which `tar.gz` requires", bytes.0),
    )
    .fix(Fix::unsafe_(format!("replace with `{whole}G`"), Change::string(size.span, &format!("{whole}G"))));
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"DiskSize": "2050M", "Formats": ["tar.gz"]}"#,
            &["1:14 2.0 GiB (2149580800 bytes) is not a whole number of GiB, which `tar.gz` requires"],
        );
        check_rule(&super::RULE, r#"{"DiskSize": "2G", "Formats": ["tar.gz"]}"#, &[]);
        check_rule(&super::RULE, r#"{"DiskSize": "2050M", "Formats": ["qcow2"]}"#, &[]);
    }
}
