//! SHA512SUMS: what was published, as `sha512sum -c` reads it, and a detached OpenPGP signature of it.

use crate::host::{Context, Failure, Invocation, inherited_name, run, run_to_its_end};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

pub const SUMS: &str = "SHA512SUMS";
pub const SIGNATURE: &str = "SHA512SUMS.asc";

/// Whether a published file can be called that: one line of a list, beside the list.
pub fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c == '/' || c == '\\' || c.is_control();
    !name.is_empty() && !name.starts_with('.') && !name.contains(is_odd) && ![SUMS, SIGNATURE].contains(&name)
}

/// Names with their hashes.
///
/// # Errors
/// A line that is none, nothing at all, and two hashes of one file.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut sums = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let fault =
            || format!("line {}: expected a SHA-512 in hexadecimal, two spaces, a file name", number + 1);
        let (hash, name) = line.split_once(' ').ok_or_else(fault)?;
        // A star stands before the names of files that were read as binary, which all are.
        let name = name.strip_prefix([' ', '*']).ok_or_else(fault)?;
        let is_hash = hash.len() == 128 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash || !is_name(name) {
            return Err(fault());
        }
        let hash = hash.to_ascii_lowercase();
        if sums.insert(name.to_owned(), hash.clone()).is_some_and(|earlier| earlier != hash) {
            return Err(format!("line {}: another hash of `{name}` stands above", number + 1));
        }
    }
    if sums.is_empty() { Err("it lists nothing".to_owned()) } else { Ok(sums) }
}

pub fn render(sums: &BTreeMap<String, String>) -> String {
    sums.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
}

/// A detached signature of a list; `key` is what gpg knows it by. A passphrase is gpg's own matter.
///
/// # Errors
/// There is no such key, or it does not sign any more: gpg says which.
pub fn sign(list: &str, key: &str) -> Result<Vec<u8>, Failure> {
    let context = || "could not hand the list to gpg".to_owned();
    let mut file = tempfile::tempfile().context(context)?;
    file.write_all(list.as_bytes()).context(context)?;
    let gpg = Invocation::new("gpg")
        .args(["--batch", "--armor", "--detach-sign", "--local-user", key, "--output", "-"])
        .arg(inherited_name(&file))
        .inheriting(&file)?;
    let signed = run(&gpg).map_err(|failure| {
        failure
            .context(format!("could not sign with the key `{key}`"))
            .help("`gpg --list-secret-keys` lists the keys that there are, and until when they sign")
    })?;
    Ok(signed.stdout)
}

/// What a signature is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Signed {
    /// The fingerprint of the primary key.
    By(String),
    /// Why it is not.
    Not(String),
}

/// Whether the list in a directory is signed by a key of the keyring: if not, why. Keys that were revoked, or have expired, sign
/// nothing.
///
/// # Errors
/// There are no keys, or gpg cannot be asked.
pub fn check_signature(directory: &Path, keyring: &Path) -> Result<Signed, Failure> {
    let scratch = tempfile::tempdir().context(|| "could not create a temporary directory".to_owned())?;
    let gpg = || {
        Invocation::new("gpg")
            .args(["--batch", "--quiet", "--no-autostart", "--trust-model", "always", "--homedir"])
            .arg(scratch.path())
    };
    run(&gpg().arg("--import").arg(keyring))
        .map_err(|failure| failure.context(format!("`{}` has no public keys", keyring.display())))?;
    let (signature, list) = (directory.join(SIGNATURE), directory.join(SUMS));
    if !signature.exists() {
        return Ok(Signed::Not("there is no signature".to_owned()));
    }
    let check = gpg().args(["--status-fd", "1", "--verify"]).arg(signature).arg(list);
    let finished = run_to_its_end(&check)?;
    Ok(judge(&String::from_utf8_lossy(&finished.stdout)))
}

/// Whether a list that was read already is signed by whoever made `ours`, a signature of nothing. By the fingerprint of the primary key:
/// names of keys are anybody's.
///
/// # Errors
/// gpg cannot be asked.
pub fn is_signed_like(ours: &[u8], list: &str, signature: &Path) -> Result<Signed, Failure> {
    let context = || "could not hand the list to gpg".to_owned();
    let scratch = tempfile::tempdir().context(context)?;
    let at = |name: &str| scratch.path().join(name);
    for (name, bytes) in [("nothing", &b""[..]), ("ours", ours), (SUMS, list.as_bytes())] {
        std::fs::write(at(name), bytes).context(context)?;
    }
    if !signature.exists() {
        return Ok(Signed::Not("there is no signature".to_owned()));
    }
    let signer = |signature: &Path, list: &Path| -> Result<Signed, Failure> {
        let gpg = Invocation::new("gpg").args(["--batch", "--quiet", "--trust-model", "always"]);
        let finished = run_to_its_end(&gpg.args(["--status-fd", "1", "--verify"]).arg(signature).arg(list))?;
        Ok(judge(&String::from_utf8_lossy(&finished.stdout)))
    };
    let ours = signer(&at("ours"), &at("nothing"))?;
    let theirs = signer(signature, &at(SUMS))?;
    Ok(match (ours, theirs) {
        (Signed::By(ours), Signed::By(theirs)) if ours != theirs => {
            Signed::Not(format!("it is by the key {theirs}"))
        }
        (Signed::Not(why), Signed::By(_)) => Signed::Not(why),
        (_, theirs) => theirs,
    })
}

/// The last word of VALIDSIG is the fingerprint of the primary key. Source: GnuPG, doc/DETAILS.
fn primary_key(status: &str) -> String {
    let valid = status.lines().find(|line| line.starts_with("[GNUPG:] VALIDSIG "));
    valid.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
}

/// What gpg's status lines come to. Source: GnuPG, doc/DETAILS, "General status codes" and "Signature related".
fn judge(status: &str) -> Signed {
    let words = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")?.split(' ').next());
    let said: Vec<&str> = words.collect();
    let bad = [
        ("BADSIG", "it is of another list"),
        ("REVKEYSIG", "its key was revoked"),
        ("EXPKEYSIG", "its key has expired"),
        ("EXPSIG", "it has expired"),
        ("NO_PUBKEY", "its key is not among those that may sign"),
        ("ERRSIG", "it cannot be checked"),
    ];
    if let Some((_, why)) = bad.iter().find(|(word, _)| said.contains(word)) {
        return Signed::Not((*why).to_owned());
    }
    if said.contains(&"GOODSIG") && said.contains(&"VALIDSIG") {
        return Signed::By(primary_key(status));
    }
    Signed::Not("it is not a signature".to_owned())
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
        assert_eq!(parse(""), Err("it lists nothing".to_owned()));
    }

    #[test]
    fn a_good_signature_by_a_key_that_was_revoked_is_none() {
        let valid = "[GNUPG:] VALIDSIG 00 2026-01-01\n";
        assert!(matches!(judge(&format!("[GNUPG:] GOODSIG 00 a\n{valid}")), Signed::By(_)));
        assert_eq!(
            judge(&format!("[GNUPG:] REVKEYSIG 00 a\n{valid}")),
            Signed::Not("its key was revoked".to_owned())
        );
        // Of two signatures both have to be good.
        let two = format!("[GNUPG:] GOODSIG 00 a\n{valid}[GNUPG:] EXPKEYSIG 01 b\n{valid}");
        assert!(matches!(judge(&two), Signed::Not(_)));
        assert!(matches!(judge(""), Signed::Not(_)));
    }
}
