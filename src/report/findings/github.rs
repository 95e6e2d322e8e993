//! Annotations for GitHub Actions. Source: GitHub Docs, "Workflow commands for GitHub Actions".

use super::{Checked, all};
use crate::lint::Level;
use crate::report::source_root::SourceRoot;

pub fn github(files: &[Checked], root: &SourceRoot) -> String {
    all(files)
        .map(|(file, finding)| {
            let (start, end) =
                (file.source.position(finding.span.start), file.source.position(finding.span.end));
            let command = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Note => "notice",
            };
            let help = finding.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
            // GitHub accepts columns only for a single line.
            let columns = if start.line == end.line {
                format!(",col={},endColumn={}", start.column, end.column)
            } else {
                String::new()
            };
            format!(
                "::{command} file={},line={},endLine={}{columns},title={}::{}\n",
                property(&root.annotated(file.source.name())),
                start.line,
                end.line,
                property(finding.rule),
                data(&format!("{}{help}", finding.message)),
            )
        })
        .collect()
}

pub(in crate::report) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

pub(in crate::report) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(property("a,b:c%\n"), "a%2Cb%3Ac%25%0A");
        assert_eq!(data("100 %, a: b\r\n"), "100 %25, a: b%0D%0A");
    }
}
