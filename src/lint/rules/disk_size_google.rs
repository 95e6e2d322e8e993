//! `disk-size-google`: the disk has a size that Google Compute Engine does not take.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Bytes, Change, Fix, Format, Size, Template};

pub(super) static RULE: Rule = Rule {
    name: "disk-size-google",
    summary: "the disk has a size that Google Compute Engine does not take",
    level: Level::Error,
    why: "disk.raw of a `tar.gz` has to be a whole number of GiB. Without `DiskSize` the disk is made so large.",
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
        format!("{bytes} ({} bytes) is not a whole number of GiB, which `tar.gz` needs", bytes.0),
    )
    .fix(Fix::unsafe_(format!("make it {whole}G"), Change::string(size.span, &format!("{whole}G"))));
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"DiskSize": "2050M", "Formats": ["tar.gz"]}"#,
            &["1:14 2.0 GiB (2149580800 bytes) is not a whole number of GiB, which `tar.gz` needs"],
        );
        check_rule(&super::RULE, r#"{"DiskSize": "2G", "Formats": ["tar.gz"]}"#, &[]);
        check_rule(&super::RULE, r#"{"DiskSize": "2050M", "Formats": ["qcow2"]}"#, &[]);
    }
}
