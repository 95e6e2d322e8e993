//! Renderers for findings, one file per format. All of them render the same [`Checked`] files, in their order.

mod concise;
pub(super) mod github;
mod human;
mod json;
pub(super) mod junit;
pub(super) mod sarif;
mod statistics;

use crate::lint::{Finding, Level, Linted};
use crate::template::{Edit, Fix, SourceText, Span, resolve, secret_places};
use std::cell::OnceCell;

pub use concise::concise;
pub use github::github;
pub use human::{findings_human, refusals_human};
pub use json::findings_json;
pub use junit::junit;
pub use sarif::sarif;
pub use statistics::statistics;

/// A template that was checked.
pub struct Checked {
    pub source: SourceText,
    pub linted: Linted,
    /// The places of secrets, computed on demand.
    secrets: OnceCell<Vec<Span>>,
}

impl Checked {
    pub fn new(source: SourceText, linted: Linted) -> Checked {
        Checked { source, linted, secrets: OnceCell::new() }
    }

    fn count(&self, level: Level) -> usize {
        self.linted.findings.iter().filter(|f| f.level == level).count()
    }
}

/// All findings, each with its file.
fn all(files: &[Checked]) -> impl Iterator<Item = (&Checked, &Finding)> {
    files.iter().flat_map(|file| file.linted.findings.iter().map(move |finding| (file, finding)))
}

/// The edits of a fix, unless one of them touches a secret. Such a fix is only applied by `--fix`.
fn shown_edits(file: &Checked, fix: &Fix) -> Option<Vec<Edit>> {
    let text = file.source.text();
    let edits = resolve(&fix.changes, text, &file.linted.node)?;
    let secrets = file.secrets.get_or_init(|| secret_places(text, &file.linted.node));
    let touches = |edit: &Edit| secrets.iter().any(|s| s.start <= edit.span.end && edit.span.start <= s.end);
    (!edits.iter().any(|edit| touches(edit) && !edit.text.is_empty())).then_some(edits)
}
