//! Rules of the linter and their findings.

use super::content::Content;
use super::files::Files;
use super::partitions::Partitions;
use crate::finding::{Added, RuleExample, RuleText};
use crate::template::{Span, Template};

pub use crate::finding::Level;

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

impl Rule {
    pub fn text(&self) -> RuleText {
        let example = RuleExample { broken: self.example, fixed: self.instead };
        RuleText {
            name: self.name,
            summary: self.summary,
            level: self.level,
            why: self.why,
            example: Some(example),
        }
    }
}

/// What a rule looks at. A check cannot fail: facts about the host are collected before it runs.
#[derive(Debug)]
pub enum Check {
    /// The finding is made by the reader, by JSON Schema or by the runner itself.
    Reading,
    Template(fn(&Template, &mut Findings)),
    /// Uses the layout, filesystem and mount point entries of each partition.
    Partitions(fn(&Template, &Partitions, &mut Findings)),
    /// Uses the contents of the bundles.
    Content(fn(&Template, &Content, &mut Findings)),
    /// Uses facts about files of the host.
    Files(fn(&Template, &Files, &mut Findings)),
}

pub type Finding = crate::finding::Finding<Span>;
pub type Findings = crate::finding::Findings<Span>;

impl Findings {
    pub fn set_rule(&mut self, rule: &'static Rule) {
        self.start(rule.name, rule.level);
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
