//! Annotations of GitHub Actions. Source: GitHub Docs, "Workflow commands for GitHub Actions".

use super::{Report, Reported};
use crate::finding::Level;
use crate::report::source_root::SourceRoot;

pub fn github(report: &impl Report, root: &SourceRoot) -> String {
    report.findings().iter().map(|finding| annotation(finding, root)).collect()
}

fn annotation(finding: &Reported<'_>, root: &SourceRoot) -> String {
    let command = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "notice",
    };
    let mut place = format!("file={}", property(&root.annotated(finding.file)));
    if let Some(region) = finding.region {
        place += &format!(",line={},endLine={}", region.line, region.end_line);
        // GitHub shows columns only of a single line.
        if region.line == region.end_line {
            place += &format!(",col={},endColumn={}", region.column, region.end_column);
        }
    }
    let object = if finding.object.is_empty() { String::new() } else { format!("{}: ", finding.object) };
    let help = finding.help.map(|help| format!("\n{help}")).unwrap_or_default();
    let title = property(finding.rule);
    let text = data(&format!("{object}{}{help}", finding.message));
    format!("::{command} {place},title={title}::{text}\n")
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_command_is_escaped() {
        assert_eq!(property("a,b:c%\n"), "a%2Cb%3Ac%25%0A");
        assert_eq!(data("100 %, a: b\r\n"), "100 %25, a: b%0D%0A");
    }
}
