//! Converts the bytes of a serial console to lines of text. Escape sequences are removed, and a cursor movement to
//! another row ends a line.

/// Converts bytes, which may arrive in pieces of any size.
#[derive(Default)]
pub(super) struct Lines {
    state: EscapeState,
    parameters: String,
    /// Bytes of a control string so far.
    string: usize,
    /// UTF-8 continuation bytes that are still expected.
    continues: u8,
    line: Vec<u8>,
    /// The last byte was a carriage return, so further text overwrites the line.
    returned: bool,
    row: Option<u32>,
    /// The position was saved, and is restored later: movements in between are only queries of the screen's size.
    is_saved: bool,
}

/// Length at which a line ends in any case, because a guest may print without line ends forever.
const LONGEST: usize = 16 << 10;
/// Length after which a control string is considered not to be one.
const LONGEST_STRING: usize = 4 << 10;

/// All lines of a recorded console.
pub fn console_lines(bytes: &[u8]) -> Vec<String> {
    let mut reader = Lines::default();
    let mut lines = Vec::new();
    reader.feed(bytes, &mut |line| lines.push(line.to_owned()));
    let rest = reader.unfinished();
    if !rest.trim().is_empty() {
        lines.push(rest);
    }
    lines
}

/// Source: ECMA-48, 5.3 to 5.6 and 8.3; ECMA-35, 13.2, for escape sequences with intermediate bytes, such as those that
/// choose a character set.
#[derive(Clone, Copy, Default, PartialEq)]
enum EscapeState {
    #[default]
    Text,
    Escape,
    /// An escape sequence with one or more intermediate bytes.
    Intermediate,
    /// CSI, ended by a byte from `@` to `~`.
    Control,
    /// OSC, DCS, APC, PM, SOS: ended by ST, or BEL as xterm does.
    String,
    StringEscape,
}

impl Lines {
    /// Passes completed lines to `line`, without trailing spaces and without empty lines.
    pub(super) fn feed(&mut self, bytes: &[u8], line: &mut impl FnMut(&str)) {
        self.feed_all(bytes, &mut |text| {
            if !text.is_empty() {
                line(text);
            }
        });
    }

    /// Includes empty lines.
    pub(super) fn feed_all(&mut self, bytes: &[u8], line: &mut impl FnMut(&str)) {
        for &byte in bytes {
            self.byte(byte, line);
        }
    }

    fn byte(&mut self, byte: u8, line: &mut impl FnMut(&str)) {
        match self.state {
            EscapeState::Text => self.text(byte, line),
            EscapeState::Escape => self.escape(byte, line),
            EscapeState::Intermediate => match byte {
                0x20..=0x2f => {}
                b'\n' => self.abort(byte, line),
                0x1b => self.state = EscapeState::Escape,
                _ => self.state = EscapeState::Text,
            },
            EscapeState::Control => match byte {
                0x40..=0x7e => {
                    self.state = EscapeState::Text;
                    match byte {
                        b'H' | b'f' if self.is_saved => {}
                        b'H' | b'f' => self.move_to(line),
                        b's' => self.is_saved = true,
                        b'u' => self.is_saved = false,
                        b'J' => self.end(line),
                        b'K' if self.returned => self.end(line),
                        _ => {}
                    }
                }
                0x1b => self.state = EscapeState::Escape,
                b'\n' => self.abort(byte, line),
                _ if self.parameters.len() >= LONGEST => self.state = EscapeState::Text,
                _ => self.parameters.push(byte as char),
            },
            EscapeState::String => {
                self.string += 1;
                let continues = self.is_continuation(byte);
                match byte {
                    0x07 | 0x18 | 0x1a => self.state = EscapeState::Text,
                    0x9c if !continues => self.state = EscapeState::Text,
                    0x1b => self.state = EscapeState::StringEscape,
                    // Control strings do not contain line ends, so an incomplete one was cut off.
                    b'\n' => self.abort(byte, line),
                    _ if self.string > LONGEST_STRING => self.state = EscapeState::Text,
                    _ => {}
                }
            }
            EscapeState::StringEscape if byte == b'\\' => self.state = EscapeState::Text,
            EscapeState::StringEscape => self.escape(byte, line),
        }
    }

    fn text(&mut self, byte: u8, line: &mut impl FnMut(&str)) {
        let continues = self.is_continuation(byte);
        match byte {
            0x1b => self.state = EscapeState::Escape,
            b'\n' => {
                self.is_saved = false;
                self.end(line);
            }
            b'\r' => self.returned = true,
            0x08 => {
                self.line.pop();
            }
            byte if (byte < 0x20 && byte != b'\t') || byte == 0x7f => {}
            // C1 control characters, as one byte or in UTF-8.
            0x80..=0x9f if !continues => self.c1(byte),
            0x80..=0x9f if self.line.last() == Some(&0xc2) => {
                self.line.pop();
                self.c1(byte);
            }
            byte => {
                // The overwritten text counts as a line too.
                if self.returned || self.line.len() >= LONGEST {
                    self.end(line);
                }
                self.line.push(byte);
            }
        }
    }

    fn escape(&mut self, byte: u8, line: &mut impl FnMut(&str)) {
        self.parameters.clear();
        self.string = 0;
        self.state = match byte {
            b'[' => EscapeState::Control,
            b']' | b'P' | b'X' | b'^' | b'_' | b'k' => EscapeState::String,
            0x20..=0x2f => EscapeState::Intermediate,
            0x1b => EscapeState::Escape,
            b'\n' => return self.abort(byte, line),
            // DECSC and DECRC.
            b'7' | b'8' => {
                self.is_saved = byte == b'7';
                EscapeState::Text
            }
            _ => EscapeState::Text,
        };
    }

    fn c1(&mut self, byte: u8) {
        self.parameters.clear();
        self.string = 0;
        self.state = match byte {
            0x9b => EscapeState::Control,
            0x90 | 0x98 | 0x9d | 0x9e | 0x9f => EscapeState::String,
            _ => EscapeState::Text,
        };
    }

    fn abort(&mut self, byte: u8, line: &mut impl FnMut(&str)) {
        self.state = EscapeState::Text;
        self.text(byte, line);
    }

    /// Whether a byte continues a UTF-8 character.
    fn is_continuation(&mut self, byte: u8) -> bool {
        let (continues, left) = match byte {
            0x80..=0xbf if self.continues > 0 => (true, self.continues - 1),
            0xc2..=0xdf => (false, 1),
            0xe0..=0xef => (false, 2),
            0xf0..=0xf4 => (false, 3),
            _ => (false, 0),
        };
        self.continues = left;
        continues
    }

    fn move_to(&mut self, line: &mut impl FnMut(&str)) {
        let row = self.parameters.split(';').next().and_then(|row| row.parse().ok()).unwrap_or(1);
        if self.row != Some(row) {
            self.end(line);
        }
        self.row = Some(row);
    }

    fn end(&mut self, line: &mut impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        self.returned = false;
        line(&text);
    }

    /// The incomplete line, which may be a prompt.
    pub(super) fn unfinished(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_lines_and_strings_are_cut() {
        let mut reader = Lines::default();
        let mut count = 0;
        reader.feed(&vec![b'x'; 5 * LONGEST], &mut |_| count += 1);
        assert_eq!((count, reader.line.len()), (4, LONGEST));
        reader.feed(b"\x1b[", &mut |_| {});
        reader.feed(&vec![b'0'; 2 * LONGEST], &mut |_| {});
        assert!(reader.parameters.len() <= LONGEST);
    }

    fn lines(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut reader = Lines::default();
        let mut lines = Vec::new();
        for piece in pieces {
            reader.feed(piece, &mut |line| lines.push(line.to_owned()));
        }
        (lines, reader.unfinished())
    }

    #[test]
    fn colours_and_titles_are_removed() {
        let (done, rest) =
            lines(&[b"\x1b]0;title\x07[  \x1b[0;32mOK\x1b[0m  ] Started\r\r\nkvm log", b"in: "]);
        assert_eq!(done, ["[  OK  ] Started"]);
        assert_eq!(rest, "kvm login: ");
    }

    #[test]
    fn grub_cursor_movements_join_lines() {
        let (done, _) =
            lines(&[b"error: no such device: 9ff5-54aa\x1b[06;51H\x1b[06;52H2ca3.\x1b[01;01H\x1b[2J"]);
        assert_eq!(done, ["error: no such device: 9ff5-54aa", "2ca3."]);
        let (done, rest) = lines(&[b"\x1b[08;01H\x1b[1mShell> \x1b[0m"]);
        assert_eq!((done.len(), rest.as_str()), (0, "Shell> "));
    }

    #[test]
    fn split_sequence_is_removed() {
        let (done, _) = lines(&[b"a\x1b", b"[0;3", b"1mb\n"]);
        assert_eq!(done, ["ab"]);
    }

    #[test]
    fn all_sequences_are_removed_at_any_split() {
        for text in [
            &b"a\x1bP+q544e\x1b\\b\n"[..],
            b"a\x1b_application\x1b\\b\n",
            b"a\x1b(B\x1b)0b\n",
            b"a\x1b%Gb\n",
            b"a\x1b]11;?\x07b\n",
            b"a\x9b0;1mb\n",
            b"a\xc2\x9b0;1mb\n",
            b"a\x90dcs\x9cb\n",
            b"a\x1b[?2004hb\n",
            b"a\x1b7\x1b8b\n",
            b"a\x1b7\x1b[99;99H\x1b[6n\x1b8b\n",
            b"a\x1b[s\x1b[99;99H\x1b[6n\x1b[ub\n",
        ] {
            assert_eq!(lines(&[text]).0, ["ab"], "{text:?}");
            let pieces: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(lines(&pieces).0, ["ab"], "{text:?}");
        }
        // Characters whose bytes look like C1.
        assert_eq!(lines(&["büro Ü 登录 🔐\n".as_bytes()]).0, ["büro Ü 登录 🔐"]);
        // An unterminated string hides only the rest of its line.
        assert_eq!(lines(&[b"a\x1b]0;title\nb\n"]).0, ["a", "b"]);
    }

    #[test]
    fn overwritten_text_is_a_line() {
        let (done, rest) =
            lines(&[b"\r\x1b[K[*     ] job (1s / 5min)\r\x1b[K[  OK  ] Started foo.\r\nlogin: "]);
        assert_eq!(done, ["[*     ] job (1s / 5min)", "[  OK  ] Started foo."]);
        assert_eq!(rest, "login: ");
    }
}
