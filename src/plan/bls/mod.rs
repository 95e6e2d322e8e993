//! Type #1 entries of the Boot Loader Specification: their content, their order and the default entry.
//!
//! The builder, `ister boot --direct`, the GRUB menu and verification all use this order. Sources: UAPI.1, "Boot Loader
//! Specification"; systemd-boot(7); loader.conf(5).

mod version;

use std::cmp::Ordering;
pub use version::compare as compare_versions;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoaderEntry {
    /// The file name.
    pub name: String,
    pub title: Option<String>,
    pub version: String,
    pub sort_key: Option<String>,
    pub machine_id: Option<String>,
    pub linux: Option<String>,
    /// An EFI program other than Linux, or a unified kernel image.
    pub efi: Option<String>,
    pub initrds: Vec<String>,
    pub options: String,
    pub devicetree: Option<String>,
    /// Remaining and completed boot attempts. Source: systemd.io, "Automatic Boot Assessment".
    pub tries: Option<(u64, u64)>,
}

impl LoaderEntry {
    /// `name` is the file name, including `.conf`.
    pub fn parse(name: &str, text: &str) -> LoaderEntry {
        let fields: Vec<(&str, &str)> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(char::is_whitespace))
            .map(|(key, value)| (key, value.trim()))
            .collect();
        let all = |name: &'static str| {
            fields.iter().filter(move |(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        LoaderEntry {
            name: name.to_owned(),
            title: all("title").next_back(),
            version: all("version").next_back().unwrap_or_default(),
            sort_key: all("sort-key").next_back(),
            machine_id: all("machine-id").next_back(),
            linux: all("linux").next_back(),
            efi: all("efi").next_back().or_else(|| all("uki").next_back()),
            // Variables are expanded by scripts of the boot loader, as in Fedora.
            initrds: all("initrd")
                .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .filter(|path| !path.contains('$'))
                .collect(),
            options: all("options").collect::<Vec<_>>().join(" "),
            devicetree: all("devicetree").next_back(),
            tries: tries(stem(name)).map(|(_, tries)| tries),
        }
    }

    /// The entry ID used in loader.conf: the file name without extension and counters.
    pub fn id(&self) -> &str {
        let stem = stem(&self.name);
        tries(stem).map_or(stem, |(id, _)| id)
    }

    /// Whether no boot attempts are left.
    pub fn is_bad(&self) -> bool {
        self.tries.is_some_and(|(left, _)| left == 0)
    }
}

fn stem(name: &str) -> &str {
    let is_ending = |at: usize| name.get(at..).is_some_and(|ending| ending.eq_ignore_ascii_case(".conf"));
    name.len().checked_sub(5).filter(|at| is_ending(*at)).map_or(name, |at| &name[..at])
}

/// `NAME+LEFT-DONE`.
fn tries(stem: &str) -> Option<(&str, (u64, u64))> {
    let (id, counters) = stem.rsplit_once('+')?;
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (left, done) = counters.split_once('-').unwrap_or((counters, "0"));
    Some((id, (number(left)?, number(done)?)))
}

/// The order of entries in the menu. Sources: UAPI.1, "Sorting"; systemd 252, src/boot/efi/boot.c,
/// config_entry_compare.
pub fn order(a: &LoaderEntry, b: &LoaderEntry) -> Ordering {
    let by_key = || match (&a.sort_key, &b.sort_key) {
        (Some(one), Some(other)) => one
            .cmp(other)
            .then_with(|| a.machine_id.cmp(&b.machine_id))
            .then_with(|| compare_versions(&b.version, &a.version)),
        (one, other) => one.is_none().cmp(&other.is_none()),
    };
    let by_tries = || match (a.tries, b.tries) {
        (Some((left, done)), Some((other_left, other_done))) => {
            other_left.cmp(&left).then(done.cmp(&other_done))
        }
        _ => Ordering::Equal,
    };
    let id = |entry: &LoaderEntry| entry.id().to_ascii_lowercase();
    a.is_bad()
        .cmp(&b.is_bad())
        .then_with(by_key)
        .then_with(|| compare_versions(&id(b), &id(a)))
        .then_with(by_tries)
        // systemd-boot does not define the order of equal entries. Comparing names makes it deterministic.
        .then_with(|| a.name.cmp(&b.name))
}

/// The `default` setting of loader.conf.
pub fn default_of(settings: &str) -> Option<String> {
    let lines = settings.lines().map(str::trim).filter_map(|line| line.split_once(char::is_whitespace));
    let value = lines.filter(|(key, _)| *key == "default").map(|(_, value)| value.trim()).next_back()?;
    (!value.is_empty()).then(|| stem(value).to_owned())
}

/// Whether the `default` pattern matches an entry ID, with the shell wildcards `*`, `?` and `[…]`. Source:
/// loader.conf(5).
pub fn is_default(glob: &str, id: &str) -> bool {
    matches(&glob.to_ascii_lowercase().into_bytes(), &id.to_ascii_lowercase().into_bytes())
}

fn matches(glob: &[u8], text: &[u8]) -> bool {
    match glob.first() {
        None => text.is_empty(),
        Some(b'*') => (0..=text.len()).any(|skipped| matches(&glob[1..], &text[skipped..])),
        Some(b'?') => !text.is_empty() && matches(&glob[1..], &text[1..]),
        Some(b'[') => {
            let Some(end) = glob.iter().skip(2).position(|byte| *byte == b']').map(|at| at + 2) else {
                return text.first() == Some(&b'[') && matches(&glob[1..], &text[1..]);
            };
            let set = &glob[1..end];
            let (set, negated) = set.strip_prefix(b"!").map_or((set, false), |set| (set, true));
            let is_in = |byte: u8| {
                let mut rest = set;
                while let [first, tail @ ..] = rest {
                    if let [b'-', last, after @ ..] = tail {
                        if (*first..=*last).contains(&byte) {
                            return true;
                        }
                        rest = after;
                    } else if *first == byte {
                        return true;
                    } else {
                        rest = tail;
                    }
                }
                false
            };
            text.first().is_some_and(|byte| is_in(*byte) != negated) && matches(&glob[end + 1..], &text[1..])
        }
        Some(byte) => text.first() == Some(byte) && matches(&glob[1..], &text[1..]),
    }
}

/// The index of the entry that boots by default, in sorted entries: the configured one, unless it cannot be loaded.
pub fn chosen(
    entries: &[LoaderEntry],
    settings: &str,
    can_be_loaded: impl Fn(usize) -> bool,
) -> Option<usize> {
    let default = default_of(settings);
    let is_named = |entry: &LoaderEntry| default.as_ref().is_some_and(|glob| is_default(glob, entry.id()));
    let places = || (0..entries.len()).filter(|index| can_be_loaded(*index));
    places()
        .find(|index| is_named(&entries[*index]))
        .or_else(|| places().find(|index| !entries[*index].is_bad()))
        .or_else(|| places().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(list: &[(&str, &str)]) -> Vec<String> {
        let mut entries: Vec<LoaderEntry> =
            list.iter().map(|(name, text)| LoaderEntry::parse(&format!("{name}.conf"), text)).collect();
        entries.sort_by(order);
        entries.iter().map(|entry| entry.id().to_owned()).collect()
    }

    #[test]
    fn entries_are_sorted_as_in_the_menu() {
        let list = [
            ("a-1", "linux /a"),
            ("debian-6.9", "sort-key debian\nversion 6.9\n"),
            ("b-2", "linux /b"),
            ("debian-6.10", "sort-key debian\nversion 6.10\n"),
        ];
        assert_eq!(sorted(&list), ["debian-6.10", "debian-6.9", "b-2", "a-1"]);
        let without_keys = [("debian-6.1.0-9", ""), ("zzz", ""), ("debian-6.1.0-56", ""), ("aaa", "")];
        assert_eq!(sorted(&without_keys), ["zzz", "debian-6.1.0-56", "debian-6.1.0-9", "aaa"]);
        // An older entry with attempts left comes before a newer one that failed.
        assert_eq!(sorted(&[("b+0-3", "linux /b"), ("a+2", "linux /a")]), ["a", "b"]);
        let machines =
            [("a", "sort-key k\nmachine-id 2\nversion 9"), ("b", "sort-key k\nmachine-id 1\nversion 1")];
        assert_eq!(sorted(&machines), ["b", "a"]);
    }

    #[test]
    fn counters_are_not_part_of_the_id() {
        let entry =
            LoaderEntry::parse("fedora-6.9+3-1.CONF", "linux /l\ninitrd /a /b\noptions a\noptions b\n");
        assert_eq!((entry.id(), entry.tries), ("fedora-6.9", Some((3, 1))));
        assert_eq!((entry.initrds.len(), entry.options.as_str()), (2, "a b"));
        assert_eq!(LoaderEntry::parse("a+b.conf", "").tries, None);
    }

    #[test]
    fn defaults_are_globs() {
        for (glob, id) in
            [("debian-*", "debian-6.1"), ("a*b", "axb"), ("x", "X"), ("d?b[a-c]*", "debby"), ("[!x]", "y")]
        {
            assert!(is_default(glob, id), "{glob} {id}");
        }
        assert!(!is_default("debian-*", "fedora-6.1") && !is_default("[!x]", "x"));
        assert_eq!(default_of("timeout 3\ndefault debian-*.conf\n").as_deref(), Some("debian-*"));
    }

    #[test]
    fn entries_that_cannot_be_loaded_are_skipped() {
        let entries = [LoaderEntry::parse("b.conf", "linux /b"), LoaderEntry::parse("a.conf", "linux /a")];
        assert_eq!(chosen(&entries, "", |_| true), Some(0));
        assert_eq!(chosen(&entries, "default a", |_| true), Some(1));
        assert_eq!(chosen(&entries, "default a", |index| entries[index].id() != "a"), Some(0));
        assert_eq!(chosen(&entries, "", |_| false), None);
    }
}
