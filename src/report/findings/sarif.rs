//! SARIF 2.1.0 (OASIS), for code scanning services and editors.

use super::{Region, Report, Reported};
use crate::finding::RuleText;
use crate::report::explain::explain;
use crate::report::source_root::{ReportedPath, SourceRoot};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub fn sarif(report: &impl Report, root: &SourceRoot) -> Value {
    let rules = report.rules();
    let mut fingerprints = Fingerprints::default();
    let findings = report.findings();
    let results: Vec<Value> =
        findings.iter().map(|finding| result(finding, &rules, root, &mut fingerprints)).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "ister",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules.iter().map(describe).collect::<Vec<_>>(),
                },
            },
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { SOURCE_ROOT: { "uri": format!("{}/", uri(&root.root())) } },
            "results": results,
        }],
    })
}

fn result(
    finding: &Reported<'_>,
    rules: &[RuleText],
    root: &SourceRoot,
    fingerprints: &mut Fingerprints,
) -> Value {
    let index = rules.iter().position(|rule| rule.name == finding.rule);
    let help = finding.help.map(|help| format!("; {help}")).unwrap_or_default();
    // An image has no lines, but GitHub does not show a result without a region.
    let start = Region { line: 1, column: 1, end_line: 1, end_column: 1 };
    let mut place =
        json!({ "physicalLocation": physical(finding.file, finding.region.unwrap_or(start), root) });
    if !finding.object.is_empty() {
        place["logicalLocations"] = json!([{ "fullyQualifiedName": finding.object }]);
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": index.map_or(-1, |index| index as i64),
        "level": finding.level.name(),
        "message": { "text": format!("{}{help}", finding.message) },
        "locations": [place],
        "partialFingerprints": fingerprints.of(finding.file, finding.rule, &finding.identity),
    });
    if !finding.labels.is_empty() {
        let labels = finding.labels.iter().enumerate();
        let related: Vec<Value> = labels
            .map(|(id, (region, text))| {
                json!({
                    "id": id,
                    "physicalLocation": physical(finding.file, *region, root),
                    "message": { "text": text },
                })
            })
            .collect();
        result["relatedLocations"] = related.into();
    }
    if let Some(fix) = &finding.fix {
        let replacements: Vec<Value> = fix
            .edits
            .iter()
            .map(|(at, text)| json!({ "deletedRegion": region(*at), "insertedContent": { "text": text } }))
            .collect();
        let change =
            json!({ "artifactLocation": location(finding.file, root), "replacements": replacements });
        result["fixes"] = json!([{ "description": { "text": fix.title }, "artifactChanges": [change] }]);
    }
    result
}

/// Identifies a result across runs: GitHub compares the hash under this name, and computes it only for what its own action
/// uploads. It is made of the line's text, not of its number, so that it stays the same when lines are added above.
/// Source: GitHub Docs, "SARIF support for code scanning", "Data for preventing duplicated alerts".
#[derive(Default)]
struct Fingerprints {
    seen: BTreeMap<String, usize>,
}

impl Fingerprints {
    fn of(&mut self, file: &str, rule: &str, text: &str) -> Value {
        let text: String = text.split_whitespace().collect();
        let digest = Sha256::digest(format!("{rule}\n{text}"));
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let count = self.seen.entry(format!("{file}\n{hash}")).or_default();
        *count += 1;
        json!({ "primaryLocationLineHash": format!("{hash}:{count}") })
    }
}

fn describe(rule: &RuleText) -> Value {
    json!({
        "id": rule.name,
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": rule.why },
        "help": { "text": rule.why, "markdown": explain(rule) },
        "defaultConfiguration": { "level": rule.level.name() },
    })
}

fn physical(file: &str, at: Region, root: &SourceRoot) -> Value {
    json!({ "artifactLocation": location(file, root), "region": region(at) })
}

fn region(at: Region) -> Value {
    json!({
        "startLine": at.line,
        "startColumn": at.column,
        "endLine": at.end_line,
        "endColumn": at.end_column,
    })
}

/// The name that services use for the root of a repository's checkout.
const SOURCE_ROOT: &str = "%SRCROOT%";

/// Source: SARIF 2.1.0, section 3.4: `uriBaseId` is only for relative references.
fn location(name: &str, root: &SourceRoot) -> Value {
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
