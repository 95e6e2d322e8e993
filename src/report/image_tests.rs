//! Image test results as JUnit XML.

use super::findings::junit::{render, visible};
use crate::boot::CheckOutcome;
use crate::imagetest::{Record, StepOutcome, StepRecord};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestRerun, TestSuite};
use std::time::Duration;

/// One suite per image type, one test case per step. A planned type without a result is an error.
pub(crate) fn image_tests_junit(records: &[Record], missing: &[impl AsRef<str>]) -> String {
    let tested = records.iter().map(|record| {
        let mut suite = TestSuite::new(record.kind.as_str());
        suite.set_time(record.steps.iter().map(|step| duration(step.seconds)).sum());
        suite.add_test_cases(record.steps.iter().map(|step| case(&record.kind, step)));
        suite.add_test_cases(record.steps.iter().flat_map(|step| check_cases(&record.kind, step)));
        suite
    });
    let missing = missing.iter().map(AsRef::as_ref).map(|name| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("no result for a planned image type");
        let mut case = TestCase::new("result", status);
        case.set_classname(name).set_time(Duration::ZERO);
        let mut suite = TestSuite::new(name);
        suite.set_time(Duration::ZERO).add_test_case(case);
        suite
    });
    render("ister test", tested.chain(missing))
}

fn case(kind: &str, step: &StepRecord) -> TestCase {
    let mut status = match step.outcome {
        StepOutcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        StepOutcome::Infrastructure => TestCaseStatus::non_success(NonSuccessKind::Error),
        StepOutcome::Passed | StepOutcome::Flaky => TestCaseStatus::success(),
    };
    match step.outcome {
        StepOutcome::Failed | StepOutcome::Infrastructure => {
            let lines = std::iter::once(step.command.as_str()).chain(step.lines.iter().map(String::as_str));
            let text = lines.collect::<Vec<_>>().join("\n");
            status.set_message(visible(&step.what)).set_description(visible(&text));
        }
        StepOutcome::Flaky => {
            for end in &step.earlier {
                let mut rerun = TestRerun::new(NonSuccessKind::Error);
                rerun.set_type("infrastructure").set_message(visible(end));
                status.add_rerun(rerun);
            }
        }
        StepOutcome::Passed => {}
    }
    let mut case = TestCase::new(step.name.as_str(), status);
    case.set_classname(kind).set_time(duration(step.seconds));
    if step.outcome == StepOutcome::Flaky {
        case.set_system_out(visible(&format!("flaky: passed after {}", step.earlier.join(", "))));
    }
    case
}

/// The checks in the guest of a boot.
fn check_cases<'r>(kind: &'r str, step: &'r StepRecord) -> impl Iterator<Item = TestCase> + 'r {
    let checks = step.boot.iter().flat_map(|boot| &boot.checks);
    checks.map(move |result| {
        let mut status = match result.outcome {
            CheckOutcome::Passed => TestCaseStatus::success(),
            CheckOutcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
            CheckOutcome::Skipped => TestCaseStatus::skipped(),
        };
        if let Some(first) = result.problems.first() {
            status.set_message(visible(first)).set_description(visible(&result.problems.join("\n")));
        }
        let mut case = TestCase::new(format!("{}: {}", step.name, result.check), status);
        case.set_classname(kind).set_time(Duration::ZERO);
        case
    })
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imagetest::StepKind;

    #[test]
    fn report_has_failures_and_commands() {
        let step = |name: &str, outcome: StepOutcome| StepRecord {
            kind: StepKind::Boot,
            name: name.to_owned(),
            command: "ister boot <x>".to_owned(),
            outcome,
            seconds: 1.5,
            what: "kernel-panic".to_owned(),
            lines: vec!["a \u{1b}[1m\"line\"".to_owned()],
            earlier: vec!["no space".to_owned()],
            boot: None,
        };
        let steps = vec![step("one", StepOutcome::Flaky), step("two", StepOutcome::Failed)];
        let record =
            Record { kind: "kvm".to_owned(), steps, files: Vec::new(), packages: Default::default() };
        assert!(!record.is_good());
        let xml = image_tests_junit(&[record], &["aws"]);
        for part in [
            r#"<testsuite name="aws" tests="1" skipped="0" errors="1" failures="0" time="0.000">"#,
            r#"<testsuite name="kvm" tests="2" skipped="0" errors="0" failures="1" time="3.000">"#,
            "<failure message=\"kernel-panic\">ister boot &lt;x&gt;\na \u{fffd}[1m&quot;line&quot;</failure>",
            r#"<flakyError message="no space" type="infrastructure""#,
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        assert!(xml.contains("flaky: passed after"), "{xml}");
    }
}
