//! Findings for people and for programs.

use crate::lint::{Finding, Level};
use crate::plan::Refusal;
use crate::template::{SourceText, Span};
use annotate_snippets::{AnnotationKind, Level as Title, Renderer, Snippet};
use serde_json::json;

/// As compilers show them: place, source line, what is wrong, what to do. One text for all findings of a file.
pub fn findings_human(source: &SourceText, findings: &[Finding], colour: bool) -> String {
    findings
        .iter()
        .map(|finding| {
            show(
                source,
                colour,
                Shown {
                    level: finding.level,
                    name: finding.rule,
                    message: &finding.message,
                    span: finding.span,
                    labels: &finding.labels,
                    help: finding.help.as_deref(),
                },
            )
        })
        .collect()
}

/// Why a well-formed template cannot become an image.
pub fn refusals_human(source: &SourceText, refusals: &[Refusal], colour: bool) -> String {
    refusals
        .iter()
        .map(|refusal| {
            show(
                source,
                colour,
                Shown {
                    level: Level::Error,
                    name: "plan",
                    message: &refusal.message,
                    span: refusal.span,
                    labels: &[],
                    help: Some(&refusal.help),
                },
            )
        })
        .collect()
}

struct Shown<'a> {
    level: Level,
    name: &'a str,
    message: &'a str,
    span: Span,
    labels: &'a [(Span, String)],
    help: Option<&'a str>,
}

fn show(source: &SourceText, colour: bool, shown: Shown) -> String {
    let title = match shown.level {
        Level::Error => Title::ERROR,
        Level::Warning => Title::WARNING,
        Level::Note => Title::NOTE,
    };
    let visible = |span: Span| {
        let length = source.text().len();
        let start = span.start.min(length);
        // An empty span is a place between two characters: the next one is underlined.
        start..span.end.min(length).max(start)
    };
    let mut snippet = Snippet::source(source.text())
        .path(source.name())
        .annotation(AnnotationKind::Primary.span(visible(shown.span)));
    for (span, text) in shown.labels {
        snippet = snippet.annotation(AnnotationKind::Context.span(visible(*span)).label(text.as_str()));
    }
    let mut group = title.primary_title(shown.message).id(shown.name).element(snippet);
    if let Some(help) = shown.help {
        group = group.element(Title::HELP.message(help));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    format!("{}\n\n", renderer.render(&[group]))
}

/// `{"version": 1, "findings": […]}`; lines and columns count from 1, columns count characters, `end` is where the
/// place ends (exclusive).
pub fn findings_json(files: &[(&SourceText, &[Finding])]) -> serde_json::Value {
    let place = |source: &SourceText, span: Span| {
        let (start, end) = (source.position(span.start), source.position(span.end));
        json!({
            "file": source.name(),
            "line": start.line,
            "column": start.column,
            "end_line": end.line,
            "end_column": end.column,
        })
    };
    let findings: Vec<_> = files
        .iter()
        .flat_map(|(source, findings)| findings.iter().map(move |f| (source, f)))
        .map(|(source, finding)| {
            let labels: Vec<_> = finding
                .labels
                .iter()
                .map(|(span, text)| json!({ "place": place(source, *span), "message": text }))
                .collect();
            json!({
                "rule": finding.rule,
                "level": finding.level,
                "message": finding.message,
                "place": place(source, finding.span),
                "related": labels,
                "help": finding.help,
            })
        })
        .collect();
    json!({ "version": 1, "findings": findings })
}
