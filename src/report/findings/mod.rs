//! Findings of `lint` and `verify`, one file per format. What is formatted implements [`Report`]; formats show the findings in the
//! order they come in.

mod concise;
mod github;
mod human;
mod json;
pub(super) mod junit;
mod sarif;
mod statistics;
mod templates;

use crate::finding::{Level, RuleText};
use std::borrow::Cow;

pub use concise::concise;
pub use github::github;
pub use human::{findings_human, plan_errors_human};
#[cfg(feature = "full")]
pub(super) use json::FindingJson;
#[cfg(test)]
pub(crate) use json::LintOutput;
pub use sarif::sarif;
pub use statistics::statistics;
pub use templates::{Checked, CheckedTemplates};

/// Findings of some files, to be printed in any format.
pub trait Report {
    /// The rules that ran, for formats that describe them.
    fn rules(&self) -> Vec<RuleText>;
    fn findings(&self) -> Vec<Reported<'_>>;
    /// For terminals.
    fn human(&self, colour: bool) -> String;
    /// The command's own JSON document.
    fn json(&self) -> String;
    /// JUnit XML. What a test case is depends on the command.
    fn junit(&self) -> String;
}

/// A finding and its place, ready to print.
pub struct Reported<'r> {
    pub file: &'r str,
    /// Images have no lines.
    pub region: Option<Region>,
    /// The place in an image, for example `partition 3, /etc/fstab`; empty for the image as a whole.
    pub object: String,
    pub rule: &'static str,
    pub level: Level,
    pub message: &'r str,
    pub help: Option<&'r str>,
    pub labels: Vec<(Region, &'r str)>,
    pub fix: Option<ReportedFix<'r>>,
    /// Text that tells this finding from others of its rule in the file, and stays when others come and go.
    pub identity: Cow<'r, str>,
}

/// Lines and columns count from 1, columns count characters; the end is exclusive.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

pub struct ReportedFix<'r> {
    pub title: &'r str,
    pub edits: Vec<(Region, String)>,
}
