//! Findings as JSON, described in `docs/lint.md`. Fields may be added; any other change increments the version.

use super::{Checked, all, shown_edits};
use crate::template::{Safety, SourceText, Span};
use serde_json::{Value, json};

/// `{"version": 1, "findings": […]}`. Lines and columns start at 1, columns count characters, and `end_…` is exclusive.
pub fn findings_json(files: &[Checked]) -> Value {
    let findings: Vec<Value> = all(files)
        .map(|(file, finding)| {
            let source = &file.source;
            let labels: Vec<Value> = finding
                .labels
                .iter()
                .map(|(span, text)| json!({ "place": place(source, *span), "message": text }))
                .collect();
            let fix = finding.fix.as_ref().and_then(|fix| {
                let edits = shown_edits(file, fix)?;
                let edits: Vec<Value> = edits
                    .iter()
                    .map(|edit| json!({ "place": place(source, edit.span), "text": edit.text }))
                    .collect();
                Some(json!({ "title": fix.title, "safe": fix.safety == Safety::Safe, "edits": edits }))
            });
            json!({
                "rule": finding.rule,
                "level": finding.level,
                "message": finding.message,
                "place": place(source, finding.span),
                "related": labels,
                "help": finding.help,
                "fix": fix,
            })
        })
        .collect();
    let files: Vec<Value> = files
        .iter()
        .map(|file| json!({ "file": file.source.name(), "not_shown": file.linted.dropped }))
        .collect();
    json!({ "version": 1, "files": files, "findings": findings })
}

fn place(source: &SourceText, span: Span) -> Value {
    let (start, end) = (source.position(span.start), source.position(span.end));
    json!({
        "file": source.name(),
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
    })
}
