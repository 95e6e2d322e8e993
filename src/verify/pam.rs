//! The PAM stack of a service. Source: pam.conf(5); Debian's pam-auth-update adds `@include`.

use super::system::System;

/// A line of a stack, with included files resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `auth`, `account`, `password` or `session`.
    pub kind: String,
    /// File name or path of the module.
    pub module: String,
    /// The stack does not depend on the module.
    pub is_optional: bool,
}

/// Modules of `auth` that only restrict or delay a login.
const HELPERS: [&str; 7] =
    ["pam_faildelay", "pam_group", "pam_securetty", "pam_nologin", "pam_issue", "pam_env", "pam_deny"];

impl Line {
    /// Whether the module can accept a user.
    pub(super) fn authenticates(&self) -> bool {
        let name = self.module.rsplit('/').next().unwrap_or_default().trim_end_matches(".so");
        self.kind == "auth" && !HELPERS.contains(&name)
    }
}

/// Directories of service files, in order of precedence.
const SERVICES: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d"];
/// Directories of modules.
const MODULES: [&str; 5] = [
    "/lib/x86_64-linux-gnu/security",
    "/usr/lib/x86_64-linux-gnu/security",
    "/lib64/security",
    "/usr/lib64/security",
    "/lib/security",
];
/// Includes that lead to further includes.
const DEEPEST: usize = 8;

fn service(system: &System, name: &str) -> Option<String> {
    SERVICES.iter().find_map(|directory| system.text(&format!("{directory}/{name}")))
}

/// All lines of a service. Missing files are left out.
pub(super) fn stack(system: &System, name: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    add(&|name| service(system, name), name, None, 0, &mut lines);
    lines
}

fn add(
    read: &dyn Fn(&str) -> Option<String>,
    name: &str,
    only: Option<&str>,
    depth: usize,
    lines: &mut Vec<Line>,
) {
    let Some(text) = read(name).filter(|_| depth < DEEPEST) else { return };
    // A backslash continues a line.
    for line in text.replace("\\\n", " ").lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(other) = line.strip_prefix("@include") {
            add(read, other.trim(), only, depth + 1, lines);
            continue;
        }
        let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let bare = kind.trim_start_matches('-');
        if only.is_some_and(|only| only != bare) {
            continue;
        }
        let rest = rest.trim_start();
        let (control, rest) = match rest.strip_prefix('[') {
            Some(inside) => inside.split_once(']').unwrap_or((inside, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        let Some(module) = rest.split_whitespace().next() else { continue };
        if matches!(control, "include" | "substack") {
            add(read, module, Some(bare), depth + 1, lines);
            continue;
        }
        // One of several methods may fail, but local accounts need this one.
        let is_alternative = control.contains("default=ignore") && !module.ends_with("pam_unix.so");
        let is_optional = kind.starts_with('-') || control == "optional" || is_alternative;
        lines.push(Line { kind: bare.to_owned(), module: module.to_owned(), is_optional });
    }
}

/// The path of a module; nothing if it does not exist.
pub(super) fn module(system: &System, name: &str) -> Option<String> {
    if name.starts_with('/') {
        return system.exists(name).then(|| name.to_owned());
    }
    MODULES.iter().map(|directory| format!("{directory}/{name}")).find(|path| system.exists(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_resolved() {
        let read = |name: &str| {
            let text = match name {
                "login" => {
                    "# a comment\nauth optional pam_faildelay.so delay=3\n@include common-auth\n\
                            account include system\n-session optional pam_systemd.so\n"
                }
                "common-auth" => {
                    "auth [success=1 \\\n default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\n"
                }
                "system" => "auth required pam_env.so\naccount required /lib/security/pam_nologin.so\n",
                "loop" => "@include loop\nauth required pam_permit.so\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let lines = |name: &str| {
            let mut lines = Vec::new();
            add(&read, name, None, 0, &mut lines);
            lines
                .into_iter()
                .map(|line| format!("{} {} {}", line.kind, line.module, line.is_optional))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines("login"),
            [
                "auth pam_faildelay.so true",
                "auth pam_unix.so false",
                "auth pam_deny.so false",
                "account /lib/security/pam_nologin.so false",
                "session pam_systemd.so true",
            ]
        );
        assert_eq!(lines("loop").len(), DEEPEST);
        assert!(lines("other").is_empty());
    }
}
