//! Findings in the style of compilers.

use crate::lint::{Finding, Level};
use crate::plan::PlanError;
use crate::template::{Node, SourceText, Span, mask_secrets, visible_name};
use annotate_snippets::{AnnotationKind, Level as Title, Renderer, Snippet};

/// Renders all findings of a file: place, source line, message, help.
pub fn findings_human(source: &SourceText, root: &Node, findings: &[Finding], colour: bool) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let source = &mask_secrets(source, root);
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
                    span: finding.place,
                    labels: &finding.labels,
                    help: finding.help.as_deref(),
                },
            )
        })
        .collect()
}

/// Renders why an image cannot be built from a valid template. `stage` is the step that failed; it is printed in
/// brackets after
/// `error`.
pub fn plan_errors_human(
    source: &SourceText,
    root: &Node,
    stage: &str,
    refusals: &[PlanError],
    colour: bool,
) -> String {
    let source = &mask_secrets(source, root);
    refusals
        .iter()
        .map(|refusal| {
            show(
                source,
                colour,
                Shown {
                    level: Level::Error,
                    name: stage,
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
    // Only the lines around each place are rendered, because the file may be large. Places that are near each other
    // share a window.
    let mut windows: Vec<Window> = Vec::new();
    let primary = (shown.span, None);
    let labels = shown.labels.iter().map(|(span, text)| (*span, Some(text.as_str())));
    for (span, label) in std::iter::once(primary).chain(labels) {
        let lines = (source.line_of(span.start), source.line_of(span.end.max(span.start)));
        match windows.iter_mut().find(|window| window.is_near(lines)) {
            Some(window) => window.add(lines, span, label),
            None => windows.push(Window { lines, places: vec![(span, label)] }),
        }
    }
    let snippets: Vec<_> = windows.iter().map(|window| window.snippet(source)).collect();
    // Messages quote values of the template; source lines are escaped by the renderer.
    let message = visible_name(shown.message);
    let help = shown.help.map(|help| help.lines().map(visible_name).collect::<Vec<_>>().join("\n"));
    let mut group = title.primary_title(message).id(shown.name).elements(snippets);
    if let Some(help) = help {
        group = group.element(Title::HELP.message(help));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    format!("{}\n\n", renderer.render(&[group]))
}

/// Places with more lines than this between them are shown separately.
const NEAR: usize = 12;

/// A longer line is shortened to the part around the place.
const LONGEST_LINE: usize = 400;

/// Some lines of the source, and the places in them.
struct Window<'a> {
    /// First and last line, starting at 0.
    lines: (usize, usize),
    /// The place without a label is that of the finding.
    places: Vec<(Span, Option<&'a str>)>,
}

impl<'a> Window<'a> {
    fn is_near(&self, (first, last): (usize, usize)) -> bool {
        first <= self.lines.1 + NEAR && self.lines.0 <= last + NEAR
    }

    fn add(&mut self, (first, last): (usize, usize), span: Span, label: Option<&'a str>) {
        self.lines = (self.lines.0.min(first), self.lines.1.max(last));
        self.places.push((span, label));
    }

    fn snippet<'s>(&self, source: &'s SourceText) -> Snippet<'s, annotate_snippets::Annotation<'s>>
    where
        'a: 's,
    {
        let text = source.text();
        let (mut start, mut end) = (source.line(self.lines.0).start, source.line(self.lines.1).end);
        if self.lines.0 == self.lines.1 && end - start > LONGEST_LINE {
            let first = self.places.iter().map(|(span, _)| span.start).min().unwrap_or(start);
            start = floor(text, first.saturating_sub(LONGEST_LINE / 2).max(start));
            end = floor(text, (first + LONGEST_LINE / 2).min(end));
        }
        let within = |span: Span| {
            let from = span.start.clamp(start, end);
            // For an empty span, which is between two characters, the next character is underlined.
            from - start..span.end.clamp(from, end) - start
        };
        let mut snippet =
            Snippet::source(&text[start..end]).path(source.shown_name()).line_start(self.lines.0 + 1);
        for (span, label) in &self.places {
            snippet = snippet.annotation(match label {
                None => AnnotationKind::Primary.span(within(*span)),
                Some(label) => AnnotationKind::Context.span(within(*span)).label(*label),
            });
        }
        snippet
    }
}

/// The character boundary at or before an offset.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
