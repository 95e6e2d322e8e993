//! `esp-twice`: there are two EFI partitions.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{PartitionType, Template};

pub static RULE: Rule = Rule {
    name: "esp-twice",
    summary: "there are two EFI partitions",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut efi = template
        .layout()
        .iter()
        .filter_map(|entry| entry.kind.as_ref().filter(|kind| kind.known() == Some(PartitionType::Efi)));
    let Some(first) = efi.next() else { return };
    for other in efi {
        out.report(other.span, "a second EFI partition")
            .label(first.span, "the first one")
            .help("firmware starts the loader of one of them; make the other one `linux`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"type": "EFI"}, {"type": "EFI"}]}"##,
            &[r##"1:48 a second EFI partition"##],
        );
        check_rule(&super::RULE, r##"{"PartitionLayout": [{"type": "EFI"}, {"type": "linux"}]}"##, &[]);
    }
}
