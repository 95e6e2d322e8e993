//! One line per finding, `file:line:col: level[rule] message`, as editors and `grep` expect it.

use super::{Checked, all};

pub fn concise(files: &[Checked]) -> String {
    all(files)
        .map(|(file, finding)| {
            let place = file.source.place(finding.span);
            format!("{place}: {}[{}] {}\n", finding.level.name(), finding.rule, finding.message)
        })
        .collect()
}
