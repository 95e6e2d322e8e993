//! Verification rules and their findings.

use super::facts::Facts;
use super::medium::MediumFacts;
use super::system::System;
use crate::finding::{Added, Level, RuleText};
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

impl Rule {
    pub fn text(&self) -> RuleText {
        RuleText { name: self.name, summary: self.summary, level: self.level, why: self.why, example: None }
    }
}

/// The kind of image that a rule checks.
#[derive(Debug)]
pub enum Check {
    /// A disk and the system installed on it.
    Disk(fn(&Facts, &mut Findings)),
    /// An installed system, on a disk or on another medium.
    System(fn(&System, &mut Findings)),
    /// A published file that is not a disk image.
    Medium(fn(&MediumFacts, &mut Findings)),
}

/// A location in an image; empty for the image as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Location {
    pub partition: Option<u32>,
    /// Absolute path in the running system.
    pub path: Option<String>,
}

pub type Finding = crate::finding::Finding<Location>;
pub type Findings = crate::finding::Findings<Location>;

/// A damaged filesystem can have thousands of findings of one rule.
pub(super) const MAX_OF_RULE: usize = 50;

impl Findings {
    /// Adds a finding about the image as a whole; a partition or a path can be added.
    pub fn report(&mut self, message: impl Into<String>) -> Added<'_, Location> {
        self.add(Location::default(), message)
    }
}

impl Added<'_, Location> {
    pub fn partition(self, number: u32) -> Self {
        self.0.place.partition = Some(number);
        self
    }

    pub fn path(self, path: impl Into<String>) -> Self {
        self.0.place.path = Some(path.into());
        self
    }
}
