//! Lines of authorized_keys, as sshd takes them. Source: sshd(8), "AUTHORIZED_KEYS FILE FORMAT".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh_key::{PublicKey, public::KeyData};

/// Types that sshd knows; each also as a certificate. Source: ssh-keygen(1), sshd_config(5), PubkeyAcceptedAlgorithms.
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

/// Options without a value, most of them also with `no-` before them; and those with one.
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
const SETTINGS: &[&str] =
    &["command", "environment", "expiry-time", "from", "permitlisten", "permitopen", "principals", "tunnel"];

/// A line that sshd would take.
#[derive(Debug)]
pub struct AuthorizedKey {
    pub has_comment: bool,
    /// Not of a certificate.
    pub key: Option<KeyData>,
}

/// Every key of a text, or what is wrong with its line. The mark of a byte order that editors put before a text is none of it.
pub fn authorized_keys(text: &str) -> Vec<Result<AuthorizedKey, String>> {
    let lines = without_mark(text).lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| authorized_key(line).map_err(|problem| format!("line {number}: {problem}")))
        .collect()
}

/// Without the mark of a byte order.
pub fn without_mark(text: &str) -> &str {
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
        return Err(format!("the key data is missing after {kind}"));
    }
    let text = format!("{kind} {blob}");
    let key = if kind.ends_with(CERTIFICATE) {
        // Its type and its text are held against each other as sshd does; one for ever is none to the library.
        let decoded = STANDARD.decode(blob).unwrap_or_default();
        let says = decoded.get(4..4 + kind.len()) == Some(kind.as_bytes())
            && decoded.starts_with(&(kind.len() as u32).to_be_bytes());
        if !says {
            return Err(format!("the key data is not a key of type {kind}"));
        }
        None
    } else {
        let key = PublicKey::from_openssh(&text);
        Some(key.map_err(|_| format!("the key data is not a key of type {kind}"))?.key_data().clone())
    };
    Ok(AuthorizedKey { has_comment: !comment.is_empty(), key })
}

fn plain_type(kind: &str) -> Option<&str> {
    let plain = match kind.strip_suffix(CERTIFICATE) {
        // Of the types of hardware keys the company's name comes once.
        Some(plain) => TYPES.iter().find(|known| known.trim_end_matches("@openssh.com") == plain),
        None => TYPES.iter().find(|known| **known == kind),
    };
    plain.copied()
}

/// Up to the first blank outside of quotes, and what follows.
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
            let value = rest
                .strip_prefix("=\"")
                .ok_or_else(|| format!("the option {name} needs a value in quotes"))?;
            let close = (0..value.len())
                .find(|at| value.as_bytes()[*at] == b'"' && (*at == 0 || value.as_bytes()[at - 1] != b'\\'))
                .ok_or_else(|| format!("the value of the option {name} has no closing quote"))?;
            rest = &value[close + 1..];
        } else if !is_flag {
            return Err(format!("`{}` is not an option that sshd supports", shortened(&name)));
        }
        match rest.strip_prefix(',') {
            Some(after) if !after.is_empty() => rest = after,
            None if rest.is_empty() => {}
            _ => return Err(format!("expected a comma after the option {name}")),
        }
    }
    Ok(())
}

/// What stands where a key should may be one that is not for others' eyes.
fn shortened(text: &str) -> String {
    let start: String = text.chars().take(20).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn told(text: &str) -> Vec<Result<bool, String>> {
        authorized_keys(text).into_iter().map(|line| line.map(|key| key.has_comment)).collect()
    }

    #[test]
    fn what_sshd_accepts_is_accepted() {
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
            assert!(told(&line).iter().all(Result::is_ok), "{line}: {:?}", told(&line));
        }
        assert_eq!(told(&format!("# a\n\n{KEY} c\n  {KEY}\n")), [Ok(true), Ok(false)]);
    }

    #[test]
    fn everything_else_says_what_is_wrong() {
        let check = |text: &str, expect: &str| {
            assert_eq!(told(text).pop().unwrap().unwrap_err(), expect);
        };
        check(
            "./key.pub",
            "line 1: `./key.pub` is neither a key type nor a list of options that sshd supports",
        );
        check(&format!("{KEY}\nno-such {KEY}"), "line 2: `no-such` is not an option that sshd supports");
        check(&format!("command=/bin/sh {KEY}"), "line 1: the option command needs a value in quotes");
        check(&format!("no-pty,, {KEY}"), "line 1: `` is not an option that sshd supports");
        check("ssh-ed25519", "line 1: the key data is missing after ssh-ed25519");
        for (bad, kind) in [
            ("ssh-ed25519 AAAA", "ssh-ed25519"),
            ("ssh-ed25519 !!", "ssh-ed25519"),
            (&KEY.replace("ssh-ed25519 ", "ssh-rsa "), "ssh-rsa"),
        ] {
            let problem = told(bad).pop().unwrap().unwrap_err();
            assert!(
                problem.starts_with(&format!("line 1: the key data is not a key of type {kind}")),
                "{problem}"
            );
        }
    }

    #[test]
    fn hardware_keys_are_read() {
        // A hardware key's text: the type, the public key, and the application.
        let field = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        let kind = "sk-ssh-ed25519@openssh.com";
        let blob = [field(kind.as_bytes()), field(&[7; 32]), field(b"ssh:")].concat();
        let line = format!("{kind} {} token", STANDARD.encode(blob));
        assert!(told(&line).iter().all(Result::is_ok), "{:?}", told(&line));
    }
}
