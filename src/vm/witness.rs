//! The state machine that watches a boot. Pure: what is seen and when comes in, a decision comes out.

use super::question::{asked_for, is_refusal};
use super::signs::{
    Root, Standing, cause, ending, flaw, is_endless_job, is_failed_unit, is_login_prompt, is_of_kernel,
    is_setup_menu, is_stall, is_up, may_be_clock, stage,
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
/// What a kernel says about a stall takes no longer: whatever comes later comes from a guest that goes on.
const STALL_REPORT: Duration = Duration::from_secs(10);
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
    /// How long the host had no processor for the guest: time that does not count.
    starved: Duration,
    /// When the kernel last told of a stall that nothing says it got over.
    stalled: Option<Duration>,
    /// When the last target was reached.
    up: Option<Duration>,
    /// What was said on the way of causes and flaws, with the first line of each.
    causes: Vec<(Class, String)>,
    flaws: Vec<(Class, String)>,
    root: Root,
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
            starved: Duration::ZERO,
            stalled: None,
            up: None,
            causes: Vec::new(),
            flaws: Vec::new(),
            root: Root::default(),
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
        let had_ended = self.ending.is_some();
        self.note(at, &line);
        if had_ended {
            // The prompt itself stays the last line of a good end.
            if self.ended() != Some(Class::LoginPrompt) && self.proof.len() < 2 * PROOF {
                self.proof.push(line);
            }
            return;
        }
        // The kernel spoke right behind the prompt, and ended its line.
        if self.limits.goal == Goal::LoginPrompt && is_login_prompt(&line) {
            self.reach(Stage::Login, at);
            self.end(Class::LoginPrompt, at, 1);
        }
        if let Some(class) = ending(&line, Standing::Finished) {
            self.end(class, at, PROOF);
        }
    }

    /// What a line means wherever it stands.
    fn note(&mut self, at: Duration, line: &str) {
        if is_stall(line) {
            self.stalled = Some(at);
        } else if !is_endless_job(line) {
            self.moves(at);
        }
        if is_up(line) {
            self.up.get_or_insert(at);
        }
        notice(&mut self.causes, cause(line), line);
        notice(&mut self.flaws, flaw(line), line);
        self.root = self.root.after(line);
        if self.root == Root::ReadOnly && is_failed_unit(line) {
            notice(&mut self.flaws, Some(Class::RootReadOnly), line);
        }
        if let Some(stage) = stage(line) {
            self.reach(stage, at);
        }
        self.recent.push(line.to_owned());
        if self.recent.len() > 4 * PROOF {
            self.recent.drain(..PROOF);
        }
        if is_setup_menu(line) {
            self.end(Class::NoBootableDevice, at, PROOF);
        }
    }

    /// The guest does something.
    fn moves(&mut self, at: Duration) {
        self.moved = at;
        if self.stalled.is_some_and(|since| at > since + STALL_REPORT) {
            self.stalled = None;
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
        if !is_endless_job(&text) && !may_be_clock(&text) {
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
            if is_of_kernel(line) {
                self.witnessed = Witnessed::Screen;
            }
            self.note(at, line);
            // A picture does not tell whether a line is finished.
            let class = ending(line, Standing::Finished).or_else(|| ending(line, Standing::Open));
            if let Some(class) = class {
                self.witnessed = Witnessed::Screen;
                self.end(class, at, PROOF);
            }
        }
        // The kernel may have spoken behind it, and below.
        let prompt = lines.iter().map(|line| format!("{line} ")).rfind(|line| is_login_prompt(line));
        if let Some(prompt) = prompt.filter(|_| self.limits.goal == Goal::LoginPrompt) {
            self.witnessed = Witnessed::Screen;
            self.reach(Stage::Login, at);
            self.recent.push(prompt);
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
        // What the firmware does behind a loader that returned: its menu, its shell, or nothing more.
        let class = match class {
            Class::NoBootableDevice if self.stage() >= Stage::Loader => Class::LoaderFailed,
            other => other,
        };
        let recent = &self.recent[self.recent.len().saturating_sub(lines)..];
        let cause = match class {
            Class::EmergencyShell | Class::InitramfsShell => {
                self.causes.iter().find(|(cause, _)| *cause != Class::LoaderFailed)
            }
            Class::NoBootableDevice | Class::LoaderFailed => {
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
        self.moves(at);
    }

    /// The host had no processor for the guest: in that time it could not do anything.
    pub fn starved(&mut self, time: Duration) {
        self.starved += time;
        self.moved += time;
        self.up = self.up.map(|up| up + time);
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
            (self.doubted, self.root) = (None, Root::default());
            self.answered.clear();
            // But a loader that found nothing to start may reset into the firmware's menu.
            self.causes.retain(|(cause, _)| *cause == Class::LoaderFailed);
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

    /// How it ended, once nothing more can come.
    pub fn ended(&self) -> Option<Class> {
        self.ending.map(|(class, _)| class)
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
        } else if now >= self.limits.total + self.starved {
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
        let tail = unfinished.rfind("A start job").or(unfinished.rfind("Job ")).unwrap_or(0);
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
                let total = self.limits.total + self.starved;
                let getty = self.up.map_or(total, |up| up + GETTY_PATIENCE);
                (self.moved + self.limits.silence).min(total).min(getty)
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
mod tests;
