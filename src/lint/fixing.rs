//! `--fix`: making the fixes that findings offer, until none is left.

use super::finding::{Finding, Level};
use super::rules::SYNTAX;
use super::run::Linted;
use crate::template::{Edit, Encoding, SourceText, apply, resolve};

/// A text after its fixes, with what is still found in it.
pub struct Fixed {
    pub source: SourceText,
    pub linted: Linted,
    /// How many fixes were made.
    pub made: usize,
}

/// One fix uncovers the next (two duplicates, two missing brackets); templates need two or three rounds.
const MAX_ROUNDS: usize = 60;

/// Makes every fix that is `wanted`, and again until there is nothing to do. A fix that would bring an error which was
/// not there before is not made.
pub fn fix(
    source: &SourceText,
    lint: &dyn Fn(&SourceText) -> Linted,
    wanted: &dyn Fn(&Finding) -> bool,
) -> Fixed {
    let mut at = Fixed { linted: lint(source), source: source.clone(), made: 0 };
    if matches!(source.encoding(), Encoding::Unknown { .. }) {
        // Writing it back would lose what could not be read.
        return at;
    }
    if at.linted.syntax_faults > 0 {
        // All or nothing: a text that is half fixed is harder to read than one with a single slip.
        at = rounds(at, lint, wanted, |at| at.linted.syntax_faults > 0);
        if at.linted.syntax_faults > 0 {
            return Fixed { linted: lint(source), source: source.clone(), made: 0 };
        }
    }
    rounds(at, lint, wanted, |_| true)
}

/// Round after round, while there is something to do and `go_on` says so.
fn rounds(
    mut at: Fixed,
    lint: &dyn Fn(&SourceText) -> Linted,
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
        // If one of them does harm, those that do not are found one by one.
        match attempt(&at, &groups, lint).or_else(|| one_by_one(&at, &groups, lint)) {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

/// The edits of each wanted fix. While the text is no JSON only those that make it JSON: what a rule thinks of a
/// half-read template may be wrong.
fn edits(at: &Fixed, wanted: &dyn Fn(&Finding) -> bool) -> Vec<Vec<Edit>> {
    let broken = at.linted.syntax_faults > 0;
    at.linted
        .findings
        .iter()
        .filter(|finding| wanted(finding) && (!broken || finding.rule == SYNTAX.name))
        .filter_map(|finding| resolve(&finding.fix.as_ref()?.changes, at.source.text(), &at.linted.node))
        .collect()
}

/// The text with these edits, unless that changes nothing or brings a new error.
fn attempt(at: &Fixed, groups: &[Vec<Edit>], lint: &dyn Fn(&SourceText) -> Linted) -> Option<Fixed> {
    let (text, made) = apply(at.source.text(), groups);
    let recoded = at.source.encoding() != Encoding::Utf8;
    if text == at.source.text() && !recoded {
        return None;
    }
    let source = at.source.with_text(text);
    let linted = lint(&source);
    // A mark that fixes nothing, because it came to stand inside a string, is not to be written again and again.
    let (before, after) = (at.linted.syntax_faults, linted.syntax_faults);
    if before > 0 && after >= before && at.linted.dropped == 0 {
        return None;
    }
    (!brings_errors(&at.linted, &linted)).then_some(Fixed { source, linted, made: at.made + made })
}

fn one_by_one(at: &Fixed, groups: &[Vec<Edit>], lint: &dyn Fn(&SourceText) -> Linted) -> Option<Fixed> {
    // Each changes the places of those behind it, so after the first good one everything is looked at again. Enough for
    // a file with some harmful fixes; one with hundreds keeps what is left for the next call.
    groups.iter().take(100).find_map(|group| attempt(at, std::slice::from_ref(group), lint))
}

/// Whether there are errors after that were not there before: of a rule, more than there were.
fn brings_errors(before: &Linted, after: &Linted) -> bool {
    if before.dropped > 0 {
        // What was not listed before cannot be told from what is new.
        return false;
    }
    if before.syntax_faults > 0 {
        // Now more of the text can be read, and what was there all along is found.
        return false;
    }
    let errors = |linted: &Linted| {
        let mut counts = std::collections::BTreeMap::new();
        for finding in linted.findings.iter().filter(|f| f.level == Level::Error) {
            *counts.entry(finding.rule).or_insert(0usize) += 1;
        }
        counts
    };
    let before = errors(before);
    errors(after).into_iter().any(|(rule, count)| count > before.get(rule).copied().unwrap_or(0))
}
