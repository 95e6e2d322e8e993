//! An open file: its text and findings, and the conversion between protocol positions and offsets.

use super::server::Knowledge;
use crate::lint::{LintResult, lint};
use crate::template::{SourceText, Span, Value};
use lsp_types::{Position, Range, TextDocumentContentChangeEvent, Uri};
use std::path::{Path, PathBuf};

/// The unit of columns. Source: LSP 3.17, `PositionEncodingKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    Utf8,
    Utf16,
}

pub(super) struct Document {
    pub uri: Uri,
    pub version: i32,
    /// The editor has set the language of the file to `ister`.
    declared: bool,
    columns: Columns,
    source: SourceText,
    linted: LintResult,
}

impl Document {
    pub(super) fn new(
        uri: Uri,
        version: i32,
        language: &str,
        text: String,
        columns: Columns,
        known: &Knowledge,
    ) -> Self {
        let name = path_of(&uri).map_or_else(|| uri.as_str().to_owned(), |path| path.display().to_string());
        let source = SourceText::new(name, text);
        let linted = judge(&source, &uri, known);
        Document { uri, version, declared: language == "ister", columns, source, linted }
    }

    pub(super) fn source(&self) -> &SourceText {
        &self.source
    }

    pub(super) fn text(&self) -> &str {
        self.source.text()
    }

    pub(super) fn linted(&self) -> &LintResult {
        &self.linted
    }

    /// Lints another text in place of this document.
    pub(super) fn judge_text(&self, text: &SourceText, known: &Knowledge) -> LintResult {
        judge(text, &self.uri, known)
    }

    /// Applies the changes of one notification, and lints the result.
    pub(super) fn change(
        &mut self,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
        known: &Knowledge,
    ) {
        for change in changes {
            let text = match change.range {
                None => change.text,
                Some(range) => {
                    let span = self.span(range);
                    let mut text = self.text().to_owned();
                    text.replace_range(span.start..span.end, &change.text);
                    text
                }
            };
            self.source = self.source.with_text(text);
        }
        self.version = version;
        self.linted = judge(&self.source, &self.uri, known);
    }

    /// Whether this is a template, because editors may send any JSON file.
    pub(super) fn is_template(&self) -> bool {
        let known = ["DestinationType", "PartitionLayout", "FilesystemTypes", "PartitionMountPoints"];
        let has_key = match &self.linted.node.value {
            Value::Object(members) => members.iter().any(|member| {
                known.contains(&member.key.as_str())
                    || member.key == "$schema"
                        && matches!(&member.value.value, Value::String(url) if url.contains("ister"))
            }),
            _ => false,
        };
        self.declared || has_key || self.source.name().ends_with(".ister.json")
    }

    pub(super) fn range(&self, span: Span) -> Range {
        Range { start: self.position(span.start), end: self.position(span.end) }
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text().len());
        let line = self.source.line_of(offset);
        let before = &self.text()[self.source.line(line).start..offset];
        let column = match self.columns {
            Columns::Utf8 => before.len(),
            Columns::Utf16 => before.chars().map(char::len_utf16).sum(),
        };
        Position { line: line as u32, character: column as u32 }
    }

    /// The offset of a position. Positions past the end of a line or of the text are limited to that end.
    pub(super) fn offset(&self, position: Position) -> usize {
        let line = position.line as usize;
        if line >= self.source.lines() {
            return self.text().len();
        }
        let span = self.source.line(line);
        let text = &self.text()[span.start..span.end];
        let mut left = position.character as usize;
        for (at, c) in text.char_indices() {
            let length = match self.columns {
                Columns::Utf8 => c.len_utf8(),
                Columns::Utf16 => c.len_utf16(),
            };
            if left < length {
                return span.start + at;
            }
            left -= length;
        }
        span.end
    }

    pub(super) fn span(&self, range: Range) -> Span {
        let (start, end) = (self.offset(range.start), self.offset(range.end));
        Span::new(start.min(end), end)
    }
}

fn judge(source: &SourceText, uri: &Uri, known: &Knowledge) -> LintResult {
    // As everywhere, relative paths start at the directory of the template; a new file has none yet.
    let parent = || path_of(uri)?.parent().map(Path::to_owned);
    let directory = parent().or_else(|| known.root.clone());
    lint(source, known.definitions, |template| (known.files)(template, directory.as_deref()))
}

/// The path of a `file:` URI.
pub(super) fn path_of(uri: &Uri) -> Option<PathBuf> {
    url::Url::parse(uri.as_str()).ok()?.to_file_path().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::Files;
    use crate::plan::bundle::{Definitions, builtin};

    fn document(text: &str, columns: Columns, definitions: &Definitions) -> Document {
        let known = Knowledge { definitions, files: &|_, _| Files::new(), root: None };
        Document::new("file:///a%20b.json".parse().unwrap(), 1, "json", text.to_owned(), columns, &known)
    }

    #[test]
    fn positions_and_offsets_are_converted_in_both_encodings() {
        let definitions = builtin();
        for columns in [Columns::Utf8, Columns::Utf16] {
            let document = document("{\r\n\"ä😀\": 1}\n", columns, &definitions);
            assert_eq!(document.source().name(), "/a b.json");
            for (offset, _) in document.text().char_indices().filter(|(_, c)| *c != '\n') {
                assert_eq!(document.offset(document.position(offset)), offset);
            }
        }
        let utf16 = document("{\"ä😀\": 1}", Columns::Utf16, &definitions);
        assert_eq!(utf16.position(9), Position { line: 0, character: 6 });
        // In the middle of a surrogate pair, past the line, past the text.
        assert_eq!(utf16.offset(Position { line: 0, character: 4 }), 4);
        assert_eq!(utf16.offset(Position { line: 0, character: 99 }), utf16.text().len());
        assert_eq!(utf16.offset(Position { line: 9, character: 0 }), utf16.text().len());
    }

    #[test]
    fn templates_are_detected() {
        let definitions = builtin();
        let is = |text: &str| document(text, Columns::Utf16, &definitions).is_template();
        assert!(is(r#"{"PartitionLayout": []}"#));
        assert!(is(r#"{"$schema": "./ister-template.schema.json"}"#));
        assert!(!is(r#"{"name": "left-pad", "version": "1"}"#));
    }
}
