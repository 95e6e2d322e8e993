//! The command `test`. Source: GRUB manual, "test".

use super::super::Tracer;
use super::Shell;

/// The result of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// Depends on the machine.
    Either,
}

impl Shell {
    pub(super) fn test(&self, tracer: &Tracer, words: &[&str]) -> Truth {
        let of = |is: bool| if is { Truth::Yes } else { Truth::No };
        let node = |path: &str| {
            let place = self.place(tracer, path)?;
            Some((tracer.volume(place.partition), place))
        };
        match words {
            ["!", rest @ ..] => match self.test(tracer, rest) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                Truth::Either => Truth::Either,
            },
            [a, "=" | "==", b] => of(a == b),
            [a, "!=", b] => of(a != b),
            ["-z", text] => of(text.is_empty()),
            ["-z"] => Truth::Yes,
            ["-n", text] => of(!text.is_empty()),
            ["-n"] | [] => Truth::No,
            ["-e", path] => of(node(path).is_some_and(|(volume, place)| volume.find(&place.path).is_some())),
            ["-f", path] => of(node(path).is_some_and(|(volume, place)| volume.has_file(&place.path))),
            ["-s", path] => of(node(path).is_some_and(|(volume, place)| volume.size(&place.path) > 0)),
            ["-d", path] => of(node(path).is_some_and(|(volume, place)| {
                volume.find(&place.path).is_some() && !volume.has_file(&place.path)
            })),
            [text] => of(!text.is_empty()),
            _ => Truth::Either,
        }
    }
}
