//! One finding, whoever shows it: a terminal, a file, an editor.

use super::files::Files;
use crate::template::{Span, Template};
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
    pub check: Check,
}

#[derive(Debug)]
pub enum Check {
    /// Found while reading, or by JSON Schema: there is nothing to run.
    Reading,
    Template(fn(&Template, &mut Findings)),
    /// Needs to know files of the host.
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
}

/// Where rules put what they find.
pub struct Findings {
    list: Vec<Finding>,
    rule: &'static Rule,
}

impl Findings {
    pub fn new(rule: &'static Rule) -> Findings {
        Findings { list: Vec::new(), rule }
    }

    pub fn set_rule(&mut self, rule: &'static Rule) {
        self.rule = rule;
    }

    /// Adds a finding of the rule that is running.
    pub fn report(&mut self, span: Span, message: impl Into<String>) -> Added<'_> {
        self.list.push(Finding {
            rule: self.rule.name,
            level: self.rule.level,
            message: message.into(),
            span,
            labels: Vec::new(),
            help: None,
        });
        Added(self.list.last_mut().expect("just pushed"))
    }

    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    pub fn into_list(self) -> Vec<Finding> {
        self.list
    }
}

/// The bracket that opens an object or array: what a finding about the whole of it underlines.
pub fn opening(span: Span) -> Span {
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
}
