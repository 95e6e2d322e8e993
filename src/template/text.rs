//! The text of a template, and positions in it.

/// A half-open range of byte offsets into a [`SourceText`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end);
        Span { start, end }
    }

    pub fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// Line and column, both from 1. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// The encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// UTF-16 in either byte order, with or without a byte order mark.
    Utf16,
    /// Neither UTF-8 nor UTF-16. Invalid bytes were replaced with U+FFFD; `at` is the offset of the first.
    Unknown {
        at: usize,
    },
}

/// The character count is stored for every block of this many bytes, so that columns in very long lines are computed
/// quickly.
const BLOCK: usize = 4096;

/// The text of a template and its display name.
#[derive(Clone, Debug)]
pub struct SourceText {
    name: String,
    text: String,
    encoding: Encoding,
    line_starts: Vec<usize>,
    /// Characters before each multiple of [`BLOCK`].
    characters: Vec<usize>,
}

impl SourceText {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        let mut characters = vec![0];
        let mut count = 0;
        for block in text.as_bytes().chunks_exact(BLOCK) {
            count += block.iter().filter(|byte| starts_character(**byte)).count();
            characters.push(count);
        }
        SourceText { name: name.into(), text, encoding: Encoding::Utf8, line_starts, characters }
    }

    /// Decodes the bytes of a file, even if they are not valid UTF-8 or UTF-16.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let (text, encoding) = if let Some(text) = utf16(&bytes) {
            (text, Encoding::Utf16)
        } else {
            match String::from_utf8(bytes) {
                Ok(text) => (text, Encoding::Utf8),
                Err(error) => {
                    let at = error.utf8_error().valid_up_to();
                    (String::from_utf8_lossy(error.as_bytes()).into_owned(), Encoding::Unknown { at })
                }
            }
        };
        SourceText { encoding, ..Self::new(name, text) }
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The same name with another text.
    pub fn with_text(&self, text: impl Into<String>) -> Self {
        Self::new(self.name.clone(), text)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name with control characters escaped, for terminals.
    pub fn shown_name(&self) -> String {
        visible_name(&self.name)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset. An offset past the end is treated as the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|&start| start <= offset) - 1;
        let start = self.line_starts[line];
        Position {
            line: line + 1,
            column: self.characters_before(offset) - self.characters_before(start) + 1,
        }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        let rest = &self.text.as_bytes()[block * BLOCK..offset];
        self.characters[block] + rest.iter().filter(|byte| starts_character(**byte)).count()
    }

    /// The number of lines.
    pub fn lines(&self) -> usize {
        self.line_starts.len()
    }

    /// The span of a line, counted from 0, without its line end.
    pub fn line(&self, line: usize) -> Span {
        let start = self.line_starts[line];
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let end = if end > start && self.text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end };
        Span::new(start, end)
    }

    /// The line, counted from 0, that contains an offset. An offset past the end is in the last line.
    pub fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset) - 1
    }

    /// `name:line:column`, as supported by editors and terminals.
    pub fn place(&self, span: Span) -> String {
        let Position { line, column } = self.position(span.start);
        format!("{}:{line}:{column}", self.shown_name())
    }
}

/// A name or another text with control characters escaped, for terminals.
pub fn visible_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Whether a byte starts a character in UTF-8, which all bytes except continuation bytes (10xxxxxx) do.
fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Decodes UTF-16. It is detected by a byte order mark, or by a zero in every other byte at the beginning, where JSON
/// has ASCII characters. Source: RFC 4627, section 3.
fn utf16(bytes: &[u8]) -> Option<String> {
    type CodeUnit = fn([u8; 2]) -> u16;
    let (rest, unit): (&[u8], CodeUnit) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => (bytes, u16::from_le_bytes),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => (bytes, u16::from_be_bytes),
        _ => return None,
    };
    let units = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let text = SourceText::new("t.json", "{\n  \"ä\": 1\n}");
        let one = text.text().find('1').unwrap();
        assert_eq!(text.position(one), Position { line: 2, column: 8 });
        assert_eq!(text.position(999), Position { line: 3, column: 2 });
        assert_eq!(text.place(Span::new(one, one + 1)), "t.json:2:8");
    }

    #[test]
    fn a_column_in_a_long_line_is_counted_from_its_start() {
        let text = SourceText::new("t.json", format!("\n{}x", "ä".repeat(10_000)));
        assert_eq!(text.position(20_001), Position { line: 2, column: 10_001 });
        assert_eq!(text.position(5), Position { line: 2, column: 3 });
    }

    #[test]
    fn utf16_is_decoded_in_both_byte_orders() {
        for mark in [true, false] {
            let units: Vec<u16> =
                mark.then_some(0xfeff).into_iter().chain("{\"ä\": 1}".encode_utf16()).collect();
            let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
            for bytes in [little, big] {
                let source = SourceText::from_bytes("t.json", bytes);
                assert_eq!((source.text(), source.encoding()), ("{\"ä\": 1}", Encoding::Utf16));
            }
        }
        let source = SourceText::from_bytes("t.json", b"{\xff}".to_vec());
        assert_eq!((source.text(), source.encoding()), ("{\u{fffd}}", Encoding::Unknown { at: 1 }));
    }

    #[test]
    fn lines_exclude_line_ends() {
        let text = SourceText::new("t.json", "a\r\nbc\n");
        let shown: Vec<&str> =
            (0..text.lines()).map(|n| text.line(n)).map(|s| &text.text()[s.start..s.end]).collect();
        assert_eq!(shown, ["a", "bc", ""]);
        assert_eq!((text.line_of(2), text.line_of(3), text.line_of(99)), (0, 1, 2));
    }
}
