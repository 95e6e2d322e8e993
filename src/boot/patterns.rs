//! Patterns for console output. They are data, with one file per kind of program in `patterns/`: each row has a regular
//! expression, what a match proves, the source of the text, and a sample line that must match.

use super::verdict::{Class, NoteKind, Stage};
use regex::{Regex, RegexSet};
use serde::Deserialize;
use std::sync::LazyLock;

/// The pattern files. Only a new file has to be added here.
const FILES: [(&str, &str); 19] = [
    ("firmware", include_str!("patterns/firmware.toml")),
    ("mbr", include_str!("patterns/mbr.toml")),
    ("grub", include_str!("patterns/grub.toml")),
    ("systemd-boot", include_str!("patterns/systemd-boot.toml")),
    ("shim", include_str!("patterns/shim.toml")),
    ("syslinux", include_str!("patterns/syslinux.toml")),
    ("netboot", include_str!("patterns/netboot.toml")),
    ("u-boot", include_str!("patterns/u-boot.toml")),
    ("refind", include_str!("patterns/refind.toml")),
    ("windows", include_str!("patterns/windows.toml")),
    ("sac", include_str!("patterns/sac.toml")),
    ("efi-stub", include_str!("patterns/efi-stub.toml")),
    ("unpack", include_str!("patterns/unpack.toml")),
    ("xen", include_str!("patterns/xen.toml")),
    ("bsd", include_str!("patterns/bsd.toml")),
    ("kernel", include_str!("patterns/kernel.toml")),
    ("initramfs", include_str!("patterns/initramfs.toml")),
    ("init", include_str!("patterns/init.toml")),
    ("programs", include_str!("patterns/programs.toml")),
];
const GETTY: (&str, &str) = ("getty", include_str!("patterns/getty.toml"));

/// The kind of program that prints a line. It determines when a pattern can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Speaker {
    /// Until a kernel has started.
    Firmware,
    /// Until a kernel has started.
    Loader,
    /// Only lines of the kernel log.
    Kernel,
    /// Only while no Linux kernel has been seen.
    Bsd,
    /// Until the login prompt.
    Initramfs,
    Init,
    Getty,
    /// Any program: proves nothing.
    Program,
}

/// A condition that the boot monitor reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mark {
    /// All requested units are started.
    Up,
    /// The timer of a job without a time limit: output without progress.
    Clock,
    /// A virtual CPU was not scheduled.
    Stall,
    /// The initramfs switches to the root filesystem.
    LeavesInitramfs,
    /// The kernel started a shell as process 1.
    ShellIsInit,
    /// The menu of systemd-boot, which offers the firmware setup if it has no entries.
    LoaderMenu,
    /// Reasons to check the root filesystem.
    RootFull,
    RootReadOnly,
}

/// A value in a line, captured by the group `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fact {
    Version,
    CommandLine,
}

/// A pattern. `line` matches complete lines, `prompt` matches incomplete lines at which a program waits for input.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pattern {
    line: Option<String>,
    prompt: Option<String>,
    /// A boot stage is reached.
    pub stage: Option<Stage>,
    /// The boot ended, unless output of a later stage follows.
    pub end: Option<Class>,
    /// The boot ended, unless output follows within a few seconds.
    pub waits: Option<Class>,
    /// The seconds for `waits`, 6 by default.
    pub patience: Option<u64>,
    /// The cause if the boot later ends in a shell, a menu or the firmware.
    pub cause: Option<Class>,
    /// A successful end without a getty.
    pub reached: Option<Class>,
    /// The class of `end` applies regardless of the stage that was reached.
    #[serde(default)]
    pub firm: bool,
    /// A problem in a system that boots.
    pub note: Option<NoteKind>,
    pub mark: Option<Mark>,
    pub fact: Option<Fact>,
    /// The number of matches that are required.
    pub times: Option<u32>,
    /// A menu has a countdown, so it does not wait for a key.
    #[serde(default)]
    pub countdown: bool,
    /// A menu was left.
    #[serde(default)]
    pub leaves_menu: bool,
    /// A passphrase prompt for the volume in the group `value`.
    #[serde(default)]
    pub unlock: bool,
    /// A passphrase was rejected.
    #[serde(default)]
    pub refused: bool,
    /// A login prompt.
    #[serde(default)]
    pub login: bool,
    /// Looks like a login prompt, but is not one.
    #[serde(default)]
    pub never_login: bool,
    /// A password prompt.
    #[serde(default)]
    pub password: bool,
    /// A shell prompt.
    #[serde(default)]
    pub shell: bool,
    #[expect(dead_code, reason = "documentation")]
    source: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "only used by tests"))]
    sample: String,
    #[serde(skip, default = "any_speaker")]
    pub speaker: Speaker,
    #[serde(skip)]
    value: Option<Regex>,
}

fn any_speaker() -> Speaker {
    Speaker::Program
}

impl Pattern {
    /// Whether a match can decide.
    pub(super) fn ends(&self) -> bool {
        self.end.is_some() || self.waits.is_some() || self.reached.is_some()
    }

    /// The text captured by the group `value`.
    pub(super) fn value(&self, text: &str) -> Option<String> {
        Some(self.value.as_ref()?.captures(text)?.name("value")?.as_str().to_owned())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    speaker: Speaker,
    pattern: Vec<Pattern>,
}

struct Table {
    patterns: Vec<Pattern>,
    set: RegexSet,
}

impl Table {
    fn new(patterns: Vec<Pattern>, expression: fn(&Pattern) -> Option<&String>) -> Table {
        let patterns: Vec<Pattern> = patterns.into_iter().filter(|p| expression(p).is_some()).collect();
        let set = RegexSet::new(patterns.iter().filter_map(expression)).expect("the patterns are valid");
        Table { patterns, set }
    }

    fn matches(&self, text: &str) -> impl Iterator<Item = &Pattern> {
        self.set.matches(text).into_iter().map(|at| &self.patterns[at])
    }
}

fn load() -> Vec<Pattern> {
    let mut all = Vec::new();
    for (name, text) in FILES.into_iter().chain([GETTY]) {
        let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("patterns/{name}.toml: {error}"));
        for mut pattern in file.pattern {
            pattern.speaker = file.speaker;
            let expression = pattern.line.as_ref().or(pattern.prompt.as_ref());
            let expression = expression.expect("a pattern has `line` or `prompt`");
            if expression.contains("(?<value>") {
                pattern.value = Some(Regex::new(expression).expect("the patterns are valid"));
            }
            all.push(pattern);
        }
    }
    all
}

static LINES: LazyLock<Table> = LazyLock::new(|| Table::new(load(), |pattern| pattern.line.as_ref()));
static PROMPTS: LazyLock<Table> = LazyLock::new(|| Table::new(load(), |pattern| pattern.prompt.as_ref()));

/// The patterns that match a complete line.
pub(super) fn of_line(text: &str) -> impl Iterator<Item = &'static Pattern> {
    LINES.matches(text)
}

/// The patterns that match an incomplete line.
pub(super) fn of_prompt(text: &str) -> impl Iterator<Item = &'static Pattern> {
    PROMPTS.matches(text)
}

/// Whether a text ends with a login prompt.
pub(super) fn is_login_prompt(text: &str) -> bool {
    let mut is_login = false;
    for pattern in of_prompt(text) {
        if pattern.never_login {
            return false;
        }
        is_login |= pattern.login;
    }
    is_login
}

/// Whether a text is a password prompt.
pub(super) fn is_password_prompt(text: &str) -> bool {
    let mut is_password = false;
    for pattern in of_prompt(text) {
        if pattern.never_login || pattern.end.is_some() {
            return false;
        }
        is_password |= pattern.password;
    }
    is_password
}

/// Whether another program than a shell waits at this text.
pub(super) fn is_other_prompt(text: &str) -> bool {
    of_prompt(text).any(|pattern| {
        pattern.never_login || pattern.unlock || pattern.ends() || pattern.login || pattern.password
    })
}

/// Whether a kernel line reports that a virtual CPU was not scheduled.
pub(super) fn is_stall(line: &str) -> bool {
    let line = ConsoleLine::of(line);
    line.origin == Origin::Kernel && of_line(&line.text).any(|pattern| pattern.mark == Some(Mark::Stall))
}

/// The origin of a line, determined by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The kernel log, with a time stamp.
    Kernel,
    /// A program that writes to the kernel log.
    KernelLog,
    /// A program, or a kernel without time stamps.
    Plain,
}

/// A line without the prefix of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConsoleLine {
    pub origin: Origin,
    pub text: String,
}

/// The level, the time stamp, and with CONFIG_PRINTK_CALLER the task. Source: Linux, kernel/printk/printk.c.
const STAMP: &str = r"(?:<\d+>)?\[ *\d{1,7}\.\d{1,9}\](?:\[ *[TC]\d+\])? ";

impl ConsoleLine {
    pub(super) fn of(line: &str) -> ConsoleLine {
        static STAMPED: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(&format!("^(?:{STAMP}|<[0-7]>)")).expect("tested"));
        // The form of syslog(3): a program's name and its process ID. Some programs omit the process ID.
        static PROGRAM: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"^\(?[\w.@/+-]+\)?\[\d+\]: |^(dracut( Warning)?|booster|initramfs|init|procd): ")
                .expect("tested")
        });
        // NetBSD prints seven digits.
        static NETBSD: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"^\[ *\d{1,7}\.\d{7}\] ").expect("tested"));
        if let Some(stamp) = NETBSD.find(line) {
            return ConsoleLine { origin: Origin::Plain, text: line[stamp.end()..].to_owned() };
        }
        match STAMPED.find(line) {
            None => ConsoleLine { origin: Origin::Plain, text: line.to_owned() },
            Some(stamp) => {
                let text = &line[stamp.end()..];
                let origin = if PROGRAM.is_match(text) { Origin::KernelLog } else { Origin::Kernel };
                ConsoleLine { origin, text: text.to_owned() }
            }
        }
    }
}

/// The position at which the kernel or the init system began to print in the middle of another program's line.
pub(super) fn insertion(line: &str) -> Option<usize> {
    // Status lines of systemd. The line of a job that starts begins with nine spaces. Source: systemd, src/core/job.c.
    static INSERTION: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(&format!(
            r"{STAMP}|\[(?:  OK  |FAILED|DEPEND| TIME | INFO |ASSERT| WARN |\*[* ]{{5}}| [* ]{{5}})\] | {{9}}[A-Z][a-z]+ing "
        ))
        .expect("tested")
    });
    INSERTION.find(line).map(|found| found.start()).filter(|start| *start > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_their_samples() {
        for pattern in load() {
            let found: Vec<&Pattern> = match &pattern.line {
                Some(_) => of_line(&pattern.sample).collect(),
                None => of_prompt(&pattern.sample).collect(),
            };
            let expression = pattern.line.as_ref().or(pattern.prompt.as_ref());
            assert!(
                found.iter().any(|other| other.line.as_ref().or(other.prompt.as_ref()) == expression),
                "{expression:?} does not match {:?}",
                pattern.sample
            );
            assert!(pattern.line.is_some() != pattern.prompt.is_some(), "{expression:?}");
        }
    }

    #[test]
    fn login_prompts_of_many_languages() {
        for text in [
            "kvm login: ",
            "kvm login:",
            "login: ",
            "(none) login: ",
            "büro login: ",
            "ACME appliance: kvm login: ",
            "Login:",
            "login as: ",
            "Username: ",
            "kvm Login: ",
            "Anmeldung: ",
            "kvm-tunnus: ",
            "kvm login\u{a0}: ",
            "identifiant\u{a0}: ",
            "Přihlašovací jméno na kvm: ",
            "kvm 用户名：",
            "登录：",
            "ログイン: ",
            "kvm имя пользователя: ",
            "Имя пользователя kvm: ",
            "kvm.example.org login: ",
        ] {
            assert!(is_login_prompt(text), "{text}");
        }
        for text in [
            "Last login: ",
            "Last failed login: ",
            "kvm login: root",
            "Password: ",
            "Automatic login: ",
            "a login: b",
            "",
            "Checking for blogin: ",
        ] {
            assert!(!is_login_prompt(text), "{text}");
        }
    }

    #[test]
    fn password_prompts_of_many_languages() {
        for text in [
            "Password: ",
            "Password:",
            "Passwort: ",
            "Mot de passe\u{a0}: ",
            "Contraseña: ",
            "Пароль: ",
            "パスワード: ",
            "密码：",
            "密碼： ",
            "Mật khẩu : ",
            "Password for nobody: ",
        ] {
            assert!(is_password_prompt(text), "{text}");
        }
        for text in [
            "password authentication: disabled",
            "Give root password for login: ",
            "[sudo] password for deploy: ",
            "Default password: ",
        ] {
            assert!(!is_password_prompt(text), "{text}");
        }
    }

    #[test]
    fn kernel_log_is_distinguished_from_programs() {
        for (line, origin, text) in [
            ("[    1.234567] EXT4-fs (vda3): mounted", Origin::Kernel, "EXT4-fs (vda3): mounted"),
            ("<4>[    1.234567] x", Origin::Kernel, "x"),
            ("[    1.234567][    T1] x", Origin::Kernel, "x"),
            ("<3>x", Origin::Kernel, "x"),
            (
                "[    5.0] systemd[1]: Freezing execution.",
                Origin::KernelLog,
                "systemd[1]: Freezing execution.",
            ),
            (
                "[    9.1] kdump[1]: Kernel panic - not syncing",
                Origin::KernelLog,
                "kdump[1]: Kernel panic - not syncing",
            ),
            ("Kernel panic - not syncing", Origin::Plain, "Kernel panic - not syncing"),
        ] {
            assert_eq!(ConsoleLine::of(line), ConsoleLine { origin, text: text.to_owned() }, "{line}");
        }
        assert_eq!(insertion("kvm login: [   10.123456] x"), Some(11));
        assert_eq!(insertion("kvm login: [  OK  ] Started x."), Some(11));
        assert_eq!(insertion("kvm login:          Starting a.service - A..."), Some(11));
        assert_eq!(insertion("[   10.123456] x"), None);
        assert_eq!(insertion("array[1] x"), None);
    }
}
