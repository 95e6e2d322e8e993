//! Rules of the linter and their findings.

use super::content::Content;
use super::files::Files;
use super::partitions::Partitions;
use crate::finding::{Added, RuleExample, RuleText};
use crate::template::{Span, Template};

pub use crate::finding::Level;

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
    /// Layout, filesystem and mount point of each partition, joined.
    Partitions(fn(&Template, &Partitions, &mut Findings)),
    /// The contents of the bundles.
    Content(fn(&Template, &Content, &mut Findings)),
    /// Files of the host.
    Files(fn(&Template, &Files, &mut Findings)),
}

pub type Finding = crate::finding::Finding<Span>;
pub type Findings = crate::finding::Findings<Span>;

impl Findings {
    pub fn set_rule(&mut self, rule: &'static Rule) {
        self.start(rule.name, rule.level);
    }

    /// Adds a finding of the running rule.
    pub fn report(&mut self, span: Span, message: impl Into<String>) -> Added<'_, Span> {
        self.add(span, message)
    }
}

/// The bracket that opens an object or array: what a finding about the whole of it underlines.
pub(super) fn opening(span: Span) -> Span {
    Span::new(span.start, span.end.min(span.start + 1))
}
