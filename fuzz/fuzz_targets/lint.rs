//! The linter: arbitrary bytes never cause a panic. Spans are inside the text and on character boundaries, findings are
//! sorted by position and deterministic, and every output format can be rendered. A template without errors can be
//! planned, or is rejected with a location.

#![no_main]

use ister::finding::MAX_FINDINGS;
use ister::lint::{Files, lint, rule};
use ister::plan::bundle::{Definitions, builtin};
use ister::plan::{Inputs, decide};
use ister::report::{Checked, CheckedTemplates, Report, SourceRoot, concise, github, sarif};
use ister::template::{SourceText, Span};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(builtin);

fuzz_target!(|bytes: &[u8]| {
    let source = SourceText::from_bytes("fuzz.json", bytes.to_vec());
    let text = source.text();
    let linted = lint(&source, &DEFINITIONS, |_| Files::new());
    let inside = |span: Span| {
        assert!(span.start <= span.end && span.end <= text.len(), "{span:?}");
        assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{span:?}");
    };
    assert!(linted.findings.len() <= 2 * MAX_FINDINGS);
    assert!(linted.findings.is_sorted_by_key(|finding| (finding.place.start, finding.place.end)));
    for finding in &linted.findings {
        assert!(rule(finding.rule).is_some());
        inside(finding.place);
        finding.labels.iter().for_each(|(span, _)| inside(*span));
    }
    let again = lint(&source, &DEFINITIONS, |_| Files::new());
    assert_eq!(again.findings, linted.findings);

    if !linted.has_errors() {
        let inputs = Inputs::new(&DEFINITIONS);
        if let Err(refusals) = decide(&linted.template, &linted.node, &inputs) {
            assert!(!refusals.is_empty());
            refusals.iter().for_each(|refusal| inside(refusal.span));
        }
    }
    // Rendering many findings is slow and does not cover more code.
    if linted.findings.len() > 40 {
        return;
    }
    let files = [Checked::new(source, linted)];
    let report = CheckedTemplates(&files);
    let _ = (report.human(false), concise(&report), report.junit(), report.json());
    let root = SourceRoot::new("/repository".into(), "/repository/templates".into(), |_| None);
    let _ = (github(&report, &root), sarif(&report, &root));
});
