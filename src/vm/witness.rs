//! The state machine that watches a boot. Pure: what is seen and when comes in, a decision comes out.

use super::question::{asked_for, is_refusal};
use super::signs::{
    Standing, cause, ending, flaw, is_endless_job, is_login_prompt, is_of_kernel, is_setup_menu, is_stall,
    is_up, stage,
};
use super::text::Lines;
use super::verdict::{Class, Stage, StageTime, Witnessed};
use std::time::Duration;

/// How the boot is meant to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// A getty asks for a login.
    #[default]
    LoginPrompt,
    /// The guest does its work and switches itself off, as an installer does. A prompt may come before.
    PowerOff,
}

impl Goal {
    /// What a boot that came there is called.
    pub fn class(self) -> Class {
        match self {
            Goal::LoginPrompt => Class::LoginPrompt,
            Goal::PowerOff => Class::PoweredOff,
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without anything new on the console or any disk traffic.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
    pub goal: Goal,
}

/// Lines around an end that are kept as its proof.
const PROOF: usize = 12;
/// How long to listen on after an end that is final anyway.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long a prompt must stand: a line that only begins like one goes on at once.
const PROMPT_STANDS: Duration = Duration::from_millis(300);
/// How long a question for a passphrase must stand before it is answered.
const QUESTION_STANDS: Duration = Duration::from_secs(1);
/// Resets by the guest that are no longer a firmware that settles in.
const RESETS: u32 = 3;
/// How long a guest may need to recover from a stall.
const STALL_PATIENCE: Duration = Duration::from_secs(45);
/// How long the serial console must be silent for the screen to be looked at.
const SERIAL_SILENCE: Duration = Duration::from_secs(6);
/// How long nothing has to be said before one types to see whether a getty is there.
const DOUBT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a getty may take to ask, once all is up: it is among the first that are started.
const GETTY_PATIENCE: Duration = Duration::from_secs(60);

pub struct Witness {
    limits: Limits,
    lines: Lines,
    /// The last lines, newest last.
    recent: Vec<String>,
    seen: Vec<(Stage, Duration)>,
    moved: Duration,
    resets: u32,
    stalled: Option<Duration>,
    /// When the last target was reached.
    up: Option<Duration>,
    /// What was said on the way of causes and flaws, with the first line of each.
    causes: Vec<(Class, String)>,
    flaws: Vec<(Class, String)>,
    /// Whether the kernel or what comes after it was heard on the serial console.
    heard_kernel: bool,
    /// When something came from the serial console.
    heard: Duration,
    /// What stood on the screen when it was last looked at.
    screen: Vec<String>,
    witnessed: Witnessed,
    /// An end that is certain, and when it was seen.
    ending: Option<(Class, Duration)>,
    /// Lines that belong to the end.
    proof: Vec<String>,
    /// The volume whose passphrase the guest asks for, and since when.
    question: Option<(String, Duration)>,
    /// Volumes that were answered already.
    answered: Vec<String>,
    /// When something was said right behind a prompt, so that it may have been none: a getty asks again if one types.
    doubted: Option<Duration>,
}

impl Witness {
    pub fn new(limits: Limits) -> Witness {
        Witness {
            limits,
            lines: Lines::default(),
            recent: Vec::new(),
            seen: vec![(Stage::Firmware, Duration::ZERO)],
            moved: Duration::ZERO,
            resets: 0,
            stalled: None,
            up: None,
            causes: Vec::new(),
            flaws: Vec::new(),
            heard_kernel: false,
            heard: Duration::ZERO,
            screen: Vec::new(),
            witnessed: Witnessed::Serial,
            ending: None,
            proof: Vec::new(),
            question: None,
            answered: Vec::new(),
            doubted: None,
        }
    }

    /// What a guest asks for, once: whoever knows the passphrase types it and says so by
    /// [`answered`](Self::answered), or there is [no answer](Self::unanswered). A question has to stand for a moment: who
    /// asks turns the echo off only then.
    pub fn question(&mut self, now: Duration) -> Option<String> {
        let (_, since) = self.question.as_ref()?;
        if now < *since + QUESTION_STANDS {
            return None;
        }
        self.question.take().map(|(volume, _)| volume)
    }

    pub fn answered(&mut self, question: String) {
        self.answered.push(question);
    }

    pub fn unanswered(&mut self, at: Duration) {
        self.end(Class::PassphraseWanted, at, PROOF);
    }

    /// Bytes from the serial console.
    pub fn serial(&mut self, at: Duration, bytes: &[u8]) {
        self.heard = at;
        let mut finished = Vec::new();
        self.lines.feed(bytes, &mut |line| finished.push(line.to_owned()));
        for line in finished {
            self.line(at, line);
        }
        self.prompt(at);
    }

    fn line(&mut self, at: Duration, line: String) {
        self.doubt_prompt(at, &line);
        self.heard_kernel |= is_of_kernel(&line);
        if is_refusal(&line) && !self.answered.is_empty() && self.ending.is_none() {
            self.recent.push(line.clone());
            self.end(Class::PassphraseRefused, at, PROOF);
        }
        if is_stall(&line) {
            self.stalled.get_or_insert(at);
        } else if !is_endless_job(&line) {
            self.moved = at;
        }
        if is_up(&line) {
            self.up.get_or_insert(at);
        }
        notice(&mut self.causes, cause(&line), &line);
        notice(&mut self.flaws, flaw(&line), &line);
        if let Some(stage) = stage(&line) {
            self.reach(stage, at);
        }
        self.recent.push(line);
        if self.recent.len() > 4 * PROOF {
            self.recent.drain(..PROOF);
        }
        let line = self.recent.last().expect("just pushed").clone();
        if let Some((class, _)) = self.ending {
            // The prompt itself stays the last line of a good end.
            if class != Class::LoginPrompt && self.proof.len() < 2 * PROOF {
                self.proof.push(line);
            }
            return;
        }
        // The kernel spoke right behind the prompt, and ended its line.
        if self.limits.goal == Goal::LoginPrompt && is_login_prompt(&line) {
            self.reach(Stage::Login, at);
            self.end(Class::LoginPrompt, at, 1);
        }
        if is_setup_menu(&line) {
            let started = self.stage() >= Stage::Loader;
            self.end(if started { Class::LoaderFailed } else { Class::NoBootableDevice }, at, PROOF);
        }
        if let Some(class) = ending(&line, Standing::Finished) {
            self.end(class, at, PROOF);
        }
    }

    /// What looked like a login prompt was the beginning of another line: it does not count.
    fn doubt_prompt(&mut self, at: Duration, text: &str) {
        let is_prompt = matches!(self.ending, Some((Class::LoginPrompt, _)));
        let began_so = self.proof.last().is_some_and(|prompt| text.starts_with(prompt.as_str()));
        if is_prompt && began_so && !is_login_prompt(text) {
            self.ending = None;
            self.proof.clear();
            self.seen.retain(|(stage, _)| *stage != Stage::Login);
            self.doubted = Some(at);
        }
    }

    /// A line without an end: a prompt, if nothing follows.
    fn prompt(&mut self, at: Duration) {
        let text = self.lines.unfinished();
        if text.is_empty() {
            return;
        }
        self.doubt_prompt(at, &text);
        if !is_endless_job(&text) {
            self.moved = at;
        }
        if let Some(volume) = asked_for(&text) {
            // The echo of an answer, stars or not, comes behind the same question.
            let is_old = |other: &String| volume == other || volume.starts_with(&format!("{other}:"));
            let asked = self.question.as_ref().map(|(volume, _)| volume);
            if !self.answered.iter().chain(asked).any(is_old) {
                self.question = Some((volume.to_owned(), at));
                self.recent.push(text);
            }
            return;
        }
        // A shell's greeting ("Last login: Mon …") may come in pieces too.
        if is_login_prompt(&text) {
            self.reach(Stage::Login, at);
            if self.limits.goal == Goal::LoginPrompt {
                self.recent.push(text);
                self.end(Class::LoginPrompt, at, 1);
            }
            return;
        }
        if let Some(class) = ending(&text, Standing::Open) {
            self.recent.push(text);
            self.end(class, at, PROOF);
        }
    }

    /// Whether to press Enter, once: what looked like a prompt was spoken into, and nothing came since.
    pub fn wants_newline(&mut self, now: Duration) -> bool {
        let wanted = self.doubted.is_some_and(|since| now >= since.max(self.heard) + DOUBT_PATIENCE);
        if wanted {
            self.doubted = None;
        }
        wanted && self.ending.is_none()
    }

    /// Whether the screen has to be looked at: the serial console is silent, and was so since the kernel began. A kernel
    /// that is told to speak there is judged by that alone.
    pub fn wants_screen(&self, now: Duration) -> bool {
        !self.heard_kernel && self.ending.is_none() && now >= self.heard + SERIAL_SILENCE
    }

    /// What stands on the screen now. A cursor that blinks is no news.
    pub fn screen(&mut self, at: Duration, mut lines: Vec<String>) {
        for line in &mut lines {
            line.truncate(line.trim_end_matches(['_', '\u{fffd}']).trim_end().len());
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        if lines == self.screen {
            return;
        }
        let before = std::mem::replace(&mut self.screen, lines.clone());
        let is_new = |line: &&String| !line.is_empty() && !before.contains(line);
        // An endless job's clock and a stalled kernel's complaints are no progress, an empty screen is.
        if !lines.iter().any(|line| is_new(&line)) {
            self.moved = at;
        }
        for line in lines.iter().filter(is_new) {
            if is_stall(line) {
                self.stalled.get_or_insert(at);
            } else if !is_endless_job(line) {
                self.moved = at;
            }
            if is_of_kernel(line) {
                self.witnessed = Witnessed::Screen;
            }
            if let Some(stage) = stage(line) {
                self.reach(stage, at);
            }
            if is_up(line) {
                self.up.get_or_insert(at);
            }
            notice(&mut self.causes, cause(line), line);
            notice(&mut self.flaws, flaw(line), line);
            self.recent.push(line.clone());
            // A picture does not tell whether a line is finished.
            let class = ending(line, Standing::Finished).or_else(|| ending(line, Standing::Open));
            if let Some(class) = class {
                self.witnessed = Witnessed::Screen;
                self.end(class, at, PROOF);
            }
        }
        let Some(last) = lines.iter().rfind(|line| !line.is_empty()) else { return };
        if self.limits.goal == Goal::LoginPrompt && is_login_prompt(&format!("{last} ")) {
            self.witnessed = Witnessed::Screen;
            self.reach(Stage::Login, at);
            self.recent.push(format!("{last} "));
            self.end(Class::LoginPrompt, at, 1);
        }
    }

    /// By what it was judged.
    pub fn witnessed(&self) -> Witnessed {
        self.witnessed
    }

    fn end(&mut self, class: Class, at: Duration, lines: usize) {
        if self.ending.is_some() {
            return;
        }
        let recent = &self.recent[self.recent.len().saturating_sub(lines)..];
        let cause = match class {
            Class::EmergencyShell | Class::InitramfsShell => {
                self.causes.iter().find(|(cause, _)| *cause != Class::LoaderFailed)
            }
            Class::NoBootableDevice | Class::UefiShell => {
                self.causes.iter().find(|(cause, _)| *cause == Class::LoaderFailed)
            }
            Class::LoginPrompt => self.flaws.first(),
            _ => None,
        };
        let loader_gave_up = cause.is_some_and(|(cause, _)| *cause == Class::LoaderFailed);
        // The prompt itself stays the last line, as it does of a good end.
        let before = cause.filter(|(_, line)| !recent.contains(line)).map(|(_, line)| line.clone());
        self.ending = Some((cause.map_or(class, |(class, _)| *class), at));
        self.proof = before.into_iter().chain(recent.iter().cloned()).collect();
        if loader_gave_up {
            self.reach(Stage::Loader, at);
        }
    }

    fn reach(&mut self, stage: Stage, at: Duration) {
        if self.seen.last().is_none_or(|(last, _)| *last < stage) {
            // It goes on: whatever stalled has recovered.
            self.stalled = None;
            self.seen.push((stage, at));
        }
    }

    /// The disk was read or written since last time.
    pub fn disk_moved(&mut self, at: Duration) {
        self.moved = at;
    }

    /// The host had no processor for the guest: in that time it could not say anything.
    pub fn starved(&mut self, time: Duration) {
        self.moved += time;
    }

    /// The guest reset the machine.
    pub fn reset(&mut self, at: Duration) {
        self.moved = at;
        self.resets += 1;
        if self.resets >= RESETS {
            self.end(Class::ResetLoop, at, PROOF);
        } else {
            // What was reached counts again from the beginning, and what was said is of another start.
            self.seen = vec![(Stage::Firmware, at)];
            (self.up, self.stalled, self.question) = (None, None, None);
            self.doubted = None;
            self.answered.clear();
            self.causes.clear();
            self.flaws.clear();
        }
    }

    /// The guest switched the machine off.
    pub fn shut_down(&mut self, at: Duration) {
        self.end(Class::PoweredOff, at, PROOF);
    }

    /// The guest said by pvpanic or by its hypervisor interface that it panicked.
    pub fn panicked(&mut self, at: Duration) {
        self.end(Class::KernelPanic, at, PROOF);
    }

    /// Whether it is decided now, and how.
    pub fn decide(&mut self, now: Duration) -> Option<Class> {
        if let Some((class, at)) = self.ending {
            let settle = if class == Class::LoginPrompt { PROMPT_STANDS } else { SETTLE };
            return (now >= at + settle).then_some(class);
        }
        let stalled = self
            .stalled
            .is_some_and(|since| now >= since + STALL_PATIENCE && now >= self.moved + STALL_PATIENCE);
        let class = if stalled {
            Class::EmulatorStall
        } else if now >= self.limits.total {
            if self.stalled.is_some() { Class::EmulatorStall } else { Class::TooSlow }
        } else if now >= self.moved + self.limits.silence {
            if self.stalled.is_some() { Class::EmulatorStall } else { Class::NoProgress }
        } else if self.limits.goal == Goal::LoginPrompt
            && self.up.is_some_and(|up| now >= up + GETTY_PATIENCE)
        {
            Class::NoGetty
        } else {
            return None;
        };
        // What was not finished is where it stands: the clock of a job, a question.
        let unfinished = self.lines.unfinished();
        let tail = unfinished.rfind("A start job").unwrap_or(0);
        if !unfinished[tail..].trim().is_empty() {
            self.recent.push(unfinished[tail..].to_owned());
        }
        self.end(class, now, PROOF);
        Some(class)
    }

    /// The longest time until [`decide`](Self::decide) could say something new without an observation.
    pub fn patience(&self, now: Duration) -> Duration {
        let next = match self.ending {
            Some((Class::LoginPrompt, at)) => at + PROMPT_STANDS,
            Some((_, at)) => at + SETTLE,
            None => {
                let getty = self.up.map_or(self.limits.total, |up| up + GETTY_PATIENCE);
                (self.moved + self.limits.silence).min(self.limits.total).min(getty)
            }
        };
        let next = self.question.as_ref().map_or(next, |(_, since)| next.min(*since + QUESTION_STANDS));
        next.saturating_sub(now).min(Duration::from_secs(2))
    }

    pub fn stage(&self) -> Stage {
        self.seen.last().map_or(Stage::Firmware, |(stage, _)| *stage)
    }

    pub fn stages(&self, end: Duration) -> Vec<StageTime> {
        let ends = self.seen.iter().skip(1).map(|(_, at)| *at).chain([end]);
        let round = |time: Duration| (time.as_secs_f64() * 100.0).round() / 100.0;
        self.seen
            .iter()
            .zip(ends)
            .map(|((stage, at), end)| StageTime {
                stage: *stage,
                at: round(*at),
                took: round(end.saturating_sub(*at)),
            })
            .collect()
    }

    /// The lines that prove the end.
    pub fn proof(&self) -> Vec<String> {
        let lines = if self.proof.is_empty() { &self.recent } else { &self.proof };
        lines[lines.len().saturating_sub(2 * PROOF)..].to_vec()
    }
}

/// Keeps the first line of each class.
fn notice(kept: &mut Vec<(Class, String)>, class: Option<Class>, line: &str) {
    if let Some(class) = class.filter(|class| !kept.iter().any(|(other, _)| other == class)) {
        kept.push((class, line.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { silence: Duration::from_secs(90), total: Duration::from_secs(600), goal: Goal::LoginPrompt };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Shows a console's text, then lets `patience` seconds pass.
    fn watch(text: &str, patience: u64) -> (Option<Class>, Witness) {
        let mut witness = Witness::new(LIMITS);
        for (second, line) in text.split_inclusive('\n').enumerate() {
            witness.serial(at(second as u64), line.as_bytes());
        }
        let end = text.lines().count() as u64 + patience;
        (witness.decide(at(end)), witness)
    }

    #[test]
    fn a_good_boot_goes_through_its_stages() {
        let (class, witness) = watch(
            "BdsDxe: loading Boot0002 \"UEFI Misc Device\"\r\nBdsDxe: starting Boot0002 \"UEFI Misc Device\" from PciRoot(0x0)\r\n\
             EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path\r\n[    0.000000] Linux version 6.1\r\n\
             Loading, please wait...\r\n[    5.1] systemd[1]: Detected virtualization qemu.\r\n\
             Welcome to \x1b[1mDebian GNU/Linux 12\x1b[0m!\r\n\r\nDebian GNU/Linux 12 kvm ttyS0\r\n\r\nkvm login: ",
            1,
        );
        assert_eq!(class, Some(Class::LoginPrompt));
        assert_eq!(witness.proof(), ["kvm login: "]);
        let stages: Vec<Stage> = witness.stages(at(10)).iter().map(|s| s.stage).collect();
        assert_eq!(
            stages,
            [Stage::Firmware, Stage::Loader, Stage::Kernel, Stage::Initramfs, Stage::Init, Stage::Login]
        );
    }

    #[test]
    fn each_bad_end_has_its_class() {
        for (text, class) in [
            (
                "Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\n\nNo bootable device.\r\n",
                Class::NoBootableDevice,
            ),
            ("BdsDxe: No bootable option or device was found.\r\n", Class::NoBootableDevice),
            ("UEFI Interactive Shell v2.2\r\n\x1b[08;01H\x1b[1mShell> \x1b[0m", Class::UefiShell),
            (
                "Welcome to GRUB!\r\nerror: no such device: 1234.\r\nEntering rescue mode...\r\ngrub rescue> ",
                Class::GrubShell,
            ),
            ("error: file `/boot/vmlinuz' not found.\r\n\nPress any key to continue...", Class::LoaderFailed),
            (
                "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
                Class::KernelPanic,
            ),
            (
                "Gave up waiting for root file system device.\r\nALERT!  PARTUUID=x does not exist.  Dropping to a shell!\r\n\r\n(initramfs) ",
                Class::InitramfsShell,
            ),
            (
                "You are in emergency mode. After logging in, type \"journalctl -xb\"\r\n",
                Class::EmergencyShell,
            ),
            (
                "Give root password for maintenance\r\n(or press Control-D to continue): ",
                Class::EmergencyShell,
            ),
        ] {
            let (got, witness) = watch(text, 3);
            assert_eq!(got, Some(class), "{text}");
            assert!(!witness.proof().is_empty(), "{text}");
        }
    }

    #[test]
    fn a_shell_has_the_class_of_what_brought_it() {
        for (text, class, line) in [
            (
                "[FAILED] Failed to start systemd-fsck@dev-…ck on /dev/disk/by-label/second.\r\n\
                 [DEPEND] Dependency failed for srv.mount - /srv.\r\nYou are in emergency mode.\r\n",
                Class::FsckFailed,
                "[FAILED] Failed to start systemd-fsck@dev-…ck on /dev/disk/by-label/second.",
            ),
            (
                "[ TIME ] Timed out waiting for device dev-x.device - /dev/x.\r\nYou are in emergency mode.\r\n",
                Class::MountFailed,
                "[ TIME ] Timed out waiting for device dev-x.device - /dev/x.",
            ),
            (
                "The root filesystem on /dev/vda3 requires a manual fsck\r\n(initramfs) ",
                Class::FsckFailed,
                "The root filesystem on /dev/vda3 requires a manual fsck",
            ),
            (
                "cp: write error: No space left on device\r\nkvm login: ",
                Class::RootFull,
                "cp: write error: No space left on device",
            ),
            ("Target filesystem doesn't have requested /sbin/init.\r\n", Class::NoInit, ""),
            (
                "    Reboot Into Firmware Interface\r\nBdsDxe: starting Boot0000 \"UiApp\" from Fv(7)\r\n",
                Class::LoaderFailed,
                "    Reboot Into Firmware Interface",
            ),
            (
                "Error preparing initrd: Not Found\r\nUEFI Interactive Shell v2.2\r\nShell> ",
                Class::LoaderFailed,
                "Error preparing initrd: Not Found",
            ),
        ] {
            let (got, witness) = watch(text, 4);
            assert_eq!(got, Some(class), "{text}");
            assert!(line.is_empty() || witness.proof().iter().any(|proof| proof == line), "{text}");
        }
        // What was got over is no cause of what comes later.
        let (got, _) = watch("[ TIME ] Timed out waiting for device dev-x.device\r\nkvm login: ", 4);
        assert_eq!(got, Some(Class::LoginPrompt));
    }

    #[test]
    fn a_system_that_is_up_and_asks_nobody_has_no_getty() {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(5), b"[  OK  ] Reached target multi-user.target - Multi-User System.\r\n");
        for second in 6..65 {
            witness.disk_moved(at(second));
            assert_eq!(witness.decide(at(second)), None);
        }
        assert_eq!(witness.decide(at(65)), Some(Class::NoGetty));
    }

    #[test]
    fn the_clock_of_an_endless_job_is_no_progress() {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"Welcome to Debian!\r\n");
        for second in 2..91 {
            let text = format!("[***   ] A start job is running for hang.service ({second}s / no limit)\r");
            witness.serial(at(second), text.as_bytes());
            assert_eq!(witness.decide(at(second)), None, "{second}");
        }
        assert_eq!(witness.decide(at(92)), Some(Class::NoProgress));
        let proof = witness.proof();
        assert_eq!(proof.last().unwrap(), "A start job is running for hang.service (90s / no limit)");
    }

    #[test]
    fn a_silent_serial_console_leaves_the_screen() {
        let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"EFI stub: Loaded initrd\r\n");
        assert!(!witness.wants_screen(at(2)) && witness.wants_screen(at(7)));
        witness.screen(at(8), text(&["[    1.000000] Linux version 6.1"]));
        witness.screen(at(30), text(&["[    9.000000] x", "Welcome to Debian GNU/Linux 12!"]));
        assert_eq!(witness.stage(), Stage::Init);
        witness.screen(at(40), text(&["Debian GNU/Linux 12 here tty1", "", "here login: _"]));
        assert_eq!(witness.decide(at(41)), Some(Class::LoginPrompt));
        assert_eq!((witness.proof(), witness.witnessed()), (text(&["here login: "]), Witnessed::Screen));
        // What GRUB says by BIOS is no kernel.
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"GRUB loading...\r\nWelcome to GRUB!\r\n\r\n");
        assert!(witness.wants_screen(at(8)));
        // A kernel that was heard on the serial console is judged by it.
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"[    0.000000] Linux version 6.1\r\n");
        assert!(!witness.wants_screen(at(60)));
        // What has been on the screen before is no news; a panic is an end.
        let mut witness = Witness::new(LIMITS);
        witness.screen(at(8), text(&["same"]));
        witness.screen(at(20), text(&["same", "_"]));
        assert_eq!(witness.decide(at(98)), Some(Class::NoProgress));
        let mut witness = Witness::new(LIMITS);
        witness.screen(at(8), text(&["[    3.141592] Kernel panic - not syncing: Attempted to kill init!"]));
        assert_eq!(witness.decide(at(10)), Some(Class::KernelPanic));
    }

    #[test]
    fn a_guest_without_a_processor_is_not_silent() {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(0), b"[    0.0] Linux version 6.1\r\n");
        witness.starved(at(60));
        assert_eq!(witness.decide(at(149)), None);
        assert_eq!(witness.decide(at(151)), Some(Class::NoProgress));
    }

    #[test]
    fn a_prompt_that_the_kernel_speaks_into_is_one() {
        // In one piece, as a busy host reads it.
        let (got, witness) = watch("Welcome to Debian\r\nkvm login: [   25.1] random: crng init done\r\n", 4);
        assert_eq!(got, Some(Class::LoginPrompt));
        assert_eq!(witness.proof(), ["kvm login: [   25.1] random: crng init done"]);
    }

    #[test]
    fn a_prompt_that_somebody_speaks_into_is_asked_for_again() {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"kvm login: ");
        witness.serial(at(1), b"ci-info: no authorized keys\r\n");
        assert_eq!((witness.decide(at(3)), witness.wants_newline(at(3))), (None, false));
        assert!(witness.wants_newline(at(12)));
        assert!(!witness.wants_newline(at(13)), "once");
        witness.serial(at(14), b"\r\nkvm login: ");
        assert_eq!(witness.decide(at(15)), Some(Class::LoginPrompt));
    }

    #[test]
    fn words_about_logins_are_no_prompt() {
        for text in [
            "kvm login: root\r\nPassword: ",
            "Automatic login: disabled on this console\r\n",
            "[   7.1] kernel: a login: b",
            "Last login: Mon Nov 23\r\n",
            "Last login: ",
        ] {
            let (class, _) = watch(text, 3);
            assert_eq!(class, None, "{text}");
        }
    }

    #[test]
    fn a_line_that_begins_like_a_prompt_is_none_in_whatever_pieces_it_comes() {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"\r\nServer login: ");
        assert_eq!(witness.decide(at(1)), None);
        witness.serial(at(1) + Duration::from_millis(10), b"FAILED, halting\r\n");
        assert_eq!(witness.decide(at(3)), None);
        assert_eq!(witness.stage(), Stage::Firmware);
        // The kernel may speak behind a prompt: it stays one.
        witness.serial(at(4), b"kvm login: ");
        witness.serial(at(4), b"[   25.1] random: crng init done\r\n");
        assert_eq!(witness.decide(at(5)), Some(Class::LoginPrompt));
    }

    #[test]
    fn a_firmware_menu_is_an_end() {
        let (class, _) = watch("BdsDxe: starting Boot0000 \"UiApp\" from Fv(7CB8)\r\n", 3);
        assert_eq!(class, Some(Class::NoBootableDevice));
        let (class, _) = watch(
            "BdsDxe: starting Boot0002 \"UEFI Misc Device\" from Pci\r\nBdsDxe: starting Boot0000 \"UiApp\" from Fv\r\n",
            3,
        );
        assert_eq!(class, Some(Class::LoaderFailed));
    }

    #[test]
    fn silence_is_judged_and_disk_traffic_is_no_silence() {
        let (class, mut witness) = watch("[    0.000000] Linux version 6.1\r\n", 80);
        assert_eq!(class, None);
        witness.disk_moved(at(85));
        assert_eq!(witness.decide(at(170)), None);
        assert_eq!(witness.decide(at(176)), Some(Class::NoProgress));
        assert_eq!(witness.stage(), Stage::Kernel);
    }

    #[test]
    fn endless_talk_is_too_slow() {
        let mut witness = Witness::new(LIMITS);
        for second in 0..600 {
            witness.serial(at(second), b"still here\r\n");
            assert_eq!(witness.decide(at(second)), None);
        }
        assert_eq!(witness.decide(at(600)), Some(Class::TooSlow));
    }

    #[test]
    fn a_stalled_emulator_is_not_the_images_fault() {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(5), b"[    0.000000] Linux version 6.1\r\n");
        witness.serial(at(30), b"[   25.1] rcu: INFO: rcu_preempt self-detected stall on CPU\r\n");
        assert_eq!(witness.decide(at(60)), None);
        assert_eq!(witness.decide(at(76)), Some(Class::EmulatorStall));
        assert!(Class::EmulatorStall.is_infrastructure());
    }

    #[test]
    fn one_reset_is_firmware_settling_three_are_a_loop() {
        let mut witness = Witness::new(LIMITS);
        witness.reset(at(1));
        witness.reset(at(2));
        assert_eq!(witness.decide(at(10)), None);
        witness.reset(at(11));
        assert_eq!(witness.decide(at(13)), Some(Class::ResetLoop));
    }

    #[test]
    fn a_passphrase_is_asked_for_once_and_a_refusal_is_an_end() {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"Please unlock disk cryptroot: ");
        assert_eq!(witness.question(at(1)), None);
        assert_eq!(witness.question(at(2)).as_deref(), Some("cryptroot"));
        assert_eq!(witness.question(at(2)), None);
        witness.answered("cryptroot".into());
        witness.serial(at(2), b"x");
        assert_eq!(witness.question(at(9)), None);
        witness.serial(
            at(2),
            b"\r\ncryptsetup: ERROR: cryptroot: cryptsetup failed, bad password or options?\r\n",
        );
        assert_eq!(witness.decide(at(5)), Some(Class::PassphraseRefused));
    }

    #[test]
    fn switching_off_is_no_pass() {
        let mut witness = Witness::new(LIMITS);
        witness.shut_down(at(4));
        assert_eq!(witness.decide(at(6)), Some(Class::PoweredOff));
    }
}
