//! Passphrases that a guest asks for on its console. Pure: question in, answer out.

use crate::template::Secret;
use std::collections::BTreeMap;

/// The passphrase for what was asked: the one whose volume is named in the question, or the only one there is.
pub(super) fn answer<'p>(question: &str, passphrases: &'p BTreeMap<String, Secret>) -> Option<&'p str> {
    let named = passphrases.iter().find(|(name, _)| {
        question.split(|c: char| c.is_whitespace() || "()".contains(c)).any(|word| word == name.as_str())
    });
    let only = passphrases.values().next().filter(|_| passphrases.len() == 1);
    named.map(|(_, passphrase)| passphrase).or(only).map(Secret::expose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_named_ones() {
        let two = BTreeMap::from([("home".to_owned(), "h".into()), ("root".to_owned(), "r".into())]);
        assert_eq!(answer("home on /home", &two), Some("h"));
        assert_eq!(answer("QEMU HARDDISK (root)", &two), Some("r"));
        assert_eq!(answer("vda3", &two), None);
        let one = BTreeMap::from([("root".to_owned(), "r".into())]);
        assert_eq!(answer("vda3", &one), Some("r"));
    }
}
