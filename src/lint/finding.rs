//! Rules of the linter and their findings.

use super::content::BundleContent;
use super::files::Files;
use super::partitions::Partitions;
use crate::finding::{Added, RuleExample, RuleText};
use crate::template::{Span, Template};

pub use crate::finding::Level;

/// A lint rule. Its name is the name of its file and is printed with each finding.
#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    /// Short description of the problem.
    pub summary: &'static str,
    pub level: Level,
    /// The consequence of the problem, in a few sentences.
    pub why: &'static str,
    /// Top-level keys that give exactly this finding in an otherwise correct template.
    pub example: &'static str,
    /// The same keys, corrected.
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

/// The function of a rule, by the input that it needs. Rules cannot fail: all I/O is done before they run.
#[derive(Debug)]
pub enum Check {
    /// Reported by the parser, the JSON Schema check or the runner; there is no function to call.
    Reading,
    Template(fn(&Template, &mut Findings)),
    /// Uses the layout, filesystem and mount point entries of each partition.
    Partitions(fn(&Template, &Partitions, &mut Findings)),
    /// Uses the contents of the bundles.
    BundleContent(fn(&Template, &BundleContent, &mut Findings)),
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
    pub fn report(&mut self, span: Span, message: impl Into<String>) -> Added<'_, Span> {
        self.add(span, message)
    }
}

/// The bracket that opens an object or array: what a finding about the whole of it underlines.
pub(super) fn opening(span: Span) -> Span {
    Span::new(span.start, span.end.min(span.start + 1))
}
