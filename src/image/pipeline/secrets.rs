//! Reads the secrets of a template from the places named there.

use crate::host::{Context, Failure, hide_variable};
use crate::plan::Secrets;
use crate::template::{Secret, SecretSource, is_crypt_hash};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

/// Reads the password hashes by user name.
pub(super) fn hashes(secrets: &Secrets) -> Result<BTreeMap<String, Secret>, Failure> {
    let mut hashes = BTreeMap::new();
    for (user, source) in &secrets.passwords {
        let what = format!("password of user `{user}`");
        let text = read_secret(&what, source, "a crypt(3) hash")?;
        let hash = text.expose().trim();
        if hash.is_empty() || !is_crypt_hash(hash) {
            return Err(Failure::new(format!("the {what} is not a crypt(3) hash"))
                .help("create a hash with `openssl passwd -6` or `mkpasswd`"));
        }
        hashes.insert(user.clone(), Secret::new(hash.to_owned()));
    }
    Ok(hashes)
}

/// Reads the passphrases by mapping name.
pub(super) fn passphrases(secrets: &Secrets) -> Result<BTreeMap<String, Secret>, Failure> {
    let mut passphrases = BTreeMap::new();
    for (volume, source) in &secrets.passphrases {
        let what = format!("passphrase of `{volume}`");
        let passphrase = read_secret(&what, source, "the passphrase")?.without_line_end();
        if passphrase.expose().is_empty() {
            return Err(Failure::new(format!("the {what} is empty"))
                .help("choose a passphrase of at least one character"));
        }
        passphrases.insert(volume.clone(), passphrase);
    }
    Ok(passphrases)
}

/// Maximum size of a secret in bytes. Passphrases, keys and certificates are much smaller.
const LONGEST_SECRET: u64 = 1 << 20;

/// Returns the text of a secret. `what` names the secret and `wanted` describes the expected value, both for errors.
pub fn read_secret(what: &str, source: &SecretSource, wanted: &str) -> Result<Secret, Failure> {
    match source {
        SecretSource::Inline(text) => Ok(Secret::new(text.clone())),
        SecretSource::File(path) => {
            let context = || format!("could not read the file `{path}` with the {what}");
            let mut text = String::new();
            // The file may be a pipe or an endless device.
            let file = File::open(path).context(context)?;
            file.take(LONGEST_SECRET + 1).read_to_string(&mut text).context(context)?;
            if text.len() as u64 > LONGEST_SECRET {
                return Err(Failure::new(context()).detail(format!("larger than {LONGEST_SECRET} bytes")));
            }
            Ok(Secret::new(text))
        }
        SecretSource::Env(name) => {
            // Hooks and package managers must not see the variable.
            hide_variable(name);
            std::env::var(name).map(Secret::new).map_err(|_| {
                Failure::new(format!("the environment variable `{name}` with the {what} is not set"))
                    .help(format!("set `{name}` to {wanted}"))
            })
        }
    }
}
