//! Splits the bytes of a console into lines, and evaluates the lines with the patterns of the program that prints them.

use super::limits::QUIET;
use super::limits::STALL_REPORT;
use super::*;

impl BootMonitor {
    /// Processes bytes from the serial console.
    pub fn serial(&mut self, at: Duration, bytes: &[u8]) {
        self.spoke = at;
        let mut finished = Vec::new();
        self.lines.feed_all(bytes, &mut |line| finished.push(line.to_owned()));
        for line in finished {
            self.line(at, &line);
        }
        self.unfinished(at);
    }

    pub(super) fn line(&mut self, at: Duration, line: &str) {
        self.is_echoed |= line.contains(UNKNOWN_USER);
        self.is_garbled |= self.is_echoed
            && self.is_answering()
            && line.find(": ").is_some_and(|end| is_password_prompt(&line[..end + 2]));
        if line.is_empty() {
            self.finished += 1;
            self.fragment.clear();
            return;
        }
        if !matches!(&self.state, State::Prompt(prompt) if prompt.line.trim_end() == line) {
            self.said = at;
        }
        // Output of the kernel or the init system in the middle of a line ends it for the monitor. The program
        // continues its line later.
        if let Some(place) = insertion(line) {
            let (before, inserted) = line.split_at(place);
            if self.fragment.len() > LONGEST_FRAGMENT {
                self.fragment.clear();
            }
            self.fragment.push_str(before);
            let text = self.fragment.clone();
            // A response has to remain.
            if !self.is_answering() {
                self.prompt(at, &text);
            }
            self.complete(at, inserted);
        } else if ConsoleLine::of(line).origin != Origin::Plain {
            self.complete(at, line);
        } else if self.fragment.is_empty() {
            self.finished += 1;
            self.complete(at, line);
        } else {
            self.finished += 1;
            let joined = std::mem::take(&mut self.fragment) + line;
            self.not_a_prompt(at, &joined);
            self.complete(at, line);
            if ConsoleLine::of(&joined).origin == Origin::Plain {
                self.apply_line(at, &ConsoleLine { origin: Origin::Plain, text: joined });
            }
        }
        self.heard_kernel |= self.stamped || self.facts.version.is_some() || self.stage() >= Stage::Initramfs;
    }

    /// Processes the line of one source.
    pub(super) fn complete(&mut self, at: Duration, line: &str) {
        self.not_a_prompt(at, line);
        // A kernel without time stamps may have finished the line of a prompt.
        if !self.stamped
            && self.stage() >= Stage::Init
            && line.find("login: ").is_some_and(|place| is_login_prompt(&line[..place + "login: ".len()]))
        {
            self.doubted = Some(at);
        }
        self.recent.push(line.to_owned());
        if self.recent.len() > 4 * EVIDENCE {
            self.recent.drain(..EVIDENCE);
        }
        if matches!(self.state, State::Ending { .. }) && self.evidence.len() < 2 * EVIDENCE {
            self.evidence.push(line.to_owned());
        }
        let was_stalled = self.stalled;
        let moves = self.apply_line(at, &ConsoleLine::of(line));
        if moves && self.stalled == was_stalled {
            self.moves(at);
        }
    }

    /// Applies the patterns to a completed line. Returns whether the line is progress.
    pub(super) fn apply_line(&mut self, at: Duration, line: &ConsoleLine) -> bool {
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
    pub(super) fn may_speak(&self, speaker: Speaker, origin: Origin, ends: bool) -> bool {
        let stage = self.stage();
        match speaker {
            Speaker::Kernel => {
                let is_unstamped = origin == Origin::Plain && !self.stamped;
                origin == Origin::Kernel
                    || is_unstamped && (stage < Stage::Login || self.facts.version.is_some())
            }
            _ if origin == Origin::Kernel => false,
            // The code that unpacks a kernel may return to the firmware.
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

    pub(super) fn apply(&mut self, at: Duration, pattern: &'static Pattern, text: &str) {
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
            let is_of_kernel = pattern.speaker == Speaker::Kernel && self.stamped;
            let is_early = matches!(pattern.speaker, Speaker::Firmware | Speaker::Loader | Speaker::Bsd);
            let settle = if is_of_kernel || is_early || pattern.firm { SETTLE } else { PROGRAM_SETTLE };
            self.end_after(class, at, pattern.firm, settle);
        }
    }

    /// A menu, a dialog box or a shell where a boot may stop.
    pub(super) fn wait(&mut self, pattern: &Pattern) {
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

    pub(super) fn waits_for(&self, class: Class) -> bool {
        self.waiting.is_some_and(|(waiting, _)| waiting == class)
    }

    pub(super) fn note(&mut self, at: Duration, kind: NoteKind, line: &str) {
        let of_kind = self.notes.iter().filter(|note| note.kind == kind).count();
        let is_known = self.notes.iter().any(|note| note.kind == kind && note.line == line);
        if of_kind < MOST_OF_A_KIND && self.notes.len() < MOST_NOTES && !is_known {
            self.notes.push(Note { kind, line: line.to_owned(), at: rounded(at) });
        }
    }

    /// The guest makes progress.
    pub(super) fn moves(&mut self, at: Duration) {
        self.moved = at;
        if self.stalled.is_some_and(|since| at > since + STALL_REPORT) {
            self.stalled = None;
        }
    }

    /// Updates the incomplete line.
    pub(super) fn unfinished(&mut self, at: Duration) {
        let text = self.lines.unfinished();
        let inserted = insertion(&text);
        let open = match inserted {
            // Other output begins in the middle of the line.
            Some(place) => format!("{}{}", self.fragment, &text[..place]),
            None if ConsoleLine::of(&text).origin != Origin::Plain => self.fragment.clone(),
            None => format!("{}{text}", self.fragment),
        };
        // The same text in another line is another prompt.
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
            // A response has to remain, because an issue file may contain any text.
            if !self.is_answering() {
                self.prompt(at, &open);
            }
        }
    }

    /// Evaluates an incomplete line that has remained unchanged.
    pub(super) fn look_at_unfinished(&mut self, now: Duration) {
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
            self.apply_line(at, &ConsoleLine { origin: Origin::Plain, text });
        }
        self.apply_prompt(at, &text);
    }

    /// Applies the patterns for text at which a program waits for input.
    pub(super) fn apply_prompt(&mut self, at: Duration, text: &str) {
        for pattern in patterns::of_prompt(text) {
            if !self.may_speak(pattern.speaker, Origin::Plain, true) {
                continue;
            }
            self.wait(pattern);
            if let Some(class) = pattern.end {
                self.end(class, at, pattern.firm);
            }
            if pattern.shell && self.up.is_some() && self.shell() == Some(Class::ShellInsteadOfInit) {
                // The system is up: a getty or a unit logs in without asking.
                if self.limits.goal == Goal::LoginPrompt {
                    self.begin_prompt(at, text, Some(Class::AutoLogin));
                }
            } else if pattern.shell
                && let Some(class) = self.shell()
            {
                self.end(class, at, false);
            }
        }
    }

    /// The class of a shell prompt that appears without a login.
    pub(super) fn shell(&self) -> Option<Class> {
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
}
