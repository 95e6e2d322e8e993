//! SHA512SUMS: what was published, as `sha512sum -c` reads it, and a detached OpenPGP signature of it.

use crate::tool::{Context, Failure, Invocation, run};
use std::collections::BTreeMap;
use std::path::Path;

pub const SUMS: &str = "SHA512SUMS";
pub const SIGNATURE: &str = "SHA512SUMS.asc";

/// Names with their hashes.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut sums = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let fault =
            || format!("line {}: expected a SHA-512 in hexadecimal, two spaces, a file name", number + 1);
        let (hash, name) = line.split_once(' ').ok_or_else(fault)?;
        // A star stands before the names of files that were read as binary, which all are.
        let name = name.strip_prefix([' ', '*']).ok_or_else(fault)?;
        let is_hash = hash.len() == 128 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash || name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(fault());
        }
        sums.insert(name.to_owned(), hash.to_ascii_lowercase());
    }
    Ok(sums)
}

pub fn render(sums: &BTreeMap<String, String>) -> String {
    sums.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
}

/// Whether gpg has the secret half of a key: before anything is published that it is to sign.
pub fn check_key(key: &str) -> Result<(), Failure> {
    let list = Invocation::new("gpg").args(["--batch", "--list-secret-keys", "--", key]);
    run(&list).map(|_| ()).map_err(|failure| {
        failure
            .context(format!("there is no key `{key}` to sign with"))
            .help("`gpg --list-secret-keys` lists the keys that there are")
    })
}

/// Signs the list in a folder; `key` is what gpg knows it by. A passphrase is gpg's own matter.
pub fn sign(folder: &Path, key: &str) -> Result<(), Failure> {
    let gpg = Invocation::new("gpg")
        .args(["--batch", "--yes", "--armor", "--detach-sign", "--local-user", key, "--output"])
        .arg(folder.join(SIGNATURE))
        .arg(folder.join(SUMS));
    run(&gpg).map(|_| ()).map_err(|failure| {
        failure
            .context(format!("could not sign `{}` with the key `{key}`", folder.join(SUMS).display()))
            .help("`gpg --list-secret-keys` lists the keys that there are")
    })
}

/// Whether the list in a folder is signed by a key of the keyring.
pub fn check_signature(folder: &Path, keyring: &Path) -> Result<(), Failure> {
    let scratch = tempfile::tempdir().context(|| "could not create a temporary folder".to_owned())?;
    let keys = scratch.path().join("keys.gpg");
    let import = Invocation::new("gpg")
        .args(["--batch", "--quiet", "--homedir"])
        .arg(scratch.path())
        .args(["--no-default-keyring", "--no-autostart", "--keyring"])
        .arg(&keys)
        .arg("--import")
        .arg(keyring);
    run(&import).map_err(|failure| failure.context(format!("`{}` has no public keys", keyring.display())))?;
    let check = Invocation::new("gpgv")
        .args(["--homedir"])
        .arg(scratch.path())
        .arg("--keyring")
        .arg(&keys)
        .arg(folder.join(SIGNATURE))
        .arg(folder.join(SUMS));
    run(&check).map(|_| ()).map_err(|failure| {
        failure.context(format!(
            "`{}` is not signed by a key of `{}`",
            folder.join(SUMS).display(),
            keyring.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_and_nonsense_does_not() {
        let hash = "ab".repeat(64);
        let sums =
            BTreeMap::from([("a.img".to_owned(), hash.clone()), ("b c.qcow2".to_owned(), hash.clone())]);
        assert_eq!(parse(&render(&sums)), Ok(sums));
        for bad in ["", " a", "  a", &format!("{hash}  ../a"), &format!("{hash} a"), &format!("{hash}  ")] {
            assert!(parse(&format!("{bad}\n")).is_err(), "{bad:?}");
        }
    }
}
