//! Compares versions. Source: UAPI.10, "Version Format Specification".

use std::cmp::Ordering;

fn at(text: &[u8]) -> u8 {
    text.first().copied().unwrap_or(0)
}

/// Splits a text after the leading bytes that match.
fn split(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len()))
}

/// Order of characters, oldest first: `~`, end of text, `-`, `^`, `.`, all others.
pub fn compare(one: &str, other: &str) -> Ordering {
    let counts = |byte: &u8| byte.is_ascii_alphanumeric() || b"~-^.".contains(byte);
    let (mut a, mut b) = (one.as_bytes(), other.as_bytes());
    loop {
        a = split(a, |byte| !counts(byte)).1;
        b = split(b, |byte| !counts(byte)).1;
        // If only one version has the mark, that one is older.
        let marked = |mark: u8| (at(b) == mark).cmp(&(at(a) == mark));
        if at(a) == b'~' || at(b) == b'~' {
            if at(a) != at(b) {
                return marked(b'~');
            }
            (a, b) = (&a[1..], &b[1..]);
            continue;
        }
        if a.is_empty() || b.is_empty() {
            return at(a).cmp(&at(b));
        }
        if let Some(mark) = b"-^.".iter().copied().find(|mark| at(a) == *mark || at(b) == *mark) {
            if at(a) != at(b) {
                return marked(mark);
            }
            (a, b) = (&a[1..], &b[1..]);
            continue;
        }
        let order = if at(a).is_ascii_digit() || at(b).is_ascii_digit() {
            let digits = |text| {
                let text = split(text, |byte| *byte == b'0').1;
                split(text, u8::is_ascii_digit)
            };
            let ((x, rest_a), (y, rest_b)) = (digits(a), digits(b));
            (a, b) = (rest_a, rest_b);
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            let ((x, rest_a), (y, rest_b)) =
                (split(a, u8::is_ascii_alphabetic), split(b, u8::is_ascii_alphabetic));
            (a, b) = (rest_a, rest_b);
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// In ascending order: examples of the specification, and kernel versions.
    const RISING: &[&[&str]] = &[
        &["~", "", "1"],
        &[
            "~1",
            "",
            "ab",
            "abb",
            "abc",
            "0001",
            "002",
            "12",
            "122",
            "122.9",
            "123~rc1",
            "123",
            "123-a",
            "123-a.1",
            "123-a1",
            "123-a1.1",
            "123-3",
            "123-3.1",
            "123^patch1",
            "123^1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124",
        ],
        &["11~rc1", "11", "11-1", "11^post", "11.1", "12"],
        &["6.1.0-9", "6.1.0-56", "6.9.0-1", "6.10.0-1"],
        &["122.1", "123~rc1-1", "123~rc1-2", "123", "123-1", "123-1.1", "123.1-1", "124-1"],
    ];

    #[test]
    fn versions_are_compared_as_specified() {
        for list in RISING {
            for (index, one) in list.iter().enumerate() {
                for (other_index, other) in list.iter().enumerate() {
                    assert_eq!(compare(one, other), index.cmp(&other_index), "{one} {other}");
                }
            }
        }
        // Characters that are not allowed in versions are ignored.
        for (one, other) in [
            ("11", "11"),
            ("systemd-123", "systemd-123"),
            ("bar-123", "bar-0123"),
            ("11α", "11β"),
            ("1_2", "1 2"),
        ] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn comparison_is_a_total_order(mut list in prop::collection::vec("[0-2ab~^._-]{0,5}", 3)) {
            list.sort_by(|one, other| compare(one, other));
            prop_assert!(compare(&list[0], &list[2]).is_le());
            prop_assert_eq!(compare(&list[0], &list[1]), compare(&list[1], &list[0]).reverse());
        }
    }
}
