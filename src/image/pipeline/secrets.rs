//! Reading the secrets of a template from where it says they are.

use crate::host::{Context, Failure, keep_from_children};
use crate::plan::Secrets;
use crate::template::{Secret, SecretSource, is_crypt_hash};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

/// The users' password hashes.
pub(super) fn hashes(secrets: &Secrets) -> Result<BTreeMap<String, Secret>, Failure> {
    let mut hashes = BTreeMap::new();
    for (user, source) in &secrets.passwords {
        let what = format!("password of user `{user}`");
        let text = read_secret(&what, source, "a crypt(3) hash")?;
        let hash = text.expose().trim();
        if hash.is_empty() || !is_crypt_hash(hash) {
            return Err(Failure::new(format!("the {what} is no crypt(3) hash"))
                .help("make one with `openssl passwd -6` or `mkpasswd`"));
        }
        hashes.insert(user.clone(), Secret::new(hash.to_owned()));
    }
    Ok(hashes)
}

/// The volumes' passphrases.
pub(super) fn passphrases(secrets: &Secrets) -> Result<BTreeMap<String, Secret>, Failure> {
    let mut passphrases = BTreeMap::new();
    for (volume, source) in &secrets.passphrases {
        let what = format!("passphrase of `{volume}`");
        let passphrase = read_secret(&what, source, "the passphrase")?.without_line_end();
        if passphrase.expose().is_empty() {
            return Err(Failure::new(format!("the {what} is empty")).help("an empty one protects nothing"));
        }
        passphrases.insert(volume.clone(), passphrase);
    }
    Ok(passphrases)
}

/// More than any passphrase, key or certificate has.
const LONGEST_SECRET: u64 = 1 << 20;

/// A secret's text; `what` names it, `wanted` says what it should be.
pub fn read_secret(what: &str, source: &SecretSource, wanted: &str) -> Result<Secret, Failure> {
    match source {
        SecretSource::Inline(text) => Ok(Secret::new(text.clone())),
        SecretSource::File(path) => {
            let context = || format!("could not read the file `{path}` with the {what}");
            let mut text = String::new();
            // It may be a pipe, or a device that never ends.
            let file = File::open(path).context(context)?;
            file.take(LONGEST_SECRET + 1).read_to_string(&mut text).context(context)?;
            if text.len() as u64 > LONGEST_SECRET {
                return Err(
                    Failure::new(context()).detail(format!("it has more than {LONGEST_SECRET} bytes"))
                );
            }
            Ok(Secret::new(text))
        }
        SecretSource::Env(name) => {
            // It is for us, not for hooks and package managers.
            keep_from_children(name);
            std::env::var(name).map(Secret::new).map_err(|_| {
                Failure::new(format!("the {what} comes from ${name}, which is not set"))
                    .help(format!("export {name} with {wanted}"))
            })
        }
    }
}
