//! One finding, whoever shows it: a terminal, a file, an editor.

use super::content::Content;
use super::files::Files;
use super::partitions::Partitions;
use crate::template::{Fix, Span, Template};
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It will not build or not boot: `build` and `plan` refuse.
    Error,
    /// It will bite.
    Warning,
    /// Worth knowing.
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

/// A rule: its name is its file's name, printed with each finding.
#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    /// What it finds, in a few words.
    pub summary: &'static str,
    pub level: Level,
    /// What happens to those who do not heed it, in a few sentences.
    pub why: &'static str,
    /// Top-level keys which, in a template that is fine otherwise, give exactly this finding.
    pub example: &'static str,
    /// The same keys as they should be.
    pub instead: &'static str,
    pub check: Check,
}

/// What a rule needs to know. A rule cannot fail: what it wants of the world was read before it runs.
#[derive(Debug)]
pub enum Check {
    /// Found while reading, by JSON Schema, or by the runner itself: there is nothing to run.
    Reading,
    Template(fn(&Template, &mut Findings)),
    /// Layout, filesystem and mount point of each partition, joined.
    Partitions(fn(&Template, &Partitions, &mut Findings)),
    /// What the bundles bring.
    Content(fn(&Template, &Content, &mut Findings)),
    /// Files of the host.
    Files(fn(&Template, &Files, &mut Findings)),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub rule: &'static str,
    pub level: Level,
    /// Lowercase, without full stop.
    pub message: String,
    pub span: Span,
    /// Other places that explain it.
    pub labels: Vec<(Span, String)>,
    /// What to do about it.
    pub help: Option<String>,
    pub fix: Option<Fix>,
}

/// More errors than this in one file help nobody, and would take long to show; the same for what is no error.
pub const MAX_FINDINGS: usize = 1000;

/// Where rules put what they find.
pub struct Findings {
    list: Vec<Finding>,
    rule: &'static Rule,
    errors: usize,
    /// How many there were past [`MAX_FINDINGS`], and the last of them.
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

    /// Adds a finding of the rule that is running.
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
        // Apart, so that a thousand warnings hide no error.
        if !self.is_full() {
            self.errors += usize::from(self.rule.level == Level::Error);
            self.list.push(finding);
            Added(self.list.last_mut().expect("just pushed"))
        } else {
            self.dropped += 1;
            Added(self.last_dropped.insert(Box::new(finding)))
        }
    }

    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// Whether anything more of the running rule would be dropped: one that looks long may stop.
    pub fn is_full(&self) -> bool {
        let others = self.list.len() - self.errors;
        if self.rule.level == Level::Error { self.errors >= MAX_FINDINGS } else { others >= MAX_FINDINGS }
    }

    /// How many more there were than [`MAX_FINDINGS`].
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

/// The bracket that opens an object or array: what a finding about the whole of it underlines.
pub(super) fn opening(span: Span) -> Span {
    Span::new(span.start, span.end.min(span.start + 1))
}

/// A finding that was just added, to say more about it.
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
