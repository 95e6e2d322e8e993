//! SHA512SUMS: the checksums of published files for `sha512sum -c`, and its detached OpenPGP signature.

use crate::host::{Context, Failure, Invocation, inherited_name, run, run_any_status};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

pub const SUMS: &str = "SHA512SUMS";
pub const SIGNATURE: &str = "SHA512SUMS.asc";

/// Returns whether a published file can have this name: it must fit in a line of the list and be in the same
/// directory.
pub fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c == '/' || c == '\\' || c.is_control();
    !name.is_empty() && !name.starts_with('.') && !name.contains(is_odd) && ![SUMS, SIGNATURE].contains(&name)
}

/// Parses a list into names and hashes.
///
/// # Errors
/// A line is invalid, the list is empty, or a file has two hashes.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut sums = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let invalid_line =
            || format!("line {}: expected a SHA-512 in hexadecimal, two spaces, a file name", number + 1);
        let (hash, name) = line.split_once(' ').ok_or_else(invalid_line)?;
        // An asterisk before the name marks binary mode, which is the same as text mode on Linux.
        let name = name.strip_prefix([' ', '*']).ok_or_else(invalid_line)?;
        let is_hash = hash.len() == 128 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash || !is_name(name) {
            return Err(invalid_line());
        }
        let hash = hash.to_ascii_lowercase();
        if sums.insert(name.to_owned(), hash.clone()).is_some_and(|earlier| earlier != hash) {
            return Err(format!("line {}: duplicate entry for `{name}` with a different hash", number + 1));
        }
    }
    if sums.is_empty() { Err("the list is empty".to_owned()) } else { Ok(sums) }
}

pub fn render(sums: &BTreeMap<String, String>) -> String {
    sums.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
}

/// Creates a detached signature of a list with the gpg key `key`. gpg asks for a passphrase if necessary.
///
/// # Errors
/// The key does not exist or cannot sign; the error contains gpg's message.
pub fn sign(list: &str, key: &str) -> Result<Vec<u8>, Failure> {
    let context = || "could not pass the list to gpg".to_owned();
    let mut file = tempfile::tempfile().context(context)?;
    file.write_all(list.as_bytes()).context(context)?;
    let gpg = Invocation::new("gpg")
        .args(["--batch", "--armor", "--detach-sign", "--local-user", key, "--output", "-"])
        .arg(inherited_name(&file))
        .inheriting(&file)?;
    let signed = run(&gpg).map_err(|failure| {
        failure
            .context(format!("could not sign with the key `{key}`"))
            .help("`gpg --list-secret-keys` lists the available keys and when they expire")
    })?;
    Ok(signed.stdout)
}

/// Result of checking a signature.
#[derive(Debug, PartialEq, Eq)]
pub enum Signed {
    /// Valid signature, with the fingerprint of the primary key.
    By(String),
    /// Not validly signed, with the reason.
    Not(String),
}

/// Checks that the list in a directory is signed by a key of the keyring. Signatures by revoked or expired keys are
/// invalid.
///
/// # Errors
/// The keyring has no keys, or gpg could not be run.
pub fn check_signature(directory: &Path, keyring: &Path) -> Result<Signed, Failure> {
    let scratch = tempfile::tempdir().context(|| "could not create a temporary directory".to_owned())?;
    let gpg = || {
        Invocation::new("gpg")
            .args(["--batch", "--quiet", "--no-autostart", "--trust-model", "always", "--homedir"])
            .arg(scratch.path())
    };
    run(&gpg().arg("--import").arg(keyring)).map_err(|failure| {
        failure.context(format!("could not import public keys from `{}`", keyring.display()))
    })?;
    let (signature, list) = (directory.join(SIGNATURE), directory.join(SUMS));
    if !signature.exists() {
        return Ok(Signed::Not("the signature is missing".to_owned()));
    }
    let check = gpg().args(["--status-fd", "1", "--verify"]).arg(signature).arg(list);
    let finished = run_any_status(&check)?;
    Ok(judge(&String::from_utf8_lossy(&finished.stdout)))
}

/// Checks that a list is signed with the same key as `ours`, a signature of empty data. Keys are compared by the
/// fingerprint of the primary key, because names of keys can be chosen freely.
///
/// # Errors
/// gpg could not be run.
pub fn is_signed_like(ours: &[u8], list: &str, signature: &Path) -> Result<Signed, Failure> {
    let context = || "could not pass the list to gpg".to_owned();
    let scratch = tempfile::tempdir().context(context)?;
    let at = |name: &str| scratch.path().join(name);
    for (name, bytes) in [("nothing", &b""[..]), ("ours", ours), (SUMS, list.as_bytes())] {
        std::fs::write(at(name), bytes).context(context)?;
    }
    if !signature.exists() {
        return Ok(Signed::Not("the signature is missing".to_owned()));
    }
    let signer = |signature: &Path, list: &Path| -> Result<Signed, Failure> {
        let gpg = Invocation::new("gpg").args(["--batch", "--quiet", "--trust-model", "always"]);
        let finished = run_any_status(&gpg.args(["--status-fd", "1", "--verify"]).arg(signature).arg(list))?;
        Ok(judge(&String::from_utf8_lossy(&finished.stdout)))
    };
    let ours = signer(&at("ours"), &at("nothing"))?;
    let theirs = signer(signature, &at(SUMS))?;
    Ok(match (ours, theirs) {
        (Signed::By(ours), Signed::By(theirs)) if ours != theirs => {
            Signed::Not(format!("the signature is by the key {theirs}"))
        }
        (Signed::Not(why), Signed::By(_)) => Signed::Not(why),
        (_, theirs) => theirs,
    })
}

/// Returns the fingerprint of the primary key, the last word of VALIDSIG. Source: GnuPG, doc/DETAILS.
fn primary_key(status: &str) -> String {
    let valid = status.lines().find(|line| line.starts_with("[GNUPG:] VALIDSIG "));
    valid.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
}

/// Evaluates the status lines of gpg. Source: GnuPG, doc/DETAILS, "General status codes" and "Signature related".
fn judge(status: &str) -> Signed {
    let words = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")?.split(' ').next());
    let keywords: Vec<&str> = words.collect();
    let bad = [
        ("BADSIG", "the signature does not match the list"),
        ("REVKEYSIG", "the key of the signature was revoked"),
        ("EXPKEYSIG", "the key of the signature has expired"),
        ("EXPSIG", "the signature has expired"),
        ("NO_PUBKEY", "the key of the signature is not in the keyring"),
        ("ERRSIG", "the signature could not be checked"),
    ];
    if let Some((_, why)) = bad.iter().find(|(word, _)| keywords.contains(word)) {
        return Signed::Not((*why).to_owned());
    }
    if keywords.contains(&"GOODSIG") && keywords.contains(&"VALIDSIG") {
        return Signed::By(primary_key(status));
    }
    Signed::Not("invalid signature file".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_parsed_and_invalid_lists_rejected() {
        let hash = "ab".repeat(64);
        let sums =
            BTreeMap::from([("a.img".to_owned(), hash.clone()), ("b c.qcow2".to_owned(), hash.clone())]);
        assert_eq!(parse(&render(&sums)), Ok(sums));
        let other = "cd".repeat(64);
        for bad in [
            "",
            " a",
            "  a",
            &format!("{hash}  ../a"),
            &format!("{hash} a"),
            &format!("{hash}  "),
            &format!("{hash}  \x1b[2K.img"),
            &format!("{hash}  {SUMS}"),
            &format!("{hash}  a\n{other}  a"),
        ] {
            assert!(parse(&format!("{bad}\n")).is_err(), "{bad:?}");
        }
        assert_eq!(parse(""), Err("the list is empty".to_owned()));
    }

    #[test]
    fn signatures_by_revoked_keys_are_invalid() {
        let valid = "[GNUPG:] VALIDSIG 00 2026-01-01\n";
        assert!(matches!(judge(&format!("[GNUPG:] GOODSIG 00 a\n{valid}")), Signed::By(_)));
        assert_eq!(
            judge(&format!("[GNUPG:] REVKEYSIG 00 a\n{valid}")),
            Signed::Not("the key of the signature was revoked".to_owned())
        );
        // All signatures must be valid.
        let two = format!("[GNUPG:] GOODSIG 00 a\n{valid}[GNUPG:] EXPKEYSIG 01 b\n{valid}");
        assert!(matches!(judge(&two), Signed::Not(_)));
        assert!(matches!(judge(""), Signed::Not(_)));
    }
}
