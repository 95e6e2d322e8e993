//! Rules and findings: what `lint` and `verify` have in common.
//!
//! A [`Rule`] is a static: a name, texts and a check. [`Findings`] collects what the checks report. A finding has a place
//! of type `P`: a span of the template for `lint`, a partition and a path for `verify`. [`Levels`] changes levels afterwards,
//! as `--allow`, `--warn` and `--deny` ask for. Formats are in `report`.

mod levels;

use crate::template::Fix;
use serde::Serialize;

pub use levels::{Levels, Selector, Setting, UnknownRule};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The image cannot be built, or does not boot. `build` and `plan` refuse such a template.
    Error,
    /// The image is likely to fail in use.
    Warning,
    /// Information.
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

/// What `ister explain`, `ister rules` and SARIF print of a rule.
#[derive(Clone, Copy, Debug)]
pub struct RuleText {
    pub name: &'static str,
    pub summary: &'static str,
    pub level: Level,
    pub why: &'static str,
    /// Rules of `lint` have one.
    pub example: Option<RuleExample>,
}

/// Top-level keys for a template without other findings.
#[derive(Clone, Copy, Debug)]
pub struct RuleExample {
    /// They give exactly one finding, of this rule.
    pub broken: &'static str,
    pub fixed: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finding<P> {
    pub rule: &'static str,
    pub level: Level,
    /// Lower case, without a full stop.
    pub message: String,
    pub place: P,
    /// Other places that explain the finding.
    pub labels: Vec<(P, String)>,
    /// What to do about it.
    pub help: Option<String>,
    pub fix: Option<Fix>,
}

/// At most this many errors are kept for one file, and as many warnings and notes. Longer lists take long to print.
pub const MAX_FINDINGS: usize = 1000;

/// Collects the findings of all rules.
#[derive(Debug)]
pub struct Findings<P> {
    list: Vec<Finding<P>>,
    rule: &'static str,
    level: Level,
    /// The running rule's findings, and how many of them are kept at most.
    of_rule: usize,
    max_of_rule: usize,
    errors: usize,
    /// Number of findings over the limits, by rule.
    dropped: Vec<(&'static str, usize)>,
    last_dropped: Option<Box<Finding<P>>>,
}

impl<P> Findings<P> {
    /// `max_of_rule`: how many findings of one rule are kept.
    pub fn new(max_of_rule: usize) -> Findings<P> {
        Findings {
            list: Vec::new(),
            rule: "",
            level: Level::Error,
            of_rule: 0,
            max_of_rule,
            errors: 0,
            dropped: Vec::new(),
            last_dropped: None,
        }
    }

    /// The rule that runs next.
    pub fn start(&mut self, rule: &'static str, level: Level) {
        (self.rule, self.level) = (rule, level);
        self.of_rule = self.list.iter().filter(|finding| finding.rule == rule).count();
    }

    /// Adds a finding of the running rule.
    pub fn add(&mut self, place: P, message: impl Into<String>) -> Added<'_, P> {
        let finding = Finding {
            rule: self.rule,
            level: self.level,
            message: message.into(),
            place,
            labels: Vec::new(),
            help: None,
            fix: None,
        };
        if !self.is_full() {
            self.of_rule += 1;
            self.errors += usize::from(self.level == Level::Error);
            self.list.push(finding);
            return Added(self.list.last_mut().expect("just pushed"));
        }
        match self.dropped.last_mut() {
            Some((rule, count)) if *rule == self.rule => *count += 1,
            _ => self.dropped.push((self.rule, 1)),
        }
        Added(self.last_dropped.insert(Box::new(finding)))
    }

    /// Whether another finding of the running rule would be dropped. Slow checks may stop then.
    pub fn is_full(&self) -> bool {
        // Errors are counted apart from the rest, so that a thousand warnings do not hide an error.
        let others = self.list.len() - self.errors;
        let of_level = if self.level == Level::Error { self.errors } else { others };
        self.of_rule >= self.max_of_rule || of_level >= MAX_FINDINGS
    }

    pub fn list(&self) -> &[Finding<P>] {
        &self.list
    }

    /// Number of findings over the limits.
    pub fn dropped(&self) -> usize {
        self.dropped.iter().map(|(_, count)| count).sum()
    }

    pub fn retain(&mut self, keep: impl Fn(&Finding<P>) -> bool) {
        self.list.retain(keep);
    }

    /// What was kept, and for each rule that found more, how many more.
    pub fn into_parts(self) -> (Vec<Finding<P>>, Vec<(&'static str, usize)>) {
        (self.list, self.dropped)
    }
}

/// A finding that was just added; methods add details.
pub struct Added<'f, P>(pub(crate) &'f mut Finding<P>);

impl<P> Added<'_, P> {
    pub fn label(self, place: P, text: impl Into<String>) -> Self {
        self.0.labels.push((place, text.into()));
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

    /// Another level than the rule's own.
    pub fn level(self, level: Level) -> Self {
        self.0.level = level;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_do_not_displace_errors() {
        let mut findings = Findings::new(usize::MAX);
        findings.start("a", Level::Warning);
        for number in 0..MAX_FINDINGS + 2 {
            findings.add(number, "warning");
        }
        assert!(findings.is_full());
        findings.start("b", Level::Error);
        assert!(!findings.is_full());
        findings.add(0, "error");
        assert_eq!(findings.dropped(), 2);
        let (list, dropped) = findings.into_parts();
        assert_eq!((list.len(), dropped), (MAX_FINDINGS + 1, vec![("a", 2)]));
    }

    #[test]
    fn a_rule_has_a_limit_of_its_own() {
        let mut findings = Findings::new(2);
        for rule in ["a", "b", "a"] {
            findings.start(rule, Level::Error);
            findings.add((), "1");
            findings.add((), "2").help("kept");
        }
        let (list, dropped) = findings.into_parts();
        assert_eq!(list.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["a", "a", "b", "b"]);
        assert_eq!(dropped, [("a", 2)]);
    }
}
