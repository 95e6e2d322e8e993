//! Findings as JSON; `docs/lint.md` and the schemas of `ister schema` describe it. Fields may be added; anything else is a new
//! version.

use super::{Checked, Region};
use crate::finding::{Finding, Level};
use crate::template::Safety;
use serde::Serialize;

/// `ister lint --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LintOutput<'r> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u32,
    files: Vec<FileJson<'r>>,
    /// In the order of files and lines.
    findings: Vec<FindingJson<'r, RegionJson<'r>>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "File"))]
struct FileJson<'r> {
    file: &'r str,
    /// Number of findings that are not listed: errors, or warnings and notes, over 1000.
    not_shown: usize,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Finding"))]
pub(in crate::report) struct FindingJson<'r, P> {
    pub rule: &'r str,
    pub level: Level,
    pub message: &'r str,
    pub place: P,
    /// Other places that explain the finding.
    pub related: Vec<LabelJson<'r, P>>,
    /// What to do about it.
    pub help: Option<&'r str>,
    pub fix: Option<FixJson<'r, P>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Label"))]
pub(in crate::report) struct LabelJson<'r, P> {
    pub place: P,
    pub message: &'r str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Fix"))]
pub(in crate::report) struct FixJson<'r, P> {
    title: &'r str,
    /// Whether `--fix` applies it without `--unsafe-fixes`.
    safe: bool,
    edits: Vec<EditJson<P>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Edit"))]
struct EditJson<P> {
    /// What is replaced.
    place: P,
    text: String,
}

/// Lines and columns count from 1, columns count characters. The end is exclusive.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Region"))]
struct RegionJson<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl<'r, P> FindingJson<'r, P> {
    /// Without labels and fix.
    pub(in crate::report) fn new<Q>(finding: &'r Finding<Q>, place: P) -> FindingJson<'r, P> {
        FindingJson {
            rule: finding.rule,
            level: finding.level,
            message: &finding.message,
            place,
            related: Vec::new(),
            help: finding.help.as_deref(),
            fix: None,
        }
    }
}

pub(super) fn lint_json(files: &[Checked]) -> LintOutput<'_> {
    let mut findings = Vec::new();
    for file in files {
        let name = file.source.name();
        let place = |Region { line, column, end_line, end_column }: Region| RegionJson {
            file: name,
            line,
            column,
            end_line,
            end_column,
        };
        for finding in &file.linted.findings {
            let labels = finding.labels.iter();
            let fix = finding.fix.as_ref().and_then(|fix| {
                let edits = file.shown_edits(fix)?.into_iter();
                let edits =
                    edits.map(|edit| EditJson { place: place(file.region(edit.span)), text: edit.text });
                Some(FixJson { title: &fix.title, safe: fix.safety == Safety::Safe, edits: edits.collect() })
            });
            findings.push(FindingJson {
                related: labels
                    .map(|(span, text)| LabelJson { place: place(file.region(*span)), message: text })
                    .collect(),
                fix,
                ..FindingJson::new(finding, place(file.region(finding.place)))
            });
        }
    }
    let files = files
        .iter()
        .map(|file| FileJson { file: file.source.name(), not_shown: file.linted.dropped })
        .collect();
    LintOutput { version: 1, files, findings }
}
