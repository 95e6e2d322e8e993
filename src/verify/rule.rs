//! A rule of verification, and what it finds.

use super::facts::Facts;
use super::medium::MediumFacts;
use super::system::System;
use crate::lint::Level;
use serde::Serialize;

/// One rule: its name is printed with each finding and explained by `ister explain`.
#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    /// What it finds, in a few words.
    pub summary: &'static str,
    pub level: Level,
    /// What happens to an image that has it, and where it is written how things should be.
    pub why: &'static str,
    pub check: Check,
}

/// What a rule looks at.
#[derive(Debug)]
pub enum Check {
    /// A disk, with whatever is installed on it.
    Disk(fn(&Facts, &mut Found)),
    /// An installed system, wherever it is.
    System(fn(&System, &mut Found)),
    /// What is no disk.
    Medium(fn(&MediumFacts, &mut Found)),
}

/// Where in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    pub partition: Option<u32>,
    /// Absolute, in the running system's view.
    pub path: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub rule: &'static str,
    pub level: Level,
    /// Lowercase, without full stop.
    pub message: String,
    pub place: Place,
    /// What to do about it.
    pub help: Option<String>,
}

/// Where rules put what they find.
pub struct Found {
    rule: &'static Rule,
    list: Vec<Finding>,
}

/// More findings of one rule than this help nobody.
const MOST: usize = 50;

impl Found {
    pub fn new(rule: &'static Rule) -> Found {
        Found { rule, list: Vec::new() }
    }

    pub fn next_rule(&mut self, rule: &'static Rule) {
        self.rule = rule;
    }

    /// About the image as a whole.
    pub fn report(&mut self, message: impl Into<String>) -> Added<'_> {
        let count = self.list.iter().filter(|finding| finding.rule == self.rule.name).count();
        if count >= MOST {
            // The last one stands for all that follow.
            let last = self.list.last_mut().expect("there are many");
            last.message =
                format!("{} and more of this kind", last.message.trim_end_matches(" and more of this kind"));
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

/// A finding that was just added, to say more about it.
pub struct Added<'f>(Option<&'f mut Finding>);

impl Added<'_> {
    pub fn partition(mut self, number: u32) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.place.partition = Some(number);
        }
        self
    }

    /// It may be meant: less than the rule's own level.
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
