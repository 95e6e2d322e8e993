//! From a serial console's bytes to lines that can be searched: escape sequences go, and a jump of the cursor to
//! another row ends a line.

/// Takes bytes as they come, in any pieces.
#[derive(Default)]
pub struct Lines {
    state: State,
    parameters: String,
    line: Vec<u8>,
    row: Option<u32>,
}

/// Bytes after which a line is taken to be finished: a guest may say anything, for ever.
const LONGEST: usize = 16 << 10;

/// All lines of a console that was kept.
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

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Text,
    Escape,
    /// CSI, ended by a byte from `@` to `~`. Source: ECMA-48, 5.4.
    Control,
    /// OSC, ended by BEL or ESC \.
    Command,
    CommandEscape,
}

impl Lines {
    /// Finished lines are passed to `line`, without trailing space; empty ones are left out.
    pub fn feed(&mut self, bytes: &[u8], line: &mut impl FnMut(&str)) {
        for &byte in bytes {
            match self.state {
                State::Text => match byte {
                    0x1b => self.state = State::Escape,
                    b'\n' => self.end(line),
                    // A carriage return before more text means: written over. What was there counts too.
                    b'\r' | 0x07 => {}
                    0x08 => {
                        self.line.pop();
                    }
                    byte if byte < 0x20 && byte != b'\t' => {}
                    byte => {
                        if self.line.len() >= LONGEST {
                            self.end(line);
                        }
                        self.line.push(byte);
                    }
                },
                State::Escape => {
                    self.parameters.clear();
                    self.state = match byte {
                        b'[' => State::Control,
                        b']' => State::Command,
                        _ => State::Text,
                    };
                }
                State::Control if (0x40..=0x7e).contains(&byte) => {
                    self.state = State::Text;
                    match byte {
                        b'H' | b'f' => self.move_to(line),
                        b'J' => self.end(line),
                        _ => {}
                    }
                }
                State::Control if self.parameters.len() >= LONGEST => self.state = State::Text,
                State::Control => self.parameters.push(byte as char),
                State::Command => match byte {
                    0x07 => self.state = State::Text,
                    0x1b => self.state = State::CommandEscape,
                    _ => {}
                },
                State::CommandEscape => self.state = State::Text,
            }
        }
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
        if !text.is_empty() {
            line(&text);
        }
    }

    /// The line that is not finished yet: where prompts stand.
    pub fn unfinished(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_cut() {
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
    fn colours_and_titles_go() {
        let (done, rest) =
            lines(&[b"\x1b]0;title\x07[  \x1b[0;32mOK\x1b[0m  ] Started\r\r\nkvm log", b"in: "]);
        assert_eq!(done, ["[  OK  ] Started"]);
        assert_eq!(rest, "kvm login: ");
    }

    #[test]
    fn a_line_that_grub_draws_piecewise_is_one_line() {
        let (done, _) =
            lines(&[b"error: no such device: 9ff5-54aa\x1b[06;51H\x1b[06;52H2ca3.\x1b[01;01H\x1b[2J"]);
        assert_eq!(done, ["error: no such device: 9ff5-54aa", "2ca3."]);
        let (done, rest) = lines(&[b"\x1b[08;01H\x1b[1mShell> \x1b[0m"]);
        assert_eq!((done.len(), rest.as_str()), (0, "Shell> "));
    }

    #[test]
    fn a_sequence_may_come_in_pieces() {
        let (done, _) = lines(&[b"a\x1b", b"[0;3", b"1mb\n"]);
        assert_eq!(done, ["ab"]);
    }
}
