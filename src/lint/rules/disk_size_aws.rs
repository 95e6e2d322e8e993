//! `disk-size-aws`: the disk size is rounded up by Amazon EC2.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Bytes, Change, Fix, Size, Template};

pub(super) static RULE: Rule = Rule {
    name: "disk-size-aws",
    summary: "the disk size is rounded up by Amazon EC2",
    level: Level::Note,
    why: "The size of an EBS volume is a whole number of GiB. A snapshot of another size becomes a larger volume, whose backup partition \
          table is not at its end until the root partition grows. Source: Amazon EBS User Guide, \"Amazon EBS volume constraints\".",
    example: r#"{
    "DiskSize": "9000M",
    "Bundles": ["os-core", "kernel-aws"]
}"#,
    instead: r#"{
    "DiskSize": "9G",
    "Bundles": ["os-core", "kernel-aws"]
}"#,
    check: Check::Template(check),
};

/// Bundles that only images for EC2 have.
const BUNDLES: &[&str] = &["os-cloudguest-aws", "kernel-aws"];

fn check(template: &Template, out: &mut Findings) {
    let Some(size) = &template.disk_size else { return };
    let Ok(Size::Exact(bytes)) = size.value else { return };
    let is_for_aws = template.bundles().iter().any(|bundle| BUNDLES.contains(&bundle.value.as_str()));
    if !is_for_aws || bytes.0.is_multiple_of(Bytes::GIB) {
        return;
    }
    let whole = bytes.0.div_ceil(Bytes::GIB);
    out.report(
        size.span,
        format!("{bytes} ({} bytes) becomes a volume of {whole} GiB on Amazon EC2", bytes.0),
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
            r#"{"DiskSize": "2050M", "Bundles": ["kernel-aws"]}"#,
            &["1:14 2.0 GiB (2149580800 bytes) becomes a volume of 3 GiB on Amazon EC2"],
        );
        check_rule(&super::RULE, r#"{"DiskSize": "2G", "Bundles": ["kernel-aws"]}"#, &[]);
        check_rule(&super::RULE, r#"{"DiskSize": "2050M", "Bundles": ["os-core"]}"#, &[]);
    }
}
