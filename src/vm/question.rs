//! Passphrases that a guest asks for on its console. Pure: text in, answer out.

use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What Debian's initramfs and systemd ask. Source: cryptsetup-initramfs, functions.sh, `Please unlock disk %s: `; systemd,
/// src/cryptsetup/cryptsetup.c, "Please enter %s for disk %s:", with systemd-tty-ask-password-agent's mark in front.
static QUESTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"Please (?:unlock disk|enter (?:LUKS )?passphrase for disk) (.+?):? ?(?:\(press TAB[^)]*\) ?)?$",
    )
    .expect("the pattern is tested")
});
/// What they say of a wrong one.
static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"bad password or options\?|No key available with this passphrase|Failed to activate with specified passphrase")
        .expect("the pattern is tested")
});

/// A volume's name, if an unfinished line of the console asks for its passphrase.
pub fn asked_for(line: &str) -> Option<&str> {
    Some(QUESTION.captures(line)?.get(1)?.as_str())
}

pub fn is_refusal(line: &str) -> bool {
    REFUSAL.is_match(line)
}

/// The passphrase for what was asked: the one whose volume is named in the question, or the only one there is.
pub fn answer<'p>(question: &str, passphrases: &'p BTreeMap<String, String>) -> Option<&'p str> {
    let named = passphrases.iter().find(|(name, _)| {
        question.split(|c: char| c.is_whitespace() || "()".contains(c)).any(|word| word == name.as_str())
    });
    let only = passphrases.values().next().filter(|_| passphrases.len() == 1);
    named.map(|(_, passphrase)| passphrase).or(only).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_understood() {
        for (line, name) in [
            ("Please unlock disk cryptroot: ", Some("cryptroot")),
            (
                "🔐 Please enter passphrase for disk home on /home: (press TAB for no echo) ",
                Some("home on /home"),
            ),
            ("Please enter passphrase for disk QEMU HARDDISK (data): ", Some("QEMU HARDDISK (data)")),
            ("[   3.1] Please unlock disks", None),
            ("kvm login: ", None),
        ] {
            assert_eq!(asked_for(line), name, "{line}");
        }
        assert!(is_refusal("cryptsetup: ERROR: cryptroot: cryptsetup failed, bad password or options?"));
    }

    #[test]
    fn the_answer_is_the_named_ones() {
        let two = BTreeMap::from([("home".to_owned(), "h".to_owned()), ("root".to_owned(), "r".to_owned())]);
        assert_eq!(answer("home on /home", &two), Some("h"));
        assert_eq!(answer("QEMU HARDDISK (root)", &two), Some("r"));
        assert_eq!(answer("vda3", &two), None);
        let one = BTreeMap::from([("root".to_owned(), "r".to_owned())]);
        assert_eq!(answer("vda3", &one), Some("r"));
    }
}
