//! Parser for GRUB's script language. Source: GRUB manual, "Writing full configuration files directly", "Shell-like
//! scripting".

use std::iter::Peekable;
use std::str::Chars;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Variable(String),
}

/// A word before the expansion of variables.
pub(super) type Word = Vec<Piece>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Command {
        words: Vec<Word>,
        block: Option<Vec<Statement>>,
    },
    /// Branches, each with a condition and a body, and the `else` branch.
    If(Vec<(Vec<Statement>, Vec<Statement>)>, Vec<Statement>),
    Loop(Vec<Statement>),
    Function(String),
}

/// An error and its line number, starting at 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub line: usize,
    pub message: String,
}

/// The maximum nesting depth of blocks.
const DEEPEST: usize = 40;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(Word),
    /// The end of a command: a newline or `;`.
    End,
    Open,
    Close,
}

/// Parses a file.
pub(super) fn parse(text: &str) -> Result<Vec<Statement>, SyntaxError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let statements = parser.statements(&[])?;
    match parser.peek() {
        None => Ok(statements),
        Some(_) => Err(parser.error("unexpected `}`")),
    }
}

/// Splits a script into words and separators, each with its line number.
struct Lexer<'t> {
    characters: Peekable<Chars<'t>>,
    line: usize,
    found: Vec<(Token, usize)>,
    word: Word,
    /// There is a word, even if it is empty: `""`.
    is_word: bool,
    /// The line of an open double quote.
    quoted_since: Option<usize>,
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, SyntaxError> {
    let mut lexer = Lexer {
        characters: text.chars().peekable(),
        line: 1,
        found: Vec::new(),
        word: Vec::new(),
        is_word: false,
        quoted_since: None,
    };
    while let Some(c) = lexer.characters.next() {
        lexer.take(c)?;
    }
    if let Some(line) = lexer.quoted_since {
        return Err(SyntaxError { line, message: "unterminated quote `\"`".to_owned() });
    }
    lexer.end_word(lexer.line);
    Ok(lexer.found)
}

impl Lexer<'_> {
    fn take(&mut self, c: char) -> Result<(), SyntaxError> {
        self.line += usize::from(c == '\n');
        let quoted = self.quoted_since.is_some();
        match c {
            '"' => {
                self.is_word = true;
                self.quoted_since = if quoted { None } else { Some(self.line) };
            }
            '\'' if !quoted => self.single_quoted()?,
            '\\' => self.escaped(quoted),
            '$' => self.variable()?,
            c if quoted => self.push(c),
            '#' if !self.is_word => while self.characters.next_if(|c| *c != '\n').is_some() {},
            c if c.is_whitespace() || matches!(c, ';' | '{' | '}' | '|' | '&') => {
                self.end_word(self.line - usize::from(c == '\n'));
                let token = match c {
                    '\n' | ';' | '|' | '&' => Token::End,
                    '{' => Token::Open,
                    '}' => Token::Close,
                    _ => return Ok(()),
                };
                self.found.push((token, self.line));
            }
            c => {
                self.is_word = true;
                self.push(c);
            }
        }
        Ok(())
    }

    fn push(&mut self, c: char) {
        match self.word.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.word.push(Piece::Text(c.to_string())),
        }
    }

    fn end_word(&mut self, line: usize) {
        if self.is_word {
            self.found.push((Token::Word(std::mem::take(&mut self.word)), line));
            self.is_word = false;
        }
    }

    fn single_quoted(&mut self) -> Result<(), SyntaxError> {
        self.is_word = true;
        let start = self.line;
        loop {
            match self.characters.next() {
                Some('\'') => return Ok(()),
                Some(c) => {
                    self.line += usize::from(c == '\n');
                    self.push(c);
                }
                None => {
                    return Err(SyntaxError { line: start, message: "unterminated quote `'`".to_owned() });
                }
            }
        }
    }

    fn escaped(&mut self, quoted: bool) {
        match self.characters.next() {
            // A continued line.
            Some('\n') => self.line += 1,
            Some(c) => {
                self.is_word = true;
                if quoted && !matches!(c, '"' | '$' | '\\' | '`') {
                    self.push('\\');
                }
                self.push(c);
            }
            None => {}
        }
    }

    fn variable(&mut self) -> Result<(), SyntaxError> {
        self.is_word = true;
        let braces = self.characters.next_if_eq(&'{').is_some();
        let mut name = String::new();
        let is_of_name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '?' | '*' | '@' | '#');
        while let Some(c) = self.characters.next_if(is_of_name) {
            name.push(c);
            if !c.is_ascii_alphanumeric() && c != '_' {
                break;
            }
        }
        if braces && self.characters.next_if_eq(&'}').is_none() {
            return Err(SyntaxError { line: self.line, message: format!("missing `}}` after `${{{name}`") });
        }
        match name.is_empty() {
            true => self.push('$'),
            false => self.word.push(Piece::Variable(name)),
        }
        Ok(())
    }
}

struct Parser<'t> {
    tokens: &'t [(Token, usize)],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        SyntaxError { line: token.map_or(1, |(_, line)| *line), message: message.into() }
    }

    /// A word without variables, which may be a keyword.
    fn keyword(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => match &word[..] {
                [Piece::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Parses statements up to one of these words, a closing brace or the end, which is not consumed.
    fn statements(&mut self, until: &[&str]) -> Result<Vec<Statement>, SyntaxError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("blocks are nested deeper than {DEEPEST}")));
        }
        let mut found = Vec::new();
        loop {
            match self.peek() {
                None | Some(Token::Close) => break,
                Some(Token::End) => self.at += 1,
                Some(Token::Open) => return Err(self.error("unexpected `{`")),
                Some(Token::Word(_)) if self.keyword().is_some_and(|word| until.contains(&word)) => break,
                Some(Token::Word(_)) => found.push(self.statement()?),
            }
        }
        self.depth -= 1;
        Ok(found)
    }

    fn expect(&mut self, word: &str, of: &str) -> Result<(), SyntaxError> {
        if self.keyword() == Some(word) {
            self.at += 1;
            return Ok(());
        }
        Err(self.error(format!("`{of}` without `{word}`")))
    }

    fn statement(&mut self) -> Result<Statement, SyntaxError> {
        match self.keyword() {
            Some("if") => self.condition(),
            Some(word @ ("while" | "until" | "for")) => {
                let word = word.to_owned();
                self.at += 1;
                self.statements(&["do"])?;
                self.expect("do", &word)?;
                let body = self.statements(&["done"])?;
                self.expect("done", &word)?;
                Ok(Statement::Loop(body))
            }
            Some("function") => {
                self.at += 1;
                let name = self.keyword().unwrap_or_default().to_owned();
                self.at += 1;
                while self.peek() == Some(&Token::End) {
                    self.at += 1;
                }
                self.block()?;
                Ok(Statement::Function(name))
            }
            Some(word @ ("fi" | "then" | "else" | "elif" | "do" | "done")) => {
                let word = word.to_owned();
                Err(self.error(format!("unexpected `{word}`")))
            }
            _ => {
                let mut words = Vec::new();
                while let Some(Token::Word(word)) = self.peek() {
                    words.push(word.clone());
                    self.at += 1;
                }
                let block = match self.peek() {
                    Some(Token::Open) => Some(self.block()?),
                    _ => None,
                };
                Ok(Statement::Command { words, block })
            }
        }
    }

    fn condition(&mut self) -> Result<Statement, SyntaxError> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        self.at += 1;
        loop {
            let condition = self.statements(&["then"])?;
            self.expect("then", "if")?;
            let body = self.statements(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            match self.keyword() {
                Some("elif") => self.at += 1,
                Some("else") => {
                    self.at += 1;
                    otherwise = self.statements(&["fi"])?;
                    break;
                }
                _ => break,
            }
        }
        self.expect("fi", "if")?;
        Ok(Statement::If(branches, otherwise))
    }

    fn block(&mut self) -> Result<Vec<Statement>, SyntaxError> {
        if self.peek() != Some(&Token::Open) {
            return Err(self.error("missing `{`"));
        }
        let start = self.error("missing `}` for this `{`");
        self.at += 1;
        let body = self.statements(&[])?;
        if self.peek() != Some(&Token::Close) {
            return Err(start);
        }
        self.at += 1;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_variables_and_comments_are_parsed() {
        let parsed = parse("linux \"/boot/$kernel\" 'a b'\\ c ${x}y # none\n").unwrap();
        let text = |text: &str| Piece::Text(text.to_owned());
        let Statement::Command { words, block: None } = &parsed[0] else { panic!("{parsed:?}") };
        assert_eq!(words[1], [text("/boot/"), Piece::Variable("kernel".to_owned())]);
        assert_eq!(words[2], [text("a b c")]);
        assert_eq!(words[3], [Piece::Variable("x".to_owned()), text("y")]);
        assert_eq!(words.len(), 4);
    }

    #[test]
    fn conditions_and_blocks_can_be_nested() {
        let text = "if [ a = b ]; then\n set x=1\nelif c; then d; else\n menuentry 'T' --class x { linux /k\n initrd /i }\nfi\nfunction f {\n echo }\n";
        let parsed = parse(text).unwrap();
        let Statement::If(branches, otherwise) = &parsed[0] else { panic!("{parsed:?}") };
        assert_eq!((branches.len(), otherwise.len()), (2, 1));
        let Statement::Command { block: Some(body), .. } = &otherwise[0] else { panic!("{parsed:?}") };
        assert_eq!(body.len(), 2);
        assert_eq!(parsed[1], Statement::Function("f".to_owned()));
    }

    #[test]
    fn errors_have_line_numbers() {
        let error = |text: &str| parse(text).unwrap_err();
        assert_eq!(error("a\nmenuentry 'x' {\n linux /k\n").line, 2);
        assert!(error("echo 'a\n\n").message.contains("unterminated"));
        assert!(error("if a; then b\n").message.contains("without `fi`"));
        assert!(error("a }\n").message.contains("`}`"));
        assert!(error("fi\n").message.contains("unexpected `fi`"));
        assert!(error(&"if a; then ".repeat(100)).message.contains("nested"));
        assert!(parse(&"a { ".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "([a-z$'\"{};#\\\\ \n=]|if |then |fi |else |menuentry ){0,200}") {
            let _ = parse(&text);
        }
    }
}
