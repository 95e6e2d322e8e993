//! Parses the kernel command line and quotes it for GRUB.
//!
//! systemd-boot and QEMU pass the command line unchanged. GRUB's shell splits it into arguments, and its `linux`
//! command joins them again, which changes some parameters. Sources: Linux, lib/cmdline.c, next_arg; GRUB 2.06,
//! grub-core/script/yylex.l and grub-core/lib/cmdline.c, grub_create_loader_cmdline.

/// The maximum length of the command line on x86, in bytes. Source: Linux, arch/x86/include/asm/setup.h,
/// COMMAND_LINE_SIZE, which includes the terminating zero.
pub const LONGEST: usize = 2047;

/// Bytes that a boot loader may add. GRUB adds `BOOT_IMAGE=/boot/vmlinuz-…` and, for kernels that are installed later,
/// `root=UUID=… ro`. systemd-boot, QEMU and iPXE add `initrd=` with the name of the initramfs.
pub const ADDED_BY_LOADERS: usize = 128;

/// Splits the command line as the kernel does: at white space that is not in double quotes.
pub fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut in_quotes = false;
    for (at, character) in line.char_indices() {
        let divides = character.is_ascii_whitespace() && !in_quotes;
        in_quotes ^= character == '"';
        match start {
            Some(from) if divides => {
                words.push(&line[from..at]);
                start = None;
            }
            None if !divides => start = Some(at),
            _ => {}
        }
    }
    words.extend(start.map(|from| &line[from..]));
    words
}

/// The command line with a single space between parameters.
pub fn normalized(line: &str) -> String {
    words(line).join(" ")
}

/// The argument from which GRUB's `linux` command produces this parameter, if there is one. `linux` puts an argument
/// with spaces in quotes, and inserts a backslash before each quote and backslash.
fn argument(word: &str) -> Option<&str> {
    let plain = |text: &str| !text.contains(['"', '\'', '\\']);
    match word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => (plain(inside) && inside.contains(' ')).then_some(inside),
        None => plain(word).then_some(word),
    }
}

/// The first parameter that GRUB cannot pass unchanged.
pub fn altered_by_grub(line: &str) -> Option<&str> {
    words(line).into_iter().find(|word| argument(word).is_none())
}

/// The first parameter that a script of iPXE cannot pass unchanged: iPXE splits at whitespace even between quotes,
/// inserts settings for `${name}`, ends a command at `||`, `&&` and `;`, and starts a comment at a word with `#`. Source:
/// iPXE, src/core/exec.c.
pub fn altered_by_ipxe(line: &str) -> Option<&str> {
    let is_altered = |word: &&str| {
        let mut parts = word.split(' ');
        word.contains("${")
            || word.contains(|c: char| c.is_ascii_whitespace() && c != ' ')
            || word.contains("  ")
            || parts.any(|part| part.starts_with('#') || matches!(part, "||" | "&&" | ";"))
    };
    words(line).into_iter().find(is_altered)
}

/// An equivalent parameter that GRUB passes unchanged: `"name=some value"` for `name="some value"`.
pub fn equivalent_for_grub(word: &str) -> Option<String> {
    let bare = word.replace('"', "");
    let instead = if bare.contains(' ') { format!("\"{bare}\"") } else { bare };
    (word.matches('"').count().is_multiple_of(2) && argument(&instead).is_some()).then_some(instead)
}

/// Quotes a text as one word of GRUB's shell. Nothing is special between single quotes.
pub fn quote_for_grub(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:,./@%~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Arguments for GRUB's `linux` command. `None` if a parameter cannot be passed unchanged.
pub fn for_grub(line: &str) -> Option<String> {
    let arguments: Option<Vec<String>> =
        words(line).into_iter().map(|word| argument(word).map(quote_for_grub)).collect();
    Some(arguments?.join(" "))
}

/// Parses arguments written by [`for_grub`] back into a command line.
pub fn from_grub(arguments: &str) -> String {
    let mut words = Vec::new();
    let mut rest = arguments.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        while let Some(character) = rest.chars().next().filter(|character| !character.is_whitespace()) {
            rest = &rest[character.len_utf8()..];
            if character == '\'' {
                let (inside, after) = rest.split_once('\'').unwrap_or((rest, ""));
                word.push_str(inside);
                rest = after;
            } else {
                word.push(character);
            }
        }
        words.push(if word.contains(' ') { format!("\"{word}\"") } else { word });
        rest = rest.trim_start();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A model of GRUB's shell, based on its lexer: everything is literal in single quotes, everything except `\` and
    /// `$` in double quotes. `None` for text with special characters.
    fn by_shell(text: &str) -> Option<Vec<String>> {
        let (mut arguments, mut word, mut quote) = (Vec::new(), None::<String>, None);
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match (quote, character) {
                (None, ' ') => arguments.extend(word.take()),
                (None, '\'' | '"') => {
                    quote = Some(character);
                    word.get_or_insert_default();
                }
                (Some(open), _) if character == open => quote = None,
                (None | Some('"'), '\\') => word.get_or_insert_default().push(characters.next()?),
                (None, '$' | ';' | '&' | '|' | '<' | '>' | '{' | '}' | '#' | '\n') | (Some('"'), '$') => {
                    return None;
                }
                _ => word.get_or_insert_default().push(character),
            }
        }
        arguments.extend(word);
        quote.is_none().then_some(arguments)
    }

    /// A model of GRUB's `linux` command.
    fn by_linux(arguments: &[String]) -> String {
        let escaped = arguments.iter().map(|argument| {
            let inside: String = argument
                .chars()
                .flat_map(|c| [Some('\\').filter(|_| matches!(c, '\\' | '\'' | '"')), Some(c)])
                .flatten()
                .collect();
            if argument.contains(' ') { format!("\"{inside}\"") } else { inside }
        });
        escaped.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_that_ipxe_alters() {
        for line in
            ["a=${b}", "quiet #1", "a || b", "a && b", "a ;", "\"a=b  c\"", "\"a=b ; c\"", "\"a=b #c\""]
        {
            assert!(altered_by_ipxe(line).is_some(), "{line}");
        }
        let fine = r#"a=1;2 b=x&y c=$d e={f} g=#1 "h=i j" k="l m" n=it's"#;
        assert_eq!(altered_by_ipxe(fine), None);
    }

    proptest! {
        /// Accepted command lines reach the kernel unchanged, and rejected ones contain an unsupported parameter.
        #[test]
        fn grub_passes_parameters_unchanged(line in "([a-zäß0-9=$;&<>{}#*?!|()`~^%,.\\[\\]'\"\\\\-]{1,6}| ){0,12}") {
            let line = normalized(&line);
            match for_grub(&line) {
                Some(text) => {
                    prop_assert_eq!(from_grub(&text), line.clone());
                    prop_assert_eq!(by_linux(&by_shell(&text).unwrap()), line);
                }
                None => prop_assert!(altered_by_grub(&line).is_some()),
            }
        }

        #[test]
        fn normalizing_is_idempotent(line in "([a-z=\"]{1,4}| ){0,12}") {
            prop_assert_eq!(normalized(&normalized(&line)), normalized(&line));
        }
    }

    #[test]
    fn quotes_and_spaces() {
        assert_eq!(words(r#" a  b="c  d" "e f" "#), ["a", r#"b="c  d""#, r#""e f""#]);
        assert_eq!(altered_by_grub(r#"rw dyndbg="file ata.c +p""#), Some(r#"dyndbg="file ata.c +p""#));
        assert_eq!(
            equivalent_for_grub(r#"dyndbg="file ata.c +p""#).as_deref(),
            Some(r#""dyndbg=file ata.c +p""#)
        );
        assert_eq!(equivalent_for_grub(r#"a="b""#).as_deref(), Some("a=b"));
        assert_eq!(equivalent_for_grub("who=it's"), None);
        let line = r#"rw memmap=64K$0x18690000 semi=a;b "dyndbg=file ata.c +p""#;
        assert_eq!(
            for_grub(line).as_deref(),
            Some("rw 'memmap=64K$0x18690000' 'semi=a;b' 'dyndbg=file ata.c +p'")
        );
        assert_eq!(quote_for_grub("Ada's Linux"), r"'Ada'\''s Linux'");
    }
}
