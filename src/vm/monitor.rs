//! The state machine that monitors a boot. Pure: observations and their times come in, actions and a decision come out.
//!
//! A line of text alone never makes a boot good, and text of a program never makes it bad. A login prompt has to stand for
//! a while, and then a getty has to answer. Everything else that looks like an end is one only if nothing of a later stage
//! follows.

use super::patterns::{
    self, Fact, Line, Mark, Origin, Pattern, Speaker, insertion, is_login_prompt, is_password_prompt,
};
use super::text::Lines;
use super::verdict::{Class, KernelFacts, Note, NoteKind, Probed, Stage, StageTime, Witnessed};
use std::collections::BTreeMap;
use std::time::Duration;

/// How the boot is meant to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// A getty asks for a login, and answers.
    #[default]
    LoginPrompt,
    /// The guest does its work and switches itself off, as an installer does. A prompt may come before.
    PowerOff,
}

impl Goal {
    /// Whether a boot that ended so has come there. Of a console that did not answer, `probed` tells.
    pub fn is_reached(self, class: Class, probed: Probed) -> bool {
        match self {
            Goal::LoginPrompt => {
                class == Class::LoginPrompt
                    || (matches!(class, Class::AutoLogin | Class::WindowsConsole) && probed != Probed::Silent)
            }
            Goal::PowerOff => class == Class::PoweredOff,
        }
    }
}

/// What a getty has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A line end: it asks again. Whoever logs in next needs no more.
    Prompt,
    /// Then a user name that nobody has: `login` asks for a password.
    Password,
}

/// How long to wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without output on the console or disk traffic.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
    pub goal: Goal,
    /// How long a prompt has to stand before it is answered.
    pub dwell: Duration,
    pub probe: Probe,
}

/// What the monitor wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Press Enter.
    Enter,
    /// Type this text, then Enter.
    Type(&'static str),
    /// Type the passphrase of this volume, or say that there is none: [`BootMonitor::answered`],
    /// [`BootMonitor::unanswered`].
    Unlock(String),
}

/// Letters only: it is also typed key by key.
const NOBODY: &str = "isterprobe";

/// Lines around an end that are kept as its evidence.
const EVIDENCE: usize = 12;
/// How long a later line can still take an end back.
const SETTLE: Duration = Duration::from_secs(2);
/// How long an unfinished line has to stand to be a prompt of somebody who waits, or a message without a line end.
const STANDS: Duration = Duration::from_millis(1500);
/// How long a prompt has to stand at least, and whatever follows Enter: an issue file may have the same words.
const ANSWER_STANDS: Duration = Duration::from_millis(500);
/// How long a menu or a box has to be left alone to wait for a key.
const QUIET: Duration = Duration::from_secs(6);
/// How long a question for a passphrase must stand before it is answered.
const QUESTION_STANDS: Duration = Duration::from_secs(1);
/// Resets by the guest that are no longer a firmware that settles in.
const RESETS: u32 = 3;
/// How long a guest may need to recover from a stall.
const STALL_PATIENCE: Duration = Duration::from_secs(45);
/// The report of a stall takes no longer: whatever comes later comes from a guest that goes on.
const STALL_REPORT: Duration = Duration::from_secs(10);
/// How long the serial console must be silent for the screen to be looked at.
const SERIAL_SILENCE: Duration = Duration::from_secs(6);
/// How long nothing is printed before Enter is pressed to see whether there is a getty.
const DOUBT_PATIENCE: Duration = Duration::from_secs(6);
/// How often that is done.
const DOUBTS: u32 = 3;
/// How long a getty may take to start once everything else has: it is among the first units.
const GETTY_PATIENCE: Duration = Duration::from_secs(20);
/// How long a getty may take to ask again.
const ANSWER: Duration = Duration::from_secs(6);
/// How long `login` may take to ask for a password: programs have to be read from the disk.
const PASSWORD: Duration = Duration::from_secs(45);
/// How long a password question may be behind a prompt that came back.
const BEHIND: Duration = Duration::from_secs(8);
/// Notes that are kept.
const MOST_NOTES: usize = 50;
/// Notes of one kind that are kept.
const MOST_OF_A_KIND: usize = 5;

#[derive(Clone, Debug)]
struct Prompt {
    line: String,
    /// For a console that is no getty: what it is called.
    reached: Option<Class>,
    since: Duration,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Dwelling,
    /// Enter was pressed.
    Entered {
        at: Duration,
        again: bool,
    },
    /// A user name was typed. `back`: the prompt came back.
    Named {
        at: Duration,
        back: Option<Duration>,
    },
}

#[derive(Clone, Debug)]
enum State {
    Booting,
    /// Somebody asks for a login.
    Prompt(Prompt),
    /// An end that something later can take back.
    Ending {
        class: Class,
        at: Duration,
        resume: Option<Prompt>,
    },
    Ended(Class),
}

pub struct BootMonitor {
    limits: Limits,
    lines: Lines,
    /// The beginning of a line that the kernel printed into.
    fragment: String,
    /// Finished lines of programs so far: what the kernel prints moves no prompt.
    finished: u64,
    /// When the last line that is not empty was finished.
    said: Duration,
    /// The unfinished line, and since when it is what it is.
    open: String,
    open_since: Duration,
    /// How many lines were finished then.
    open_line: u64,
    /// It was taken for a finished one already, or for an answer.
    open_applied: bool,
    open_answers: bool,
    /// The last lines, newest last.
    recent: Vec<String>,
    seen: Vec<(Stage, Duration)>,
    moved: Duration,
    /// When anything was printed.
    spoke: Duration,
    disk_moved: Duration,
    resets: u32,
    /// How long the host had no processor for the guest: time that does not count.
    starved: Duration,
    /// When the kernel last reported a stall that nothing says it got over.
    stalled: Option<Duration>,
    /// When the last target was reached.
    up: Option<Duration>,
    /// Reasons for what may come, with the first line of each.
    causes: Vec<(Class, String)>,
    /// What the last menu, box or shell makes of a boot that goes no further.
    waiting: Option<(Class, Duration)>,
    notes: Vec<Note>,
    counts: BTreeMap<usize, u32>,
    facts: KernelFacts,
    /// The kernel's lines have time stamps.
    stamped: bool,
    /// Something that only a BSD prints was seen.
    is_bsd: bool,
    shell_is_init: bool,
    left_initramfs: bool,
    countdown: bool,
    /// A line of systemd-boot's menu: without entries it leads into the firmware.
    loader_menu: Option<String>,
    root_full: Option<String>,
    root_read_only: Option<String>,
    /// Whether the kernel or what comes after it was heard on the serial console.
    heard_kernel: bool,
    /// What stood on the screen when it was last looked at.
    screen: Vec<String>,
    /// How many prompts stood there.
    screen_prompts: usize,
    witnessed: Witnessed,
    state: State,
    probed: Probed,
    evidence: Vec<String>,
    /// The volume whose passphrase the guest asks for, and since when.
    question: Option<(String, Duration)>,
    /// Volumes that were answered already.
    answered: Vec<String>,
    /// A prompt may be there, though it does not look like it: what stood there, and since when.
    doubted: Option<Duration>,
    doubts: u32,
    /// What stood there when Enter was pressed.
    asked_at: Option<(String, u64)>,
    /// The last prompt, and how many lines were finished then.
    last_prompt: Option<(String, u64)>,
    /// A prompt that did not answer.
    unanswered: bool,
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
            actions: Vec::new(),
        }
    }

    /// What is to be done now, if anything. A question for a passphrase has to stand for a moment: whoever asks turns
    /// the echo off only then.
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

    /// Bytes from the serial console.
    pub fn serial(&mut self, at: Duration, bytes: &[u8]) {
        self.spoke = at;
        let mut finished = Vec::new();
        self.lines.feed_all(bytes, &mut |line| finished.push(line.to_owned()));
        for line in finished {
            self.line(at, &line);
        }
        self.unfinished(at);
    }

    fn line(&mut self, at: Duration, line: &str) {
        if line.is_empty() {
            self.finished += 1;
            self.fragment.clear();
            return;
        }
        if !matches!(&self.state, State::Prompt(prompt) if prompt.line.trim_end() == line) {
            self.said = at;
        }
        // What the kernel or the init system prints into somebody's line ends that for us, not for them.
        if let Some(place) = insertion(line) {
            let (before, inserted) = line.split_at(place);
            self.fragment.push_str(before);
            let text = self.fragment.clone();
            self.prompt(at, &text);
            self.complete(at, inserted);
        } else if Line::of(line).origin != Origin::Plain {
            self.complete(at, line);
        } else if self.fragment.is_empty() {
            self.finished += 1;
            self.complete(at, line);
        } else {
            self.finished += 1;
            let joined = std::mem::take(&mut self.fragment) + line;
            self.not_a_prompt(at, &joined);
            self.complete(at, line);
            if Line::of(&joined).origin == Origin::Plain {
                self.apply_line(at, &Line { origin: Origin::Plain, text: joined });
            }
        }
        self.heard_kernel |= self.stamped || self.facts.version.is_some() || self.stage() >= Stage::Initramfs;
    }

    /// A line of one speaker.
    fn complete(&mut self, at: Duration, line: &str) {
        self.not_a_prompt(at, line);
        self.recent.push(line.to_owned());
        if self.recent.len() > 4 * EVIDENCE {
            self.recent.drain(..EVIDENCE);
        }
        if matches!(self.state, State::Ending { .. }) && self.evidence.len() < 2 * EVIDENCE {
            self.evidence.push(line.to_owned());
        }
        let was_stalled = self.stalled;
        let moves = self.apply_line(at, &Line::of(line));
        if moves && self.stalled == was_stalled {
            self.moves(at);
        }
    }

    /// What a finished line is evidence of; whether it is progress.
    fn apply_line(&mut self, at: Duration, line: &Line) -> bool {
        self.stamped |= line.origin == Origin::Kernel;
        let mut moves = true;
        for pattern in patterns::of_line(&line.text) {
            if self.may_speak(pattern.speaker, line.origin, pattern.ends()) {
                moves &= pattern.mark != Some(Mark::Clock) && pattern.mark != Some(Mark::Stall);
                self.apply(at, pattern, &line.text);
            }
        }
        moves
    }

    /// Whether a row can match a line of that origin now. `ends`: the row may decide.
    fn may_speak(&self, speaker: Speaker, origin: Origin, ends: bool) -> bool {
        let stage = self.stage();
        match speaker {
            Speaker::Kernel => {
                origin == Origin::Kernel || (origin == Origin::Plain && !self.stamped && stage < Stage::Login)
            }
            _ if origin == Origin::Kernel => false,
            // What unpacks a kernel may return to the firmware.
            Speaker::Firmware | Speaker::Loader => {
                stage <= Stage::Loader
                    || (stage == Stage::Kernel && !self.stamped && self.facts.version.is_none())
            }
            Speaker::Bsd => !self.stamped && stage <= Stage::Init && (self.is_bsd || !ends),
            // dracut runs systemd.
            Speaker::Initramfs => stage <= Stage::Init,
            Speaker::Init | Speaker::Getty | Speaker::Program => true,
        }
    }

    fn apply(&mut self, at: Duration, pattern: &'static Pattern, text: &str) {
        if let Some(times) = pattern.times {
            let count = self.counts.entry(std::ptr::from_ref(pattern).addr()).or_default();
            *count += 1;
            if *count < times {
                return;
            }
        }
        self.is_bsd |= pattern.speaker == Speaker::Bsd;
        if let Some(stage) = pattern.stage {
            self.reach(stage, at);
        }
        match (pattern.fact, pattern.value(text)) {
            (Some(Fact::Version), value @ Some(_)) => self.facts.version = value,
            (Some(Fact::CommandLine), value @ Some(_)) => self.facts.command_line = value,
            _ => {}
        }
        if pattern.countdown {
            self.countdown = true;
        }
        if pattern.leaves_menu || (pattern.countdown && self.waits_for(Class::LoaderWaits)) {
            self.waiting = None;
        }
        if let Some(kind) = pattern.note {
            self.note(at, kind, text);
        }
        match pattern.mark {
            Some(Mark::Up) => _ = self.up.get_or_insert(at),
            Some(Mark::Stall) => self.stalled = Some(at),
            Some(Mark::LeavesInitramfs) => self.left_initramfs = true,
            Some(Mark::LoaderMenu) => _ = self.loader_menu.get_or_insert_with(|| text.to_owned()),
            Some(Mark::ShellIsInit) => self.shell_is_init = true,
            Some(Mark::RootFull) => _ = self.root_full.get_or_insert_with(|| text.to_owned()),
            Some(Mark::RootReadOnly) => _ = self.root_read_only.get_or_insert_with(|| text.to_owned()),
            Some(Mark::Clock) | None => {}
        }
        if let Some(class) = pattern.cause
            && !self.causes.iter().any(|(other, _)| *other == class)
        {
            self.causes.push((class, text.to_owned()));
        }
        if pattern.refused && !self.answered.is_empty() {
            self.end(Class::PassphraseRefused, at, false);
        }
        if let Some(class) = pattern.reached
            && self.limits.goal == Goal::LoginPrompt
        {
            self.begin_prompt(at, text, Some(class));
        }
        self.wait(pattern);
        if let Some(class) = pattern.end {
            if pattern.speaker == Speaker::Loader {
                self.reach(Stage::Loader, at);
            }
            self.end(class, at, pattern.firm);
        }
    }

    /// A menu, a box or a shell that a boot may end in.
    fn wait(&mut self, pattern: &Pattern) {
        let Some(class) = pattern.waits.filter(|class| *class != Class::LoaderWaits || !self.countdown)
        else {
            return;
        };
        let patience = pattern.patience.map_or(QUIET, Duration::from_secs);
        let patience = match self.waiting {
            Some((before, shorter)) if before == class => patience.min(shorter),
            _ => patience,
        };
        self.waiting = Some((class, patience));
    }

    fn waits_for(&self, class: Class) -> bool {
        self.waiting.is_some_and(|(waiting, _)| waiting == class)
    }

    fn note(&mut self, at: Duration, kind: NoteKind, line: &str) {
        let of_kind = self.notes.iter().filter(|note| note.kind == kind).count();
        let is_known = self.notes.iter().any(|note| note.kind == kind && note.line == line);
        if of_kind < MOST_OF_A_KIND && self.notes.len() < MOST_NOTES && !is_known {
            self.notes.push(Note { kind, line: line.to_owned(), at: rounded(at) });
        }
    }

    /// The guest does something.
    fn moves(&mut self, at: Duration) {
        self.moved = at;
        if self.stalled.is_some_and(|since| at > since + STALL_REPORT) {
            self.stalled = None;
        }
    }

    /// The line that is not finished yet.
    fn unfinished(&mut self, at: Duration) {
        let text = self.lines.unfinished();
        let inserted = insertion(&text);
        let open = match inserted {
            // Something begins to print into it.
            Some(place) => format!("{}{}", self.fragment, &text[..place]),
            None if Line::of(&text).origin != Origin::Plain => self.fragment.clone(),
            None => format!("{}{text}", self.fragment),
        };
        // The same words in another line are another prompt.
        if open != self.open || self.finished != self.open_line {
            self.open_since = at;
            self.open_line = self.finished;
            (self.open_applied, self.open_answers) = (false, false);
            if !open.is_empty() && !may_be_clock(&text) {
                self.moved = at;
            }
        }
        self.open.clone_from(&open);
        if !open.is_empty() {
            self.not_a_prompt(at, &open);
            // An answer has to stand: an issue file may have any words.
            if !self.is_answering() {
                self.prompt(at, &open);
            }
        }
    }

    /// Whether Enter or a name was typed at a prompt.
    fn is_answering(&self) -> bool {
        matches!(&self.state, State::Prompt(prompt) if prompt.step != Step::Dwelling)
    }

    /// What stands at the end of the output: somebody may wait there.
    fn prompt(&mut self, at: Duration, text: &str) {
        if let State::Prompt(prompt) = &self.state
            && prompt.step != Step::Dwelling
            && is_password_prompt(text)
        {
            let line = prompt.line.clone();
            self.succeed(Class::LoginPrompt, Probed::Password, line);
            return;
        }
        for pattern in patterns::of_prompt(text) {
            if pattern.unlock
                && self.may_speak(pattern.speaker, Origin::Plain, true)
                && let Some(volume) = pattern.value(text)
            {
                // The echo of an answer, stars or not, comes behind the same question.
                let is_old = |other: &String| volume == *other || volume.starts_with(&format!("{other}:"));
                let asked = self.question.as_ref().map(|(volume, _)| volume);
                if !self.answered.iter().chain(asked).any(is_old) {
                    self.question = Some((volume, at));
                    self.recent.push(text.to_owned());
                }
                return;
            }
        }
        if self.limits.goal != Goal::LoginPrompt {
            if is_login_prompt(text) {
                self.reach(Stage::Login, at);
            }
            return;
        }
        // A loader that asks for a user name is no getty.
        let is_of_loader = |pattern: &Pattern| {
            (pattern.waits.is_some() || pattern.end.is_some())
                && self.may_speak(pattern.speaker, Origin::Plain, true)
        };
        if patterns::of_prompt(text).any(is_of_loader) {
            return;
        }
        if is_login_prompt(text) || self.comes_back(text) {
            self.begin_prompt(at, text, None);
        } else if let Some(class) = patterns::of_prompt(text).find_map(|pattern| pattern.reached) {
            self.begin_prompt(at, text, Some(class));
        }
    }

    /// Whatever stood there when Enter was pressed stands there again: a prompt in words that are not known.
    fn comes_back(&self, text: &str) -> bool {
        let ends = |text: &str| text.trim_end().ends_with([':', '：', '៖']);
        self.stage() >= Stage::Init
            && self
                .asked_at
                .as_ref()
                .is_some_and(|(before, finished)| before == text && *finished < self.finished && ends(text))
    }

    fn begin_prompt(&mut self, at: Duration, text: &str, reached: Option<Class>) {
        // An entry of a menu may look like anything.
        if self.waits_for(Class::LoaderWaits) {
            return;
        }
        // The same text is looked at again with every byte that comes; only another line is another prompt.
        let place = (text.to_owned(), self.finished);
        if matches!(self.state, State::Ending { .. }) && self.last_prompt.as_ref() == Some(&place) {
            return;
        }
        self.last_prompt = Some(place);
        let resumed = match &mut self.state {
            State::Ended(_) => return,
            State::Prompt(prompt) => Some(prompt.clone()),
            State::Ending { class, resume, .. } => {
                let (class, resume) = (*class, resume.take());
                let lines = std::mem::take(&mut self.evidence);
                if resume.is_none() {
                    self.note(
                        at,
                        NoteKind::NotTheEnd,
                        &format!("{class}: {}", lines.last().unwrap_or(&String::new())),
                    );
                }
                resume
            }
            State::Booting => None,
        };
        (self.waiting, self.doubted) = (None, None);
        self.reach(Stage::Login, at);
        let mut prompt = resumed.unwrap_or_else(|| Prompt {
            line: text.to_owned(),
            reached,
            since: at,
            step: Step::Dwelling,
        });
        let is_new = self.asked_at.as_ref().is_none_or(|(before, finished)| {
            *finished < self.finished || before != text || self.witnessed == Witnessed::Screen
        });
        match prompt.step {
            Step::Dwelling => prompt.line = text.to_owned(),
            Step::Entered { .. } if !is_new => {}
            // Automatic logins again and again are no answer.
            Step::Entered { .. } if prompt.reached == Some(Class::AutoLogin) => {}
            Step::Entered { .. } => {
                prompt.line = text.to_owned();
                self.probed = Probed::Prompt;
                if prompt.reached.is_some() || self.limits.probe == Probe::Prompt {
                    let class = prompt.reached.unwrap_or(Class::LoginPrompt);
                    return self.succeed(class, Probed::Prompt, prompt.line);
                }
                self.actions.push(Action::Type(NOBODY));
                self.asked_at = Some((text.to_owned(), self.finished));
                prompt.step = Step::Named { at, back: None };
            }
            Step::Named { at: since, back: None } if is_new => {
                prompt.step = Step::Named { at: since, back: Some(at) };
            }
            Step::Named { .. } => {}
        }
        self.state = State::Prompt(prompt);
    }

    fn succeed(&mut self, class: Class, probed: Probed, line: String) {
        self.probed = probed;
        self.evidence = vec![line];
        self.state = State::Ended(class);
    }

    /// What looked like a login prompt was the beginning of another line: it does not count.
    fn not_a_prompt(&mut self, at: Duration, text: &str) {
        let State::Prompt(prompt) = &self.state else { return };
        let goes_on = prompt.reached.is_none()
            && matches!(prompt.step, Step::Dwelling)
            && text.len() > prompt.line.trim_end().len()
            && text.starts_with(prompt.line.trim_end())
            && insertion(text).is_none()
            && !begins_insertion(&text[prompt.line.trim_end().len()..])
            && !is_login_prompt(text);
        if goes_on {
            self.state = State::Booting;
            self.seen.retain(|(stage, _)| *stage != Stage::Login);
            self.doubted = Some(at);
        }
    }

    /// Whether there is a getty, though no prompt stands there: it asks again.
    fn press_enter_in_doubt(&mut self, now: Duration) {
        if !matches!(self.state, State::Booting) || self.limits.goal != Goal::LoginPrompt {
            return;
        }
        // A shell or a menu would take it for an answer.
        let may_type = self.waiting.is_none() && self.doubts < DOUBTS && !self.countdown_or_menu();
        let since = self.doubted.or(self.up);
        if may_type && since.is_some_and(|since| now >= since.max(self.spoke) + DOUBT_PATIENCE) {
            self.doubts += 1;
            self.doubted = Some(now);
            self.asked_at = Some((self.open.clone(), self.finished));
            self.actions.push(Action::Enter);
        }
    }

    fn countdown_or_menu(&self) -> bool {
        self.stage() == Stage::Loader && self.countdown
    }

    /// Whether the screen has to be looked at: the serial console is silent, and was so since the kernel began. A kernel
    /// that prints there is judged by that alone.
    pub fn wants_screen(&self, now: Duration) -> bool {
        match &self.state {
            State::Booting => !self.heard_kernel && now >= self.spoke + SERIAL_SILENCE,
            State::Prompt(_) | State::Ending { .. } => self.witnessed == Witnessed::Screen,
            State::Ended(_) => false,
        }
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
        self.finished += 1;
        let before = std::mem::replace(&mut self.screen, lines.clone());
        let is_new = |line: &&String| !line.is_empty() && !before.contains(line);
        // An endless job's clock and a stalled kernel's complaints are no progress, an empty screen is.
        if !lines.iter().any(|line| is_new(&line)) {
            self.moved = at;
        }
        for line in lines.iter().filter(is_new) {
            let origin = Line::of(line).origin;
            let stage = self.stage();
            let was_booting = matches!(self.state, State::Booting);
            self.complete(at, line);
            if origin == Origin::Kernel || (self.stage() > stage && self.stage() >= Stage::Kernel) {
                self.witnessed = Witnessed::Screen;
            }
            // A picture does not tell whether a line is finished.
            self.apply_prompt(at, line);
            if was_booting && !matches!(self.state, State::Booting) {
                self.witnessed = Witnessed::Screen;
            }
        }
        // The kernel may have printed behind it, and below.
        let text = |line: &String| match insertion(line) {
            Some(place) => line[..place].to_owned(),
            None => format!("{line} "),
        };
        let last = lines.iter().rev().find(|line| !line.is_empty()).map(text).unwrap_or_default();
        if let State::Prompt(prompt) = &self.state
            && prompt.step != Step::Dwelling
            && is_password_prompt(&last)
        {
            let line = prompt.line.clone();
            return self.succeed(Class::LoginPrompt, Probed::Password, line);
        }
        let prompts: Vec<String> = lines.iter().map(text).filter(|line| is_login_prompt(line)).collect();
        let before = std::mem::replace(&mut self.screen_prompts, prompts.len());
        // What was typed stands behind the old prompt; another one is an answer.
        if let Some(prompt) = prompts.last()
            && self.limits.goal == Goal::LoginPrompt
            && prompts.len() > before
        {
            self.witnessed = Witnessed::Screen;
            self.begin_prompt(at, prompt, None);
        }
    }

    /// What a line is evidence of if somebody waits at its end.
    fn apply_prompt(&mut self, at: Duration, text: &str) {
        for pattern in patterns::of_prompt(text) {
            if !self.may_speak(pattern.speaker, Origin::Plain, true) {
                continue;
            }
            self.wait(pattern);
            if let Some(class) = pattern.end {
                self.end(class, at, pattern.firm);
            }
            if pattern.shell
                && let Some(class) = self.shell()
            {
                self.end(class, at, false);
            }
        }
    }

    /// What a shell's prompt without a login means.
    fn shell(&self) -> Option<Class> {
        if !matches!(self.state, State::Booting) {
            return None;
        }
        Some(match self.stage() {
            _ if self.waits_for(Class::InitramfsShell) => Class::InitramfsShell,
            _ if self.waits_for(Class::EmergencyShell) => Class::EmergencyShell,
            _ if self.shell_is_init || self.left_initramfs && self.stage() <= Stage::Initramfs => {
                Class::ShellInsteadOfInit
            }
            Stage::Kernel | Stage::Initramfs => Class::InitramfsShell,
            _ => Class::ShellInsteadOfInit,
        })
    }

    /// By what it was judged.
    pub fn witnessed(&self) -> Witnessed {
        self.witnessed
    }

    fn end(&mut self, class: Class, at: Duration, firm: bool) {
        let resume = match &self.state {
            State::Booting => None,
            State::Prompt(prompt) => Some(prompt.clone()),
            State::Ending { .. } | State::Ended(_) => return,
        };
        let (class, cause) = self.with_cause(class, firm);
        let recent = &self.recent[self.recent.len().saturating_sub(EVIDENCE)..];
        let before = cause.filter(|line| !recent.iter().any(|other| other.ends_with(line.as_str())));
        self.evidence = before.into_iter().chain(recent.iter().cloned()).collect();
        self.state = State::Ending { class, at, resume };
    }

    /// The class that a reason from before makes of an end, with its line.
    fn with_cause(&mut self, class: Class, firm: bool) -> (Class, Option<String>) {
        let find = |wanted: &[Class]| {
            wanted.iter().find_map(|class| self.causes.iter().find(|(cause, _)| cause == class)).cloned()
        };
        let cause = match class {
            Class::ShellInsteadOfInit => find(&[Class::NoInit]),
            Class::EmergencyShell | Class::InitramfsShell => {
                find(&[Class::FsckFailed, Class::NoInit, Class::MountFailed])
            }
            Class::NoBootableDevice
            | Class::LoaderFailed
            | Class::LoaderWaits
            | Class::FirmwareCrashed
            | Class::GrubShell
            | Class::PoweredOff
            | Class::NoProgress
                if self.stage() <= Stage::Loader && !firm =>
            {
                let loader = match class {
                    Class::GrubShell | Class::PoweredOff | Class::FirmwareCrashed | Class::NoProgress => {
                        &[Class::SecureBootRefused][..]
                    }
                    _ => &[Class::SecureBootRefused, Class::LoaderFailed],
                };
                find(loader)
            }
            _ => None,
        };
        let menu = self.loader_menu.clone().filter(|_| class == Class::NoBootableDevice && !firm);
        let cause = cause.or(menu.map(|line| (Class::LoaderFailed, line)));
        if let Some((class, line)) = cause {
            if matches!(class, Class::LoaderFailed | Class::SecureBootRefused) {
                self.reach(Stage::Loader, self.spoke);
            }
            return (class, Some(line));
        }
        // What the firmware does behind a loader that returned: its menu, its shell, or nothing more.
        if class == Class::NoBootableDevice && self.stage() >= Stage::Loader && !firm {
            return (Class::LoaderFailed, None);
        }
        (class, None)
    }

    fn reach(&mut self, stage: Stage, at: Duration) {
        if self.seen.last().is_some_and(|(last, _)| *last >= stage) {
            return;
        }
        // It goes on: whatever stalled has recovered, and what looked like an end was none.
        self.stalled = None;
        if !self.waits_for(Class::EmergencyShell) && !self.waits_for(Class::InitramfsShell) {
            self.waiting = None;
        }
        self.seen.push((stage, at));
        if let State::Ending { class, resume, .. } = &self.state
            && !is_final(*class)
            && stage > Stage::Loader
        {
            let line = format!("{class}: {}", self.evidence.last().map_or("", String::as_str));
            self.state = match resume.clone() {
                Some(prompt) => State::Prompt(prompt),
                None => State::Booting,
            };
            self.evidence.clear();
            self.note(at, NoteKind::NotTheEnd, &line);
        }
    }

    /// The disk was read or written since last time.
    pub fn disk_moved(&mut self, at: Duration) {
        self.disk_moved = at;
        self.moves(at);
    }

    /// The host had no processor for the guest: in that time it could not do anything.
    pub fn starved(&mut self, time: Duration) {
        self.starved += time;
        self.moved += time;
        self.up = self.up.map(|up| up + time);
        if let State::Prompt(prompt) = &mut self.state {
            match &mut prompt.step {
                Step::Entered { at, .. } => *at += time,
                Step::Named { at, back } => {
                    *at += time;
                    *back = back.map(|back| back + time);
                }
                Step::Dwelling => {}
            }
        }
    }

    /// The guest reset the machine.
    pub fn reset(&mut self, at: Duration) {
        (self.moved, self.spoke) = (at, at);
        self.resets += 1;
        match &self.state {
            State::Ended(_) => return,
            // A panic may end in a reset.
            State::Ending { class, .. } if is_final(*class) => return,
            State::Ending { .. } => self.state = State::Booting,
            State::Prompt(prompt) => {
                let line = prompt.line.clone();
                self.note(at, NoteKind::Reset, &format!("the guest reset the machine after `{line}`"));
                self.state = State::Booting;
            }
            State::Booting => {}
        }
        if self.resets >= RESETS {
            return self.end(Class::ResetLoop, at, true);
        }
        // What was reached counts again from the beginning, and what was printed is of another start.
        self.seen = vec![(Stage::Firmware, at)];
        (self.up, self.stalled, self.question, self.doubted) = (None, None, None, None);
        (self.waiting, self.asked_at, self.countdown) = (None, None, false);
        (self.stamped, self.is_bsd, self.shell_is_init, self.left_initramfs) = (false, false, false, false);
        (self.screen, self.screen_prompts) = (Vec::new(), 0);
        (self.root_full, self.root_read_only) = (None, None);
        self.answered.clear();
        self.lines = Lines::default();
        self.fragment.clear();
        self.open.clear();
        self.counts.clear();
        self.actions.clear();
        // But a loader that found nothing to start may reset into the firmware's menu.
        self.causes.retain(|(cause, _)| matches!(cause, Class::LoaderFailed | Class::SecureBootRefused));
    }

    /// The guest switched the machine off.
    pub fn shut_down(&mut self, at: Duration) {
        if let State::Ending { class, .. } = &self.state
            && !is_final(*class)
        {
            self.state = State::Booting;
        }
        self.end(Class::PoweredOff, at, false);
    }

    /// The guest reported by pvpanic or by its hypervisor interface that it panicked.
    pub fn panicked(&mut self, at: Duration) {
        self.end(Class::KernelPanic, at, true);
    }

    /// How it ended, once nothing more can come.
    pub fn ended(&self) -> Option<Class> {
        match self.state {
            State::Ending { class, .. } | State::Ended(class) => Some(class),
            State::Booting | State::Prompt(_) => None,
        }
    }

    /// Whether it is decided now, and how.
    pub fn decide(&mut self, now: Duration) -> Option<Class> {
        self.look_at_unfinished(now);
        match self.state.clone() {
            State::Ended(class) => return Some(class),
            State::Ending { class, at, .. } => {
                if now < at + SETTLE {
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
        // What was not finished is where it stands: the clock of a job, a question.
        let tail = self.open.rfind("A start job").or(self.open.rfind("Job ")).unwrap_or(0);
        if !self.open[tail..].trim().is_empty() {
            self.recent.push(self.open[tail..].to_owned());
        }
        self.state = State::Booting;
        self.end(class, now, false);
        self.state = State::Ended(self.ended()?);
        self.ended()
    }

    /// An unfinished line that stands.
    fn look_at_unfinished(&mut self, now: Duration) {
        let answers = self.is_answering() && !self.open_answers && now >= self.open_since + ANSWER_STANDS;
        if answers && !self.open.is_empty() {
            self.open_answers = true;
            let (text, at) = (self.open.clone(), self.open_since);
            self.prompt(at.max(self.spoke), &text);
        }
        if self.open.is_empty() || self.open_applied || now < self.open_since + STANDS {
            return;
        }
        self.open_applied = true;
        let (text, at) = (self.open.clone(), self.open_since);
        self.recent.push(text.clone());
        // Boot code prints messages without a line end.
        if self.stage() <= Stage::Kernel {
            let text = text.trim_end().to_owned();
            self.apply_line(at, &Line { origin: Origin::Plain, text });
        }
        self.apply_prompt(at, &text);
    }

    /// What a prompt comes to with time.
    fn step(&mut self, now: Duration, mut prompt: Prompt) {
        match prompt.step {
            Step::Dwelling if now >= prompt.since + self.limits.dwell.max(ANSWER_STANDS) => {
                self.actions.push(Action::Enter);
                self.asked_at = Some((prompt.line.clone(), self.finished));
                prompt.step = Step::Entered { at: now, again: false };
                self.state = State::Prompt(prompt);
            }
            // A shell answers with its prompt, whatever that is; an echo alone is none.
            Step::Entered { .. }
                if let Some(class) = prompt.reached
                    && !self.open.trim().is_empty()
                    && self.asked_at.as_ref().is_some_and(|(_, finished)| *finished < self.finished)
                    && now >= self.open_since + ANSWER_STANDS =>
            {
                self.succeed(class, Probed::Prompt, prompt.line);
            }
            // It may have been slow, or the line was lost.
            Step::Entered { at, again: false } if now >= at + ANSWER => {
                self.actions.push(Action::Enter);
                prompt.step = Step::Entered { at: now, again: true };
                self.state = State::Prompt(prompt);
            }
            Step::Entered { at, .. } if now >= at + ANSWER => {
                self.probed = Probed::Silent;
                self.unanswered = true;
                if prompt.reached == Some(Class::WindowsConsole) {
                    return self.succeed(Class::WindowsConsole, Probed::Silent, prompt.line);
                }
                // Something else goes on: it was no prompt, or one that is not there any more.
                let goes_on = self.said > prompt.since + STANDS;
                self.state = State::Booting;
                if goes_on && self.doubts < DOUBTS {
                    self.seen.retain(|(stage, _)| *stage != Stage::Login);
                    self.doubted = Some(now);
                } else {
                    self.recent.push(prompt.line);
                    self.end(Class::GettyCrashed, now, false);
                    self.state = State::Ended(Class::GettyCrashed);
                }
            }
            Step::Named { at, back }
                if now >= at + PASSWORD || back.is_some_and(|back| now >= back + BEHIND) =>
            {
                self.state = State::Booting;
                self.recent.push(prompt.line);
                self.end(Class::LoginBroken, now, false);
                self.state = State::Ended(Class::LoginBroken);
            }
            _ => {}
        }
    }

    /// The longest time until [`decide`](Self::decide) or [`action`](Self::action) could say something new without an
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
        match &self.state {
            State::Ending { at, .. } => until(*at + SETTLE),
            State::Prompt(prompt) => match prompt.step {
                Step::Dwelling => until(prompt.since + self.limits.dwell.max(ANSWER_STANDS)),
                Step::Entered { at, .. } => until(at + ANSWER),
                Step::Named { at, back } => until(back.map_or(at + PASSWORD, |back| back + BEHIND)),
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

    /// The lines that prove the end.
    pub fn proof(&self) -> Vec<String> {
        let lines = if self.evidence.is_empty() { &self.recent } else { &self.evidence };
        lines[lines.len().saturating_sub(2 * EVIDENCE)..].to_vec()
    }

    /// When the prompt came that the end is about.
    pub fn prompted(&self) -> Option<Duration> {
        self.seen.iter().rfind(|(stage, _)| *stage == Stage::Login).map(|(_, at)| *at)
    }

    /// What the getty answered.
    pub fn probed(&self) -> Probed {
        self.probed
    }

    pub fn facts(&self) -> &KernelFacts {
        &self.facts
    }

    /// What is wrong in a system that may boot all the same.
    pub fn notes(&self) -> Vec<Note> {
        let possible = [
            (NoteKind::PossiblyRootFull, &self.root_full),
            (NoteKind::PossiblyRootReadOnly, &self.root_read_only),
        ];
        let possible =
            possible.into_iter().filter_map(|(kind, line)| Some(Note { kind, line: line.clone()?, at: 0.0 }));
        self.notes.iter().cloned().chain(possible).collect()
    }

    /// Whether the console gives a reason to look whether something can be written to the root filesystem: a program
    /// failed to, or units failed on one that the kernel was told to mount read-only.
    pub fn doubts_root(&self) -> bool {
        let is_read_only =
            self.facts.command_line.iter().any(|line| line.split(' ').any(|word| word == "ro"));
        let failed = self.notes.iter().any(|note| note.kind == NoteKind::FailedUnit);
        self.root_full.is_some() || self.root_read_only.is_some() || (is_read_only && failed)
    }
}

/// Nothing that is printed later takes these back, but for a getty that answers.
fn is_final(class: Class) -> bool {
    matches!(
        class,
        Class::KernelPanic
            | Class::NoInit
            | Class::InitCrashed
            | Class::FirmwareCrashed
            | Class::ResetLoop
            | Class::PoweredOff
    )
}

/// The beginning of what the kernel or the init system prints into a line, however far it has come.
fn begins_insertion(text: &str) -> bool {
    let rest = text.trim_start();
    let closes = |rest: &str, end: char| rest.find(end).is_none_or(|place| place + 1 == rest.len());
    rest.is_empty()
        || text.len() - rest.len() >= 9
        || (rest.starts_with('[') && closes(rest, ']'))
        || (rest.starts_with('<') && closes(rest, '>'))
}

/// The beginning of a line that may be the clock of an endless job, however far it has come.
fn may_be_clock(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('[') else { return false };
    let begun = rest.trim_start_matches([' ', '*']);
    (begun.is_empty() || begun.starts_with(']')) && !text.trim_end().ends_with(')')
        || text.trim_end().ends_with("no limit)")
}

/// To hundredths of a second.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
