//! `partition-size`: a size is not one.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Size, Spanned, Template};

pub static RULE: Rule = Rule {
    name: "partition-size",
    summary: "a size is not one",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let layout = template.layout().iter().filter_map(|entry| entry.size.as_ref());
    for size in layout.chain(&template.disk_size) {
        if let Err(fault) = &size.value {
            out.report(size.span, fault.to_string()).help("for example `512M`, `8G`, `1T`, or `rest`");
        }
    }
    if let Some(Spanned { value: Ok(Size::Rest), span }) = &template.disk_size {
        out.report(*span, "`rest` is no size of a disk").help("for example `8G`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"size": "512"}, {"size": "0G"}]}"##,
            &[
                r##"1:31 `512` has no unit: M (MiB), G (GiB) or T (TiB) must follow the number"##,
                r##"1:48 `0G` is no size: it must be greater than zero"##,
            ],
        );
        check_rule(&super::RULE, r##"{"PartitionLayout": [{"size": "512M"}], "DiskSize": "8G"}"##, &[]);
        check_rule(&super::RULE, r##"{"DiskSize": "rest"}"##, &[r##"1:14 `rest` is no size of a disk"##]);
    }
}
