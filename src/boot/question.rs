//! Selects the passphrase for a prompt on the console. Pure.

use crate::template::Secret;
use std::collections::BTreeMap;

/// The passphrase of the volume named in the question, or the only passphrase there is.
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
    fn passphrase_is_selected_by_volume_name() {
        let two = BTreeMap::from([("home".to_owned(), "h".into()), ("root".to_owned(), "r".into())]);
        assert_eq!(answer("home on /home", &two), Some("h"));
        assert_eq!(answer("QEMU HARDDISK (root)", &two), Some("r"));
        assert_eq!(answer("vda3", &two), None);
        let one = BTreeMap::from([("root".to_owned(), "r".into())]);
        assert_eq!(answer("vda3", &one), Some("r"));
    }
}
