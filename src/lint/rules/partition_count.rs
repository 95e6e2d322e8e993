//! `partition-count`: a disk has more than 128 partitions.

use crate::lint::finding::{Check, Findings, Level, Rule};

use crate::layout::MAX_PARTITIONS;
use crate::template::Template;

pub static RULE: Rule = Rule {
    name: "partition-count",
    summary: "a disk has more than 128 partitions",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for disk in template.layout().iter().filter_map(|entry| entry.place.disk.as_ref()) {
        let count = counts.entry(disk.value.as_str()).or_default();
        *count += 1;
        if *count == MAX_PARTITIONS + 1 {
            out.report(disk.span, format!("`{}` has more than {MAX_PARTITIONS} partitions", disk.value))
                .help("a GUID partition table has room for 128");
        }
    }
    for number in template.layout().iter().filter_map(|entry| entry.place.partition.as_ref()) {
        if number.value as usize > MAX_PARTITIONS {
            out.report(
                number.span,
                format!("{} is no partition number: they end at {MAX_PARTITIONS}", number.value),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        let entries = |count: usize| vec![r#"{"disk": "a"}"#; count].join(", ");
        let template = |count: usize| format!(r#"{{"PartitionLayout": [{}]}}"#, entries(count));
        check_rule(&super::RULE, &template(129), &["1:1951 `a` has more than 128 partitions"]);
        check_rule(&super::RULE, &template(128), &[]);
        let number = r#"{"PartitionLayout": [{"partition": 129}]}"#;
        check_rule(&super::RULE, number, &["1:36 129 is no partition number: they end at 128"]);
    }
}
