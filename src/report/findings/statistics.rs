//! The number of findings per rule.

use super::Checked;
use crate::report::Table;
use crate::template::Safety;
use std::collections::BTreeMap;

pub fn statistics(files: &[Checked]) -> String {
    // By rule: all findings, those with a safe fix, and those with an unsafe fix.
    let mut counts: BTreeMap<&str, (usize, usize, usize, &str)> = BTreeMap::new();
    for finding in files.iter().flat_map(|file| &file.linted.findings) {
        let entry = counts.entry(finding.rule).or_insert((0, 0, 0, finding.level.name()));
        entry.0 += 1;
        match finding.fix.as_ref().map(|fix| fix.safety) {
            Some(Safety::Safe) => entry.1 += 1,
            Some(Safety::Unsafe) => entry.2 += 1,
            None => {}
        }
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(rule, (count, ..))| (std::cmp::Reverse(*count), *rule));
    let mut table = Table::new(&["findings", "level", "rule", "--fix", "--unsafe-fixes"], &[0, 3, 4]);
    for (rule, (count, safe, other, level)) in rows {
        table.row([
            count.to_string(),
            level.to_owned(),
            rule.to_owned(),
            safe.to_string(),
            other.to_string(),
        ]);
    }
    table.render()
}
