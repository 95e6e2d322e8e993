//! Verification rules and their findings.

use super::facts::Facts;
use super::medium::MediumFacts;
use super::system::System;
use crate::lint::Level;
use serde::Serialize;

/// A rule. Its name is printed with each finding and can be passed to `ister explain`.
#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    /// Short description of the problem.
    pub summary: &'static str,
    pub level: Level,
    /// The consequence of the problem, and the specification or manual that the rule is based on.
    pub why: &'static str,
    pub check: Check,
}

/// The kind of image that a rule checks.
#[derive(Debug)]
pub enum Check {
    /// A disk and the system installed on it.
    Disk(fn(&Facts, &mut Found)),
    /// An installed system, on a disk or on another medium.
    System(fn(&System, &mut Found)),
    /// A medium that is not a disk.
    Medium(fn(&MediumFacts, &mut Found)),
}

/// A location in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    pub partition: Option<u32>,
    /// Absolute path in the running system.
    pub path: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub rule: &'static str,
    pub level: Level,
    /// Starts in lower case, without a full stop.
    pub message: String,
    pub place: Place,
    /// How to fix the problem.
    pub help: Option<String>,
}

/// Collects the findings of rules.
pub struct Found {
    rule: &'static Rule,
    list: Vec<Finding>,
}

/// The maximum number of findings for a rule.
const MOST: usize = 50;

impl Found {
    pub fn new(rule: &'static Rule) -> Found {
        Found { rule, list: Vec::new() }
    }

    pub fn next_rule(&mut self, rule: &'static Rule) {
        self.rule = rule;
    }

    /// Adds a finding about the image as a whole.
    pub fn report(&mut self, message: impl Into<String>) -> Added<'_> {
        let count = self.list.iter().filter(|finding| finding.rule == self.rule.name).count();
        if count >= MOST {
            // The last finding represents all that follow.
            let last = self.list.last_mut().expect("the list has at least MOST findings");
            last.message = format!(
                "{} (and more findings of this kind)",
                last.message.trim_end_matches(" (and more findings of this kind)")
            );
            return Added(None);
        }
        self.list.push(Finding {
            rule: self.rule.name,
            level: self.rule.level,
            message: message.into(),
            place: Place::default(),
            help: None,
        });
        Added(self.list.last_mut())
    }

    pub fn into_list(self) -> Vec<Finding> {
        self.list
    }
}

/// A finding that was just added, to set its details.
pub struct Added<'f>(Option<&'f mut Finding>);

impl Added<'_> {
    pub fn partition(mut self, number: u32) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.place.partition = Some(number);
        }
        self
    }

    /// Overrides the level of the rule, usually with a lower one.
    pub fn level(mut self, level: Level) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.level = level;
        }
        self
    }

    pub fn path(mut self, path: impl Into<String>) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.place.path = Some(path.into());
        }
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.help = Some(text.into());
        }
        self
    }
}
