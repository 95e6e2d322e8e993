//! `partition-rest-not-last`: a partition takes the rest of the disk, and others come after it.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Size, Template};

pub static RULE: Rule = Rule {
    name: "partition-rest-not-last",
    summary: "a partition takes the rest of the disk, and others come after it",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in template.layout() {
        let (Some((disk, number)), Some(size)) = (entry.place.key(), &entry.size) else { continue };
        if size.value != Ok(Size::Rest) {
            continue;
        }
        let after = template
            .layout()
            .iter()
            .filter(|other| other.place.key().is_some_and(|(d, n)| d == disk && n > number))
            .min_by_key(|other| other.place.key());
        if let Some(after) = after {
            out.report(
                size.span,
                format!("partition {number} takes the rest of `{disk}`, but is not its last one"),
            )
            .label(after.place.partition_span(), "this one comes after it")
            .help("give it a size, or the highest number");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1, "size": "rest"}, {"disk": "a", "partition": 2, "size": "1G"}]}"##,
            &[r##"1:60 partition 1 takes the rest of `a`, but is not its last one"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 2, "size": "rest"}, {"disk": "a", "partition": 1, "size": "1G"}]}"##,
            &[],
        );
    }
}
