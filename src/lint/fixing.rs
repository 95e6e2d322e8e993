//! `--fix`: applies the fixes of findings until none is left.

use super::finding::{Finding, Level};
use super::rules::SYNTAX;
use super::run::LintResult;
use crate::template::{Edit, Encoding, SourceText, apply, resolve};

/// The text after all fixes were applied, with its remaining findings.
pub struct Fixed {
    pub source: SourceText,
    pub linted: LintResult,
    /// The fixes that were applied, in that order.
    pub made: Vec<AppliedFix>,
}

/// A fix that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedFix {
    pub rule: &'static str,
    /// What was done, as in "remove this filesystem".
    pub title: String,
    /// The line in the text to which it was applied.
    pub line: usize,
}

/// The edits of a finding's fix.
struct FixEdits {
    edits: Vec<Edit>,
    fix: AppliedFix,
}

impl AsRef<[Edit]> for FixEdits {
    fn as_ref(&self) -> &[Edit] {
        &self.edits
    }
}

/// Limit on rounds. A fix can expose another one (two duplicates, two missing brackets); two or three rounds are usual.
const MAX_ROUNDS: usize = 60;

/// Applies all `wanted` fixes repeatedly until nothing changes. A fix that would introduce a new error is not applied.
pub fn fix(
    source: &SourceText,
    lint: &dyn Fn(&SourceText) -> LintResult,
    wanted: &dyn Fn(&Finding) -> bool,
) -> Fixed {
    let mut at = Fixed { linted: lint(source), source: source.clone(), made: Vec::new() };
    if matches!(source.encoding(), Encoding::Unknown { .. }) {
        // Writing the text back would lose the characters that could not be decoded.
        return at;
    }
    if at.linted.syntax_errors > 0 {
        // All syntax errors are fixed or none, because partly repaired JSON is harder to read than the original.
        at = rounds(at, lint, wanted, |at| at.linted.syntax_errors > 0);
        if at.linted.syntax_errors > 0 {
            return Fixed { linted: lint(source), source: source.clone(), made: Vec::new() };
        }
    }
    rounds(at, lint, wanted, |_| true)
}

/// Applies fixes in rounds, while there are any and `go_on` returns true.
fn rounds(
    mut at: Fixed,
    lint: &dyn Fn(&SourceText) -> LintResult,
    wanted: &dyn Fn(&Finding) -> bool,
    go_on: impl Fn(&Fixed) -> bool,
) -> Fixed {
    for _ in 0..MAX_ROUNDS {
        if !go_on(&at) {
            break;
        }
        let groups = edits(&at, wanted);
        if groups.is_empty() {
            break;
        }
        // If the fixes together introduce an error, they are tried one by one.
        match attempt(&at, &groups, lint).or_else(|| one_by_one(&at, &groups, lint)) {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

/// The edits of each wanted fix. While the text has syntax errors, only their fixes are used: other findings may be
/// wrong for a partly parsed template.
fn edits(at: &Fixed, wanted: &dyn Fn(&Finding) -> bool) -> Vec<FixEdits> {
    let broken = at.linted.syntax_errors > 0;
    at.linted
        .findings
        .iter()
        .filter(|finding| wanted(finding) && (!broken || finding.rule == SYNTAX.name))
        .filter_map(|finding| {
            let fix = finding.fix.as_ref()?;
            let edits = resolve(&fix.changes, at.source.text(), &at.linted.node)?;
            let line = at.source.position(finding.place.start).line;
            Some(FixEdits { edits, fix: AppliedFix { rule: finding.rule, title: fix.title.clone(), line } })
        })
        .collect()
}

/// Applies these edits, unless they change nothing or introduce a new error.
fn attempt(at: &Fixed, groups: &[FixEdits], lint: &dyn Fn(&SourceText) -> LintResult) -> Option<Fixed> {
    let (text, made) = apply(at.source.text(), groups);
    let recoded = at.source.encoding() != Encoding::Utf8;
    if text == at.source.text() && !recoded {
        return None;
    }
    let source = at.source.with_text(text);
    let linted = lint(&source);
    // An inserted character can end up inside a string and fix nothing. Do not insert it again in each round.
    let (before, after) = (at.linted.syntax_errors, linted.syntax_errors);
    if before > 0 && after >= before && at.linted.dropped == 0 {
        return None;
    }
    if brings_errors(&at.linted, &linted) {
        return None;
    }
    let made = made.into_iter().filter_map(|index| groups.get(index)).map(|group| group.fix.clone());
    Some(Fixed { source, linted, made: at.made.iter().cloned().chain(made).collect() })
}

fn one_by_one(at: &Fixed, groups: &[FixEdits], lint: &dyn Fn(&SourceText) -> LintResult) -> Option<Fixed> {
    // Each edit moves the positions after it, so the text is checked again after the first edit that succeeds. The
    // limit is enough for a file with some harmful fixes; with hundreds of them, the next call continues.
    groups.iter().take(100).find_map(|group| attempt(at, std::slice::from_ref(group), lint))
}

/// Whether any rule reports more errors after the edits than before.
fn brings_errors(before: &LintResult, after: &LintResult) -> bool {
    if before.dropped > 0 {
        // Errors that were dropped before cannot be distinguished from new ones.
        return false;
    }
    if before.syntax_errors > 0 {
        // More of the text is parsed now, so existing problems can appear as additional errors.
        return false;
    }
    let errors = |linted: &LintResult| {
        let mut counts = std::collections::BTreeMap::new();
        for finding in linted.findings.iter().filter(|f| f.level == Level::Error) {
            *counts.entry(finding.rule).or_insert(0usize) += 1;
        }
        counts
    };
    let before = errors(before);
    errors(after).into_iter().any(|(rule, count)| count > before.get(rule).copied().unwrap_or(0))
}
