//! Results for whoever reads JUnit.

use super::record::{Record, StepOutcome};

/// A suite for each type, a case for each step; what was planned and has no result is an error. Source: the schema of Jenkins' xUnit plugin, junit-10.xsd.
pub(crate) fn junit(records: &[Record], missing: &[impl AsRef<str>]) -> String {
    let escaped = |text: &str| -> String {
        text.chars()
            .map(|c| match c {
                '&' => "&amp;".to_owned(),
                '<' => "&lt;".to_owned(),
                '>' => "&gt;".to_owned(),
                '"' => "&quot;".to_owned(),
                // XML 1.0 has no way to write these.
                c if c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                    "\u{fffd}".to_owned()
                }
                c => c.to_string(),
            })
            .collect()
    };
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for record in records {
        let count = |wanted: StepOutcome| record.steps.iter().filter(|step| step.outcome == wanted).count();
        let time: f64 = record.steps.iter().map(|step| step.seconds).sum();
        out.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" time=\"{time:.2}\">\n",
            escaped(&record.kind),
            record.steps.len(),
            count(StepOutcome::Failed),
            count(StepOutcome::Infrastructure),
        ));
        for step in &record.steps {
            out.push_str(&format!(
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.2}\">\n",
                escaped(&record.kind),
                escaped(&step.name),
                step.seconds
            ));
            let element = match step.outcome {
                StepOutcome::Failed => Some("failure"),
                StepOutcome::Infrastructure => Some("error"),
                StepOutcome::Passed | StepOutcome::Flaky => None,
            };
            if let Some(element) = element {
                let text = std::iter::once(step.command.as_str())
                    .chain(step.lines.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join("\n");
                out.push_str(&format!(
                    "      <{element} message=\"{}\">{}</{element}>\n",
                    escaped(&step.what),
                    escaped(&text)
                ));
            } else if step.outcome == StepOutcome::Flaky {
                for end in &step.earlier {
                    let end = escaped(end);
                    out.push_str(&format!("      <flakyError message=\"{end}\" type=\"infrastructure\"/>\n"));
                }
                out.push_str(&format!(
                    "      <system-out>flaky: passed after {}</system-out>\n",
                    escaped(&step.earlier.join(", "))
                ));
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    for name in missing {
        let name = escaped(name.as_ref());
        out.push_str(&format!(
            "  <testsuite name=\"{name}\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0.00\">\n    \
             <testcase classname=\"{name}\" name=\"result\" time=\"0.00\">\n      \
             <error message=\"planned, and without a result\"></error>\n    </testcase>\n  </testsuite>\n"
        ));
    }
    out.push_str("</testsuites>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::record::StepRecord;
    use super::super::steps::StepKind;
    use super::*;

    #[test]
    fn a_report_says_what_failed_and_how_to_repeat_it() {
        let step = |name: &str, outcome: StepOutcome| StepRecord {
            kind: StepKind::Boot,
            name: name.to_owned(),
            command: "ister boot <x>".to_owned(),
            outcome,
            seconds: 1.5,
            what: "kernel-panic".to_owned(),
            lines: vec!["a \u{1b}[1m\"line\"".to_owned()],
            earlier: Vec::new(),
            boot: None,
        };
        let steps = vec![step("one", StepOutcome::Flaky), step("two", StepOutcome::Failed)];
        let record =
            Record { kind: "kvm".to_owned(), steps, files: Vec::new(), packages: Default::default() };
        assert!(!record.is_good());
        let xml = junit(&[record], &["aws"]);
        assert!(xml.contains(r#"<testsuite name="aws" tests="1" failures="0" errors="1""#), "{xml}");
        assert!(
            xml.contains(
                r#"<testsuite name="kvm" tests="2" failures="1" errors="0" skipped="0" time="3.00">"#
            ),
            "{xml}"
        );
        assert!(xml.contains("<failure message=\"kernel-panic\">ister boot &lt;x&gt;\na \u{fffd}[1m&quot;line&quot;</failure>"), "{xml}");
        assert!(xml.contains("flaky: passed after"), "{xml}");
    }
}
