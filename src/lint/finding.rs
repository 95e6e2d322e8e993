//! Rules and their findings, independent of how they are displayed.

use super::content::Content;
use super::files::Files;
use super::partitions::Partitions;
use crate::template::{Fix, Span, Template};
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The image cannot be built or cannot boot; `build` and `plan` fail.
    Error,
    /// The image is likely to cause problems.
    Warning,
    /// Information that may be useful.
    Note,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }
}

/// A lint rule. Its name is the name of its file and is printed with each finding.
#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    /// What the rule finds, in a few words.
    pub summary: &'static str,
    pub level: Level,
    /// Why the finding matters, in a few sentences.
    pub why: &'static str,
    /// Top-level keys that produce only this finding when they replace those of a valid template.
    pub example: &'static str,
    /// The corrected keys.
    pub instead: &'static str,
    pub check: Check,
}

/// The function of a rule, by the input that it needs. Rules cannot fail: all I/O is done before they run.
#[derive(Debug)]
pub enum Check {
    /// Reported by the parser, the JSON Schema check or the runner; there is no function to call.
    Reading,
    Template(fn(&Template, &mut Findings)),
    /// Uses the layout, filesystem and mount point entries of each partition.
    Partitions(fn(&Template, &Partitions, &mut Findings)),
    /// Uses the contents of the bundles.
    Content(fn(&Template, &Content, &mut Findings)),
    /// Uses facts about files of the host.
    Files(fn(&Template, &Files, &mut Findings)),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub rule: &'static str,
    pub level: Level,
    /// Starts in lower case and has no full stop.
    pub message: String,
    pub span: Span,
    /// Related positions, each with an explanation.
    pub labels: Vec<(Span, String)>,
    /// How to fix the problem.
    pub help: Option<String>,
    pub fix: Option<Fix>,
}

/// Limit on the errors reported for one file, and separately on its warnings and notes. Longer lists are slow to
/// render.
pub const MAX_FINDINGS: usize = 1000;

/// Collects the findings of all rules.
pub struct Findings {
    list: Vec<Finding>,
    rule: &'static Rule,
    errors: usize,
    /// The number of findings beyond [`MAX_FINDINGS`], and the last of them.
    dropped: usize,
    last_dropped: Option<Box<Finding>>,
}

impl Findings {
    pub fn new(rule: &'static Rule) -> Findings {
        Findings { list: Vec::new(), rule, errors: 0, dropped: 0, last_dropped: None }
    }

    pub fn set_rule(&mut self, rule: &'static Rule) {
        self.rule = rule;
    }

    /// Adds a finding of the current rule.
    pub fn report(&mut self, span: Span, message: impl Into<String>) -> Added<'_> {
        let finding = Finding {
            rule: self.rule.name,
            level: self.rule.level,
            message: message.into(),
            span,
            labels: Vec::new(),
            help: None,
            fix: None,
        };
        // Errors are counted separately, so that many warnings do not hide errors.
        if !self.is_full() {
            self.errors += usize::from(self.rule.level == Level::Error);
            self.list.push(finding);
            Added(self.list.last_mut().expect("an element was just pushed"))
        } else {
            self.dropped += 1;
            Added(self.last_dropped.insert(Box::new(finding)))
        }
    }

    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// Whether further findings of the current rule would be dropped. Slow rules can stop early.
    pub fn is_full(&self) -> bool {
        let others = self.list.len() - self.errors;
        if self.rule.level == Level::Error { self.errors >= MAX_FINDINGS } else { others >= MAX_FINDINGS }
    }

    /// The number of findings beyond [`MAX_FINDINGS`].
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    pub fn retain(&mut self, keep: impl Fn(&Finding) -> bool) {
        self.list.retain(keep);
    }

    pub fn into_list(self) -> Vec<Finding> {
        self.list
    }
}

/// The opening bracket of an object or array, which findings about the whole value underline.
pub(super) fn opening(span: Span) -> Span {
    Span::new(span.start, span.end.min(span.start + 1))
}

/// A finding that was just added, for attaching labels, help and a fix.
pub struct Added<'f>(&'f mut Finding);

impl Added<'_> {
    pub fn label(self, span: Span, text: impl Into<String>) -> Self {
        self.0.labels.push((span, text.into()));
        self
    }

    pub fn help(self, text: impl Into<String>) -> Self {
        self.0.help = Some(text.into());
        self
    }

    pub fn fix(self, fix: Fix) -> Self {
        self.0.fix = Some(fix);
        self
    }
}
