//! `ister verify SHA512SUMS`

use super::console::print;
use super::input::count;
use super::run::Outcome;
use crate::host::{Context, Progress};
use crate::image::format::sums::{SIGNATURE, Signed, check_signature, parse};
use crate::image::sha512;
use std::path::Path;

/// Checks the files next to a list against it, and the signature of the list.
pub(super) fn verify(
    list: &Path,
    keyring: Option<&Path>,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let text = std::fs::read_to_string(list).context(|| format!("could not read `{}`", list.display()))?;
    let sums = match parse(&text) {
        Ok(sums) => sums,
        Err(why) => {
            print(&format!("{}: damaged: {why}\n", list.display()));
            return Ok(Outcome::Findings);
        }
    };
    let directory = match list.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut bad = 0;
    let mut result = |name: &str, what: &str| {
        bad += usize::from(what != "good");
        print(&format!("{name}: {what}\n"));
    };
    match keyring {
        Some(keyring) => match check_signature(directory, keyring)? {
            Signed::By(_) => result(SIGNATURE, "good"),
            Signed::Not(why) => result(SIGNATURE, &format!("INVALID signature: {why}")),
        },
        None => progress.warn("the signature is not checked; use --signed-by FILE to check it"),
    }
    for (name, expected) in &sums {
        let path = directory.join(name);
        if !path.is_file() {
            result(name, "missing");
            continue;
        }
        progress.begin(format!("hashing {name}"));
        result(name, if sha512(&path)? == *expected { "good" } else { "WRONG CHECKSUM" });
    }
    print(&match bad {
        0 => format!("{} verified\n", count(sums.len(), "file")),
        bad => format!("{bad} of {} failed\n", count(sums.len() + usize::from(keyring.is_some()), "check")),
    });
    Ok(if bad == 0 { Outcome::Fine } else { Outcome::Findings })
}
