//! `partition-size`: a size is invalid.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Size, SizeError, Spanned, Template};

pub(super) static RULE: Rule = Rule {
    name: "partition-size",
    summary: "a size is invalid",
    level: Level::Error,
    why: "Sizes are whole numbers of MiB, GiB or TiB, so that the unit is explicit and every partition starts at a multiple of 1 MiB.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let layout = template.layout().iter().filter_map(|entry| entry.size.as_ref());
    for size in layout.chain(&template.disk_size) {
        if let Err(fault) = &size.value {
            let report = out
                .report(size.span, fault.to_string())
                .help("use a size such as `512M`, `8G` or `1T`, or `rest` for a partition");
            match fault {
                SizeError::NotAnInteger(text) => {
                    if let Some(meant) = meant(text) {
                        report.fix(Fix::safe(
                            format!("replace with `{meant}`"),
                            Change::string(size.span, &meant),
                        ));
                    }
                }
                SizeError::NoUnit(text) if Size::parse(&format!("{text}M")).is_ok() => {
                    report.fix(Fix::unsafe_(
                        format!("replace with `{text}M`"),
                        Change::string(size.span, &format!("{text}M")),
                    ));
                }
                _ => {}
            }
        }
    }
    if let Some(Spanned { value: Ok(Size::Rest), span }) = &template.disk_size {
        out.report(*span, "invalid disk size `rest`").help("use a size such as `8G`");
    }
}

/// The size for common misspellings: `8g`, `8 G`, `8GB`, `8GiB`.
fn meant(text: &str) -> Option<String> {
    let plain = text.replace(' ', "").to_ascii_uppercase();
    let plain = plain.strip_suffix("IB").or(plain.strip_suffix('B')).unwrap_or(&plain);
    let meant = if plain == "REST" { "rest".to_owned() } else { plain.to_owned() };
    (meant != text && Size::parse(&meant).is_ok()).then_some(meant)
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"size": "512"}, {"size": "0G"}]}"##,
            &[
                r##"1:31 missing unit in size `512`: expected M (MiB), G (GiB) or T (TiB) after the number"##,
                r##"1:48 invalid size `0G`: must be greater than zero"##,
            ],
        );
        check_rule(&super::RULE, r##"{"PartitionLayout": [{"size": "512M"}], "DiskSize": "8G"}"##, &[]);
        check_rule(&super::RULE, r##"{"DiskSize": "rest"}"##, &[r##"1:14 invalid disk size `rest`"##]);
    }
}
