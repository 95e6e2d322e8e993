//! One line per finding: `file:line:column: level[rule] message`, which editors and `grep` can read. Of an image
//! `image: partition 3, /etc/fstab: level[rule] message`.

use super::Report;

pub fn concise(report: &impl Report) -> String {
    let line = |finding: super::Reported<'_>| {
        let file = crate::template::visible_name(finding.file);
        let mut place = match finding.region {
            Some(region) => format!("{file}:{}:{}", region.line, region.column),
            None => file,
        };
        if !finding.object.is_empty() {
            place = format!("{place}: {}", finding.object);
        }
        format!("{place}: {}[{}] {}\n", finding.level.name(), finding.rule, finding.message)
    };
    report.findings().into_iter().map(line).collect()
}
