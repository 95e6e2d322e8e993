//! The state machine that monitors a boot. Pure: observations with their times go in, actions and a decision come out.
//!
//! A line of text alone never makes a boot pass, and the output of a program never makes it fail. A login prompt has to
//! remain for a while, and then a getty has to respond. Everything else that looks like the end of a boot is one only
//! if no output of a later stage follows.

mod state;

use state::{Prompt, PromptStep, State};
mod limits;

use super::patterns::{
    self, ConsoleLine, Fact, Mark, Origin, Pattern, Speaker, insertion, is_login_prompt, is_other_prompt,
    is_password_prompt,
};
use super::text::Lines;
use super::verdict::{Class, KernelFacts, Note, NoteKind, Probed, Stage, StageTime, Witnessed};
use limits::{
    ANSWER, ANSWER_STANDS, BEHIND, DOUBT_PATIENCE, EVIDENCE, GETTY_PATIENCE, LONGEST_FRAGMENT, OPEN_PATIENCE,
    PASSWORD, PROGRAM_SETTLE, QUESTION_STANDS, SETTLE, STALL_PATIENCE, STANDS,
};
pub use limits::{Goal, Limits, Probe};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the monitor requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Press Enter.
    Enter,
    /// Type this text, then Enter.
    Type(&'static str),
    /// Type the passphrase of this volume and call [`BootMonitor::answered`], or call [`BootMonitor::unanswered`] if
    /// there is none.
    Unlock(String),
}

/// Only letters, because it may be typed key by key.
const UNKNOWN_USER: &str = "isterprobe";

/// Recorded notes.
const MOST_NOTES: usize = 50;
/// Recorded notes of one kind.
const MOST_OF_A_KIND: usize = 5;

pub struct BootMonitor {
    limits: Limits,
    lines: Lines,
    /// The beginning of a line that was interrupted by kernel output.
    fragment: String,
    /// Completed lines of programs so far. Kernel output does not change the position of a prompt.
    finished: u64,
    /// When the last line that was not empty was completed.
    said: Duration,
    /// The incomplete line, and since when it has had this text.
    open: String,
    open_since: Duration,
    /// The number of completed lines at that time.
    open_line: u64,
    /// The incomplete line was already treated as complete, or as a response.
    open_applied: bool,
    open_answers: bool,
    /// The last lines, newest last.
    recent: Vec<String>,
    seen: Vec<(Stage, Duration)>,
    moved: Duration,
    /// When output last appeared.
    spoke: Duration,
    disk_moved: Duration,
    resets: u32,
    /// The last reset.
    reset_at: Option<Duration>,
    /// How long the host had no CPU for the guest. This time does not count.
    starved: Duration,
    /// When the kernel last reported a stall from which it has not recovered.
    stalled: Option<Duration>,
    /// When the last target was reached.
    up: Option<Duration>,
    /// Possible causes of a later failure, each with its first line.
    causes: Vec<(Class, String)>,
    /// The class of a boot that stops at the last menu, dialog box or shell, and the patience for it.
    waiting: Option<(Class, Duration)>,
    notes: Vec<Note>,
    counts: BTreeMap<usize, u32>,
    facts: KernelFacts,
    /// Kernel lines have time stamps.
    stamped: bool,
    /// Output that only a BSD prints was seen.
    is_bsd: bool,
    shell_is_init: bool,
    left_initramfs: bool,
    countdown: bool,
    /// A line of systemd-boot's menu. Without entries, the menu leads into the firmware setup.
    loader_menu: Option<String>,
    root_full: Option<String>,
    root_read_only: Option<String>,
    /// Whether output of the kernel or a later stage appeared on the serial console.
    heard_kernel: bool,
    /// The text on the screen when it was last read.
    screen: Vec<String>,
    /// The number of prompts in that text.
    screen_prompts: usize,
    witnessed: Witnessed,
    state: State,
    probed: Probed,
    evidence: Vec<String>,
    /// The volume whose passphrase the guest asks for, and since when.
    question: Option<(String, Duration)>,
    /// Volumes whose passphrase was already typed.
    answered: Vec<String>,
    /// Since when a prompt is suspected, although the text does not look like one.
    doubted: Option<Duration>,
    doubts: u32,
    /// The incomplete line when Enter was pressed, and the number of completed lines.
    asked_at: Option<(String, u64)>,
    /// The last prompt, and the number of completed lines at that time.
    last_prompt: Option<(String, u64)>,
    /// A prompt did not respond.
    unanswered: bool,
    /// The typed name has appeared on the console.
    is_echoed: bool,
    /// Other output followed the password prompt in its line, so that it could not be recognized.
    is_garbled: bool,
    /// The name was typed a second time for this reason.
    is_retried: bool,
    /// The line that ended the boot, unless later output revoked it.
    ended_by: String,
    actions: Vec<Action>,
}

impl BootMonitor {
    pub fn new(limits: Limits) -> BootMonitor {
        BootMonitor {
            limits,
            lines: Lines::default(),
            fragment: String::new(),
            finished: 0,
            said: Duration::ZERO,
            open: String::new(),
            open_since: Duration::ZERO,
            open_line: 0,
            open_applied: false,
            open_answers: false,
            recent: Vec::new(),
            seen: vec![(Stage::Firmware, Duration::ZERO)],
            moved: Duration::ZERO,
            spoke: Duration::ZERO,
            disk_moved: Duration::ZERO,
            resets: 0,
            reset_at: None,
            starved: Duration::ZERO,
            stalled: None,
            up: None,
            causes: Vec::new(),
            waiting: None,
            notes: Vec::new(),
            counts: BTreeMap::new(),
            facts: KernelFacts::default(),
            stamped: false,
            is_bsd: false,
            shell_is_init: false,
            left_initramfs: false,
            countdown: false,
            loader_menu: None,
            root_full: None,
            root_read_only: None,
            heard_kernel: false,
            screen: Vec::new(),
            screen_prompts: 0,
            witnessed: Witnessed::Serial,
            state: State::Booting,
            probed: Probed::Not,
            evidence: Vec::new(),
            question: None,
            answered: Vec::new(),
            doubted: None,
            doubts: 0,
            asked_at: None,
            last_prompt: None,
            unanswered: false,
            is_echoed: false,
            is_garbled: false,
            is_retried: false,
            ended_by: String::new(),
            actions: Vec::new(),
        }
    }

    /// The next action, if any. A passphrase prompt has to remain for a moment, because programs print it before they
    /// turn the echo off.
    pub fn action(&mut self, now: Duration) -> Option<Action> {
        if let Some((_, since)) = &self.question
            && now >= *since + QUESTION_STANDS
        {
            return self.question.take().map(|(volume, _)| Action::Unlock(volume));
        }
        self.press_enter_in_doubt(now);
        (!self.actions.is_empty()).then(|| self.actions.remove(0))
    }

    pub fn answered(&mut self, question: String) {
        self.answered.push(question);
    }

    pub fn unanswered(&mut self, at: Duration) {
        self.end(Class::PassphraseWanted, at, false);
    }

    /// The console that the decision is based on.
    pub fn witnessed(&self) -> Witnessed {
        self.witnessed
    }

    /// The disk was read or written since the last call.
    pub fn disk_moved(&mut self, at: Duration) {
        self.disk_moved = at;
        self.moves(at);
    }

    /// The host had no CPU for the guest, so the guest could not make progress in this time.
    pub fn starved(&mut self, time: Duration) {
        self.starved += time;
        self.moved += time;
        self.up = self.up.map(|up| up + time);
        if let State::Prompt(prompt) = &mut self.state {
            match &mut prompt.step {
                PromptStep::Entered { at, .. } => *at += time,
                PromptStep::Named { at, back } => {
                    *at += time;
                    *back = back.map(|back| back + time);
                }
                PromptStep::Dwelling => {}
            }
        }
    }

    /// The guest powered the machine off.
    pub fn shut_down(&mut self, at: Duration) {
        if let State::Ending { class, .. } = &self.state
            && !is_final(*class)
        {
            self.state = State::Booting;
        }
        self.end(Class::PoweredOff, at, false);
    }

    /// The guest reported a panic through pvpanic or its hypervisor interface.
    pub fn panicked(&mut self, at: Duration) {
        self.end(Class::KernelPanic, at, true);
    }

    /// The class of the end, if one was seen, for the case that no further output can arrive.
    pub fn ended(&self) -> Option<Class> {
        match self.state {
            State::Ending { class, .. } | State::Ended(class) => Some(class),
            State::Booting | State::Prompt(_) => None,
        }
    }

    /// The decision at this time, if there is one.
    pub fn decide(&mut self, now: Duration) -> Option<Class> {
        self.look_at_unfinished(now);
        match self.state.clone() {
            State::Ended(class) => return Some(class),
            State::Ending { class, at, settle, .. } => {
                if now < at + settle {
                    return None;
                }
                self.state = State::Ended(class);
                return Some(class);
            }
            State::Prompt(prompt) => self.step(now, prompt),
            State::Booting => {}
        }
        if let State::Ended(class) = self.state {
            return Some(class);
        }
        let is_stalled = self.stalled.is_some();
        let stalled = self
            .stalled
            .is_some_and(|since| now >= since + STALL_PATIENCE && now >= self.moved + STALL_PATIENCE);
        let is_booting = matches!(self.state, State::Booting);
        let class = if stalled {
            Class::EmulatorStall
        } else if now >= self.limits.total + self.starved {
            if is_stalled { Class::EmulatorStall } else { Class::TooSlow }
        } else if let Some((class, patience)) = self.waiting.filter(|_| is_booting)
            && now >= self.spoke.max(self.disk_moved) + patience
        {
            class
        } else if is_booting && now >= self.moved + self.limits.silence {
            if is_stalled { Class::EmulatorStall } else { Class::NoProgress }
        } else if is_booting
            && self.limits.goal == Goal::LoginPrompt
            && self.up.is_some_and(|up| now >= up + GETTY_PATIENCE)
            && (now >= self.spoke + DOUBT_PATIENCE
                || self.up.is_some_and(|up| now >= up + 3 * GETTY_PATIENCE))
        {
            Class::NoGetty
        } else {
            return None;
        };
        let class = match class {
            Class::NoProgress | Class::TooSlow | Class::NoGetty if self.unanswered => Class::GettyCrashed,
            other => other,
        };
        if class == Class::GettyCrashed {
            self.reach(Stage::Login, now);
        }
        // The incomplete line shows where the boot stopped, for example at a job's timer or a question.
        let tail = self.open.rfind("A start job").or(self.open.rfind("Job ")).unwrap_or(0);
        if !self.open[tail..].trim().is_empty() {
            self.recent.push(self.open[tail..].to_owned());
        }
        self.state = State::Booting;
        self.end(class, now, false);
        self.state = State::Ended(self.ended()?);
        self.ended()
    }

    /// The longest time until [`decide`](Self::decide) or [`action`](Self::action) can return something new without an
    /// observation.
    pub fn patience(&self, now: Duration) -> Duration {
        let mut next = now + Duration::from_secs(2);
        let mut until = |time: Duration| {
            if time > now {
                next = next.min(time);
            }
        };
        until(self.limits.total + self.starved);
        until(self.moved + self.limits.silence);
        if !self.open_applied {
            until(self.open_since + STANDS);
        }
        if !self.open_answers {
            until(self.open_since + ANSWER_STANDS);
        }
        if let Some((_, since)) = &self.question {
            until(*since + QUESTION_STANDS);
        }
        if let Some((_, patience)) = self.waiting {
            until(self.spoke.max(self.disk_moved) + patience);
        }
        if let Some(up) = self.up {
            until(up + GETTY_PATIENCE);
        }
        if let Some(since) = self.doubted.or(self.up) {
            until(since.max(self.spoke) + DOUBT_PATIENCE);
        }
        until(self.open_since + OPEN_PATIENCE);
        match &self.state {
            State::Ending { at, settle, .. } => until(*at + *settle),
            State::Prompt(prompt) => match prompt.step {
                PromptStep::Dwelling => until(prompt.since + self.limits.dwell.max(ANSWER_STANDS)),
                PromptStep::Entered { at, .. } => until(at + ANSWER),
                PromptStep::Named { at, back } => until(back.map_or(at + PASSWORD, |back| back + BEHIND)),
            },
            State::Booting | State::Ended(_) => {}
        }
        next - now
    }

    pub fn stage(&self) -> Stage {
        self.seen.last().map_or(Stage::Firmware, |(stage, _)| *stage)
    }

    pub fn stages(&self, end: Duration) -> Vec<StageTime> {
        let ends = self.seen.iter().skip(1).map(|(_, at)| *at).chain([end]);
        self.seen
            .iter()
            .zip(ends)
            .map(|((stage, at), end)| StageTime {
                stage: *stage,
                at: rounded(*at),
                took: rounded(end.saturating_sub(*at)),
            })
            .collect()
    }

    /// The lines that prove the decision.
    pub fn proof(&self) -> Vec<String> {
        let lines = if self.evidence.is_empty() { &self.recent } else { &self.evidence };
        lines[lines.len().saturating_sub(2 * EVIDENCE)..].to_vec()
    }

    /// When the prompt appeared that the decision is about.
    pub fn prompted(&self) -> Option<Duration> {
        self.seen.iter().rfind(|(stage, _)| *stage == Stage::Login).map(|(_, at)| *at)
    }

    /// How the getty responded.
    pub fn probed(&self) -> Probed {
        self.probed
    }

    pub fn facts(&self) -> &KernelFacts {
        &self.facts
    }

    /// Problems in a system that may boot nevertheless.
    pub fn notes(&self) -> Vec<Note> {
        let possible = [
            (NoteKind::PossiblyRootFull, &self.root_full),
            (NoteKind::PossiblyRootReadOnly, &self.root_read_only),
        ];
        let possible =
            possible.into_iter().filter_map(|(kind, line)| Some(Note { kind, line: line.clone()?, at: 0.0 }));
        self.notes.iter().cloned().chain(possible).collect()
    }

    /// Whether the console output suggests that the root filesystem is not writable: a program failed to write, or
    /// units failed and the kernel was told to mount the root filesystem read-only.
    pub fn doubts_root(&self) -> bool {
        let is_read_only =
            self.facts.command_line.iter().any(|line| line.split(' ').any(|word| word == "ro"));
        let failed = self.notes.iter().any(|note| note.kind == NoteKind::FailedUnit);
        self.root_full.is_some() || self.root_read_only.is_some() || (is_read_only && failed)
    }
}

/// Classes that no later output can revoke, except a getty that responds.
fn is_final(class: Class) -> bool {
    matches!(
        class,
        Class::KernelPanic
            | Class::TooLittleMemory
            | Class::NoInit
            | Class::InitCrashed
            | Class::FirmwareCrashed
            | Class::ResetLoop
            | Class::PoweredOff
    )
}

/// Whether a text is the beginning of output that the kernel or the init system prints in the middle of a line.
fn begins_insertion(text: &str) -> bool {
    let rest = text.trim_start();
    let closes = |rest: &str, end: char| rest.find(end).is_none_or(|place| place + 1 == rest.len());
    rest.is_empty()
        || text.len() - rest.len() >= 9
        || (rest.starts_with('[') && closes(rest, ']'))
        || (rest.starts_with('<') && closes(rest, '>'))
}

/// Whether a text is the beginning of a line that shows the timer of a job without a time limit.
fn may_be_clock(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('[') else { return false };
    let begun = rest.trim_start_matches([' ', '*']);
    (begun.is_empty() || begun.starts_with(']')) && !text.trim_end().ends_with(')')
        || text.trim_end().ends_with("no limit)")
}

/// Rounds to hundredths of a second.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

mod console;
mod ending;
mod prompt;
mod screen;
#[cfg(test)]
mod tests;
