//! One line per finding: `file:line:column: level[rule] message`, which editors and `grep` can read. Of an image
//! `image: partition 3, /etc/fstab: level[rule] message`. Control characters are escaped: names come from untrusted files.

use super::Report;
use crate::template::visible_name;

pub fn concise(report: &impl Report) -> String {
    let line = |finding: super::Reported<'_>| {
        let file = visible_name(finding.file);
        let mut place = match finding.region {
            Some(region) => format!("{file}:{}:{}", region.line, region.column),
            None => file,
        };
        if !finding.object.is_empty() {
            place = format!("{place}: {}", visible_name(&finding.object));
        }
        format!("{place}: {}[{}] {}\n", finding.level.name(), finding.rule, visible_name(finding.message))
    };
    report.findings().into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{Files, lint};
    use crate::plan::bundle::builtin;
    use crate::report::{Checked, CheckedTemplates};
    use crate::template::SourceText;

    #[test]
    fn a_finding_is_one_line_whatever_the_template_contains() {
        let text = r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a\n::error::x\u001b[31m/", "partition": 1, "size": "1\u0007"}]}"#;
        let source = SourceText::new("t.json", text);
        let linted = lint(&source, &builtin(), |_| Files::new());
        let count = linted.findings.len();
        let checked = Checked::new(source, linted);
        let lines = concise(&CheckedTemplates(std::slice::from_ref(&checked)));
        assert_eq!(lines.lines().count(), count, "{lines}");
        assert!(lines.lines().all(|line| line.starts_with("t.json:")), "{lines}");
        assert!(!lines.contains('\u{1b}') && !lines.contains('\u{7}'), "{lines}");
        let human = CheckedTemplates(&[checked]).human(false);
        assert!(!human.contains('\u{1b}') && !human.contains('\u{7}'), "{human}");
    }
}
