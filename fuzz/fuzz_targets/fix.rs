//! The fixer: fixes never introduce a new kind of error, they converge (fixing a fixed text changes nothing), valid JSON
//! stays valid, and a text without a selected fix is not modified.

#![no_main]

use ister::lint::{Files, Finding, Level, LintResult, fix, lint};
use ister::plan::bundle::{Definitions, builtin};
use ister::template::{Safety, SourceText, read_json};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(builtin);

fn lint_source(source: &SourceText) -> LintResult {
    lint(source, &DEFINITIONS, |_| Files::new())
}

fn errors(linted: &LintResult) -> Vec<&str> {
    linted.findings.iter().filter(|f| f.level == Level::Error).map(|f| f.rule).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else { return };
    let allow_unsafe = first % 2 == 0;
    let source = SourceText::from_bytes("fuzz.json", rest.to_vec());
    let wanted = |f: &Finding| f.fix.as_ref().is_some_and(|fix| allow_unsafe || fix.safety == Safety::Safe);
    let before = lint_source(&source);
    let fixed = fix(&source, &lint_source, &wanted);
    let (old, new) = (errors(&before), errors(&fixed.linted));
    let readable = read_json(source.text()).1.is_empty();
    assert!(before.dropped > 0 || !readable || new.iter().all(|rule| old.contains(rule)), "{old:?} {new:?}");
    if !before.findings.iter().any(wanted) {
        assert_eq!(fixed.source.text(), source.text());
    }
    if readable {
        assert!(read_json(fixed.source.text()).1.is_empty(), "{}", fixed.source.text());
    }
    // A text with very many problems may reach the limit of rounds; otherwise the result must be stable.
    if fixed.made.len() < 60 {
        let again = fix(&fixed.source, &lint_source, &wanted);
        assert_eq!(again.source.text(), fixed.source.text());
    }
});
