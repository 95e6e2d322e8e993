//! Parser for authorized_keys lines. Source: sshd(8), "AUTHORIZED_KEYS FILE FORMAT".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh_key::{PublicKey, public::KeyData};

/// Key types that sshd supports, each also as a certificate. Source: ssh-keygen(1), sshd_config(5),
/// PubkeyAcceptedAlgorithms.
const TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// Options without a value, most of which can also have the prefix `no-`.
const FLAGS: &[&str] = &[
    "agent-forwarding",
    "cert-authority",
    "port-forwarding",
    "pty",
    "restrict",
    "touch-required",
    "user-rc",
    "verify-required",
    "x11-forwarding",
];
/// Options with a value.
const SETTINGS: &[&str] =
    &["command", "environment", "expiry-time", "from", "permitlisten", "permitopen", "principals", "tunnel"];

/// A line that sshd accepts.
#[derive(Debug)]
pub struct AuthorizedKey {
    pub has_comment: bool,
    /// The key; `None` for certificates.
    pub key: Option<KeyData>,
}

/// Parses all keys in a text, with an error for each invalid line. A byte order mark is ignored.
pub fn authorized_keys(text: &str) -> Vec<Result<AuthorizedKey, String>> {
    let lines = strip_byte_order_mark(text).lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| authorized_key(line).map_err(|problem| format!("line {number}: {problem}")))
        .collect()
}

/// Removes a byte order mark.
pub fn strip_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn authorized_key(line: &str) -> Result<AuthorizedKey, String> {
    let (first, rest) = split(line);
    let (kind, rest) = match plain_type(first) {
        Some(_) => (first, rest),
        None => {
            let (kind, after) = split(rest);
            if plain_type(kind).is_none() {
                return Err(format!(
                    "`{}` is neither a key type nor a list of options that sshd supports",
                    shortened(first)
                ));
            }
            options(first)?;
            (kind, after)
        }
    };
    let (blob, comment) = split(rest);
    if blob.is_empty() {
        return Err(format!("missing key data after `{kind}`"));
    }
    let text = format!("{kind} {blob}");
    let key = if kind.ends_with(CERTIFICATE) {
        // Compare the type with the key data, as sshd does. The library does not support certificates without an end
        // date.
        let decoded = STANDARD.decode(blob).unwrap_or_default();
        let matches = decoded.get(4..4 + kind.len()) == Some(kind.as_bytes())
            && decoded.starts_with(&(kind.len() as u32).to_be_bytes());
        if !matches {
            return Err(format!("invalid key data for a key of type `{kind}`"));
        }
        None
    } else {
        let key = PublicKey::from_openssh(&text);
        Some(key.map_err(|_| format!("invalid key data for a key of type `{kind}`"))?.key_data().clone())
    };
    Ok(AuthorizedKey { has_comment: !comment.is_empty(), key })
}

fn plain_type(kind: &str) -> Option<&str> {
    let plain = match kind.strip_suffix(CERTIFICATE) {
        // Certificate types of hardware keys contain `@openssh.com` only once.
        Some(plain) => TYPES.iter().find(|known| known.trim_end_matches("@openssh.com") == plain),
        None => TYPES.iter().find(|known| **known == kind),
    };
    plain.copied()
}

/// Splits at the first white space outside of quotes.
fn split(text: &str) -> (&str, &str) {
    let mut in_quotes = false;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        if character == '"' && before != '\\' {
            in_quotes = !in_quotes;
        } else if character.is_whitespace() && !in_quotes {
            return (&text[..at], text[at..].trim_start());
        }
        before = character;
    }
    (text, "")
}

fn options(text: &str) -> Result<(), String> {
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['=', ',']).unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        let is_setting = SETTINGS.contains(&name.as_str());
        let is_flag = FLAGS.contains(&name.as_str())
            || name.strip_prefix("no-").is_some_and(|name| FLAGS.contains(&name));
        if is_setting {
            let value =
                rest.strip_prefix("=\"").ok_or_else(|| format!("option `{name}` needs a value in quotes"))?;
            let close = (0..value.len())
                .find(|at| value.as_bytes()[*at] == b'"' && (*at == 0 || value.as_bytes()[at - 1] != b'\\'))
                .ok_or_else(|| format!("missing closing quote after the value of option `{name}`"))?;
            rest = &value[close + 1..];
        } else if !is_flag {
            return Err(format!("unsupported option `{}`", shortened(&name)));
        }
        match rest.strip_prefix(',') {
            Some(after) if !after.is_empty() => rest = after,
            None if rest.is_empty() => {}
            _ => return Err(format!("expected a comma after option `{name}`")),
        }
    }
    Ok(())
}

/// The beginning of a text, because the text could be a private key.
fn shortened(text: &str) -> String {
    let start: String = text.chars().take(20).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn parsed(text: &str) -> Vec<Result<bool, String>> {
        authorized_keys(text).into_iter().map(|line| line.map(|key| key.has_comment)).collect()
    }

    #[test]
    fn valid_lines_are_accepted() {
        for line in [
            KEY.to_owned(),
            format!("{KEY} ada@example with blanks"),
            format!("no-pty {KEY} c"),
            format!(
                r#"from="10.0.0.0/8,*.example",command="/bin/echo \"a b\"",no-X11-forwarding,restrict,pty {KEY} c"#
            ),
            format!("cert-authority,principals=\"ada\" {KEY}"),
            format!("\u{feff}{KEY}"),
        ] {
            assert!(parsed(&line).iter().all(Result::is_ok), "{line}: {:?}", parsed(&line));
        }
        assert_eq!(parsed(&format!("# a\n\n{KEY} c\n  {KEY}\n")), [Ok(true), Ok(false)]);
    }

    #[test]
    fn invalid_lines_are_reported() {
        let check = |text: &str, expect: &str| {
            assert_eq!(parsed(text).pop().unwrap().unwrap_err(), expect);
        };
        check(
            "./key.pub",
            "line 1: `./key.pub` is neither a key type nor a list of options that sshd supports",
        );
        check(&format!("{KEY}\nno-such {KEY}"), "line 2: unsupported option `no-such`");
        check(&format!("command=/bin/sh {KEY}"), "line 1: option `command` needs a value in quotes");
        check(&format!("no-pty,, {KEY}"), "line 1: unsupported option ``");
        check("ssh-ed25519", "line 1: missing key data after `ssh-ed25519`");
        for (bad, kind) in [
            ("ssh-ed25519 AAAA", "ssh-ed25519"),
            ("ssh-ed25519 !!", "ssh-ed25519"),
            (&KEY.replace("ssh-ed25519 ", "ssh-rsa "), "ssh-rsa"),
        ] {
            let problem = parsed(bad).pop().unwrap().unwrap_err();
            assert!(
                problem.starts_with(&format!("line 1: invalid key data for a key of type `{kind}`")),
                "{problem}"
            );
        }
    }

    #[test]
    fn hardware_keys_are_accepted() {
        // The key data of a hardware key: type, public key and application.
        let field = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        let kind = "sk-ssh-ed25519@openssh.com";
        let blob = [field(kind.as_bytes()), field(&[7; 32]), field(b"ssh:")].concat();
        let line = format!("{kind} {} token", STANDARD.encode(blob));
        assert!(parsed(&line).iter().all(Result::is_ok), "{:?}", parsed(&line));
    }
}
