//! JUnit XML for CI systems: one test case per template, which fails if there are errors.

use super::Checked;
use crate::finding::Level;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

pub(super) fn junit(files: &[Checked]) -> String {
    let mut suite = TestSuite::new("ister lint");
    for file in files {
        let lines = |wanted: fn(Level) -> bool| -> String {
            let lines = file.linted.findings.iter().filter(|f| wanted(f.level)).map(|f| {
                let help = f.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
                format!(
                    "{}: {}[{}] {}{help}\n",
                    file.source.place(f.place),
                    f.level.name(),
                    f.rule,
                    f.message
                )
            });
            lines.collect()
        };
        let errors = lines(|level| level == Level::Error);
        let count = file.count(Level::Error);
        let message = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
        let status = failed("lint", &message, &errors);
        let name = visible(file.source.name());
        suite.add_test_case(case("ister.lint", &name, &name, status, &lines(|level| level != Level::Error)));
    }
    render("ister lint", [suite])
}

/// A failed status with these lines, or success if there are none.
pub(in crate::report) fn failed(kind: &str, message: &str, lines: &str) -> TestCaseStatus {
    if lines.is_empty() {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(visible(message)).set_description(visible(lines));
    status
}

/// A test case for a file.
pub(in crate::report) fn case(
    class: &str,
    name: &str,
    file: &str,
    status: TestCaseStatus,
    output: &str,
) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class).set_time(Duration::ZERO);
    case.extra.insert("file".into(), file.into());
    if !output.is_empty() {
        case.set_system_out(visible(output));
    }
    case
}

pub(crate) fn render(name: &str, suites: impl IntoIterator<Item = TestSuite>) -> String {
    let mut report = Report::new(name);
    report.add_test_suites(suites);
    report.to_string().expect("text and numbers can be serialized as XML")
}

/// Replaces characters that are invalid in XML 1.0, which would otherwise be dropped. Source: XML 1.0, section 2.2.
pub(crate) fn visible(text: &str) -> String {
    let is_lost =
        |c: char| c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.replace(is_lost, "\u{fffd}")
}
