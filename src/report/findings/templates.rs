//! Findings of `ister lint`.

use super::human::findings_human;
use super::json::lint_json;
use super::junit::junit;
use super::{Region, Report, Reported, ReportedFix};
use crate::finding::{Level, RuleText};
use crate::lint::{Finding, LintResult, RULES};
use crate::report::document;
use crate::template::{Edit, Fix, SourceText, Span, resolve, secret_places};
use std::cell::OnceCell;

/// A template and its findings.
pub struct Checked {
    pub source: SourceText,
    pub linted: LintResult,
    /// Where its secrets are, computed when a fix is shown.
    secrets: OnceCell<Vec<Span>>,
}

/// The templates of one run.
pub struct CheckedTemplates<'t>(pub &'t [Checked]);

impl Checked {
    pub fn new(source: SourceText, linted: LintResult) -> Checked {
        Checked { source, linted, secrets: OnceCell::new() }
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.linted.findings.iter().filter(|f| f.level == level).count()
    }

    /// The edits of a fix, unless one of them contains a secret: those are for `--fix` only.
    pub(super) fn shown_edits(&self, fix: &Fix) -> Option<Vec<Edit>> {
        let text = self.source.text();
        let edits = resolve(&fix.changes, text, &self.linted.node)?;
        let secrets = self.secrets.get_or_init(|| secret_places(text, &self.linted.node));
        let touches =
            |edit: &Edit| secrets.iter().any(|s| s.start <= edit.span.end && edit.span.start <= s.end);
        (!edits.iter().any(|edit| touches(edit) && !edit.text.is_empty())).then_some(edits)
    }

    pub(super) fn region(&self, span: Span) -> Region {
        let (start, end) = (self.source.position(span.start), self.source.position(span.end));
        Region { line: start.line, column: start.column, end_line: end.line, end_column: end.column }
    }

    /// The line that a span starts in.
    fn line(&self, span: Span) -> &str {
        let text = self.source.text();
        let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
        &text[start..end]
    }

    fn reported<'r>(&'r self, finding: &'r Finding) -> Reported<'r> {
        let fix = finding.fix.as_ref().and_then(|fix| {
            let edits = self.shown_edits(fix)?;
            let edits = edits.into_iter().map(|edit| (self.region(edit.span), edit.text)).collect();
            Some(ReportedFix { title: &fix.title, edits })
        });
        Reported {
            file: self.source.name(),
            region: Some(self.region(finding.place)),
            object: String::new(),
            rule: finding.rule,
            level: finding.level,
            message: &finding.message,
            help: finding.help.as_deref(),
            labels: finding.labels.iter().map(|(span, text)| (self.region(*span), text.as_str())).collect(),
            fix,
            identity: self.line(finding.place).into(),
        }
    }
}

impl Report for CheckedTemplates<'_> {
    fn rules(&self) -> Vec<RuleText> {
        RULES.iter().map(|rule| rule.text()).collect()
    }

    fn findings(&self) -> Vec<Reported<'_>> {
        let mut all = Vec::new();
        for file in self.0 {
            all.extend(file.linted.findings.iter().map(|finding| file.reported(finding)));
        }
        all
    }

    fn human(&self, colour: bool) -> String {
        let of =
            |file: &Checked| findings_human(&file.source, &file.linted.node, &file.linted.findings, colour);
        self.0.iter().map(of).collect()
    }

    fn json(&self) -> String {
        document(&lint_json(self.0))
    }

    fn junit(&self) -> String {
        junit(self.0)
    }
}
