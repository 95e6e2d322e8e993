//! Findings for people and for programs: one file a format. All of them show the same [`Checked`] files in the order
//! they come in.

mod concise;
mod github;
mod human;
mod json;
mod junit;
mod sarif;
mod statistics;

use crate::lint::{Finding, Level, Linted};
use crate::template::SourceText;

pub use concise::concise;
pub use github::github;
pub use human::{findings_human, refusals_human};
pub use json::findings_json;
pub use junit::junit;
pub use sarif::sarif;
pub use statistics::statistics;

/// A template that was looked at.
pub struct Checked {
    pub source: SourceText,
    pub linted: Linted,
}

impl Checked {
    fn count(&self, level: Level) -> usize {
        self.linted.findings.iter().filter(|f| f.level == level).count()
    }
}

/// All findings, each with its file.
fn all(files: &[Checked]) -> impl Iterator<Item = (&Checked, &Finding)> {
    files.iter().flat_map(|file| file.linted.findings.iter().map(move |finding| (file, finding)))
}
