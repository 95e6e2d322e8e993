//! SARIF 2.1.0 (OASIS), for code scanning services and editors.

use super::{Checked, all, shown_edits};
use crate::lint::{RULES, Rule};
use crate::report::explain::explain;
use crate::report::source_root::{ReportedPath, SourceRoot};
use crate::template::{SourceText, Span};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub fn sarif(files: &[Checked], root: &SourceRoot) -> Value {
    let rules: Vec<Value> = RULES.iter().map(|rule| describe(rule)).collect();
    let mut fingerprints = Fingerprints::default();
    let results: Vec<Value> = all(files)
        .map(|(file, finding)| {
            let source = &file.source;
            let index = RULES.iter().position(|rule| rule.name == finding.rule);
            let help = finding.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            let mut result = json!({
                "ruleId": finding.rule,
                "ruleIndex": index.map_or(-1, |index| index as i64),
                "level": finding.level.name(),
                "message": { "text": format!("{}{help}", finding.message) },
                "locations": [{ "physicalLocation": place(source, finding.span, root) }],
                "partialFingerprints": fingerprints.of(source.name(), finding.rule, line(source, finding.span)),
            });
            if !finding.labels.is_empty() {
                let related: Vec<Value> = finding
                    .labels
                    .iter()
                    .enumerate()
                    .map(|(id, (span, text))| {
                        json!({ "id": id, "physicalLocation": place(source, *span, root), "message": { "text": text } })
                    })
                    .collect();
                result["relatedLocations"] = related.into();
            }
            let fix = finding.fix.as_ref();
            if let Some((fix, edits)) =
                fix.and_then(|fix| Some((fix, shown_edits(file, fix)?)))
            {
                let replacements: Vec<Value> = edits
                    .iter()
                    .map(|edit| {
                        json!({
                            "deletedRegion": region(source, edit.span),
                            "insertedContent": { "text": edit.text },
                        })
                    })
                    .collect();
                let change = json!({ "artifactLocation": location(source.name(), root), "replacements": replacements });
                result["fixes"] =
                    json!([{ "description": { "text": fix.title }, "artifactChanges": [change] }]);
            }
            result
        })
        .collect();
    log(rules, results, root)
}

/// Fingerprints by which GitHub matches the results of different runs. GitHub computes them only for uploads by its own
/// action. A fingerprint contains the text of the line instead of its number, so that edits above do not change it.
/// Source: GitHub Docs, "SARIF support for code scanning", "Data for preventing duplicated alerts".
#[derive(Default)]
pub(in crate::report) struct Fingerprints {
    seen: BTreeMap<String, usize>,
}

impl Fingerprints {
    pub(in crate::report) fn of(&mut self, file: &str, rule: &str, text: &str) -> Value {
        let text: String = text.split_whitespace().collect();
        let digest = Sha256::digest(format!("{rule}\n{text}"));
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let count = self.seen.entry(format!("{file}\n{hash}")).or_default();
        *count += 1;
        json!({ "primaryLocationLineHash": format!("{hash}:{count}") })
    }
}

/// The line in which a span starts.
fn line(source: &SourceText, span: Span) -> &str {
    let text = source.text();
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
    &text[start..end]
}

/// The SARIF document with these rules and results.
pub(in crate::report) fn log(rules: Vec<Value>, results: Vec<Value>, root: &SourceRoot) -> Value {
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "ister",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                },
            },
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { SOURCE_ROOT: { "uri": format!("{}/", uri(&root.root())) } },
            "results": results,
        }],
    })
}

fn describe(rule: &Rule) -> Value {
    json!({
        "id": rule.name,
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": rule.why },
        "help": { "text": rule.why, "markdown": explain(rule) },
        "defaultConfiguration": { "level": rule.level.name() },
    })
}

fn place(source: &SourceText, span: Span, root: &SourceRoot) -> Value {
    json!({ "artifactLocation": location(source.name(), root), "region": region(source, span) })
}

fn region(source: &SourceText, span: Span) -> Value {
    let (start, end) = (source.position(span.start), source.position(span.end));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

/// The name of the repository root in code scanning services.
const SOURCE_ROOT: &str = "%SRCROOT%";

/// Source: SARIF 2.1.0, section 3.4: `uriBaseId` is only for relative references.
pub(in crate::report) fn location(name: &str, root: &SourceRoot) -> Value {
    match root.locate(name) {
        ReportedPath::BelowRoot(path) => json!({ "uri": uri(&path), "uriBaseId": SOURCE_ROOT }),
        ReportedPath::Elsewhere(path) | ReportedPath::Unnamed(path) => json!({ "uri": uri(&path) }),
    }
}

/// A path as a URI reference. Source: RFC 3986, section 2.3; SARIF 2.1.0, section 3.4.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char)
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("a b/é.json"), "a%20b/%C3%A9.json");
        assert_eq!(uri("/srv/a.json"), "file:///srv/a.json");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
}
