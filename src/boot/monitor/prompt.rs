//! Login prompts: when they count, what is typed there, and how the responses are judged.

use super::limits::DOUBTS;
use super::*;

impl BootMonitor {
    /// Whether Enter or a name was typed at a prompt.
    pub(super) fn is_answering(&self) -> bool {
        matches!(&self.state, State::Prompt(prompt) if prompt.step != PromptStep::Dwelling)
    }

    /// Evaluates the text at the end of the output, where a program may wait for input.
    pub(super) fn prompt(&mut self, at: Duration, text: &str) {
        if let State::Prompt(prompt) = &self.state
            && matches!(prompt.step, PromptStep::Named { .. })
            && self.is_echoed
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
                // The echo of a passphrase, with or without asterisks, follows the same question.
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
        // A boot loader that prompts for a user name is not a getty.
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

    /// Whether the text at which Enter was pressed has appeared again. It is then a prompt in an unknown wording.
    pub(super) fn comes_back(&self, text: &str) -> bool {
        let ends = |text: &str| text.trim_end().ends_with([':', '：', '៖']);
        self.stage() >= Stage::Init
            && self
                .asked_at
                .as_ref()
                .is_some_and(|(before, finished)| before == text && *finished < self.finished && ends(text))
    }

    pub(super) fn begin_prompt(&mut self, at: Duration, text: &str, reached: Option<Class>) {
        // A menu entry may have any text.
        if self.waits_for(Class::LoaderWaits) {
            return;
        }
        // The same text is evaluated again with every byte. Only another line is another prompt.
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
                self.evidence.clear();
                if resume.is_none() {
                    let line = format!("{class}: {}", self.ended_by);
                    self.note(at, NoteKind::NotTheEnd, &line);
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
            step: PromptStep::Dwelling,
        });
        let is_new = self.asked_at.as_ref().is_none_or(|(before, finished)| {
            *finished < self.finished || before != text || self.witnessed == Witnessed::Screen
        });
        match prompt.step {
            PromptStep::Dwelling => prompt.line = text.to_owned(),
            PromptStep::Entered { .. } if !is_new => {}
            // The shell or its replacement has exited: init starts it again.
            PromptStep::Entered { .. } if prompt.reached == Some(Class::AutoLogin) && reached.is_some() => {
                self.recent.push(text.to_owned());
                self.state = State::Booting;
                self.end(Class::GettyCrashed, at, false);
                self.state = State::Ended(Class::GettyCrashed);
                return;
            }
            PromptStep::Entered { .. } if prompt.reached == Some(Class::AutoLogin) => {}
            PromptStep::Entered { .. } => {
                prompt.line = text.to_owned();
                self.probed = Probed::Prompt;
                if prompt.reached.is_some() || self.limits.probe == Probe::Prompt {
                    let class = prompt.reached.unwrap_or(Class::LoginPrompt);
                    return self.succeed(class, Probed::Prompt, prompt.line);
                }
                self.actions.push(Action::Type(UNKNOWN_USER));
                self.is_echoed = false;
                self.asked_at = Some((text.to_owned(), self.finished));
                prompt.step = PromptStep::Named { at, back: None };
            }
            PromptStep::Named { at: since, back: None } if is_new => {
                prompt.step = PromptStep::Named { at: since, back: Some(at) };
            }
            PromptStep::Named { .. } => {}
        }
        self.state = State::Prompt(prompt);
    }

    pub(super) fn succeed(&mut self, class: Class, probed: Probed, line: String) {
        self.probed = probed;
        self.evidence = vec![line];
        self.state = State::Ended(class);
    }

    /// Text that looked like a login prompt was the beginning of another line.
    pub(super) fn not_a_prompt(&mut self, at: Duration, text: &str) {
        let State::Prompt(prompt) = &self.state else { return };
        let goes_on = prompt.reached.is_none()
            && matches!(prompt.step, PromptStep::Dwelling)
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

    /// Tests for a getty by pressing Enter, although no known prompt is shown.
    pub(super) fn press_enter_in_doubt(&mut self, now: Duration) {
        if !matches!(self.state, State::Booting) || self.limits.goal != Goal::LoginPrompt {
            return;
        }
        // A shell or a menu would act on the key.
        let may_type = self.waiting.is_none() && self.doubts < DOUBTS && !self.countdown_or_menu();
        // Other init systems do not report that they have finished, but a prompt remains.
        let is_open = self.stage() >= Stage::Init
            && self.open.trim_end().ends_with([':', '：', '៖', ']', '?', '>'])
            && now >= self.open_since + OPEN_PATIENCE;
        let since = self.doubted.or(self.up).or(is_open.then_some(self.open_since));
        if may_type && since.is_some_and(|since| now >= since.max(self.spoke) + DOUBT_PATIENCE) {
            self.doubts += 1;
            self.doubted = Some(now);
            self.asked_at = Some((self.open.clone(), self.finished));
            self.actions.push(Action::Enter);
        }
    }

    pub(super) fn countdown_or_menu(&self) -> bool {
        self.stage() == Stage::Loader && self.countdown
    }

    /// Advances the test of a prompt with time.
    pub(super) fn step(&mut self, now: Duration, mut prompt: Prompt) {
        match prompt.step {
            PromptStep::Dwelling if now >= prompt.since + self.limits.dwell.max(ANSWER_STANDS) => {
                self.actions.push(Action::Enter);
                self.asked_at = Some((prompt.line.clone(), self.finished));
                prompt.step = PromptStep::Entered { at: now, again: false };
                self.state = State::Prompt(prompt);
            }
            // A shell responds with its prompt, which may have any text. An echo alone is not a response.
            PromptStep::Entered { .. }
                if let Some(class) = prompt.reached
                    && !self.open.trim().is_empty()
                    && !is_other_prompt(&self.open)
                    && self.asked_at.as_ref().is_some_and(|(_, finished)| *finished < self.finished)
                    && now >= self.open_since + ANSWER_STANDS =>
            {
                self.succeed(class, Probed::Prompt, prompt.line);
            }
            // The getty may have been slow, or the key may have been lost.
            PromptStep::Entered { at, again: false } if now >= at + ANSWER => {
                self.actions.push(Action::Enter);
                prompt.step = PromptStep::Entered { at: now, again: true };
                self.state = State::Prompt(prompt);
            }
            PromptStep::Entered { at, .. } if now >= at + ANSWER => {
                self.probed = Probed::Silent;
                self.unanswered = true;
                if prompt.reached == Some(Class::WindowsConsole) {
                    return self.succeed(Class::WindowsConsole, Probed::Silent, prompt.line);
                }
                // Other output follows: the text was not a prompt, or the prompt has disappeared.
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
            // An issue file may contain such a line, too, so this alone proves nothing.
            PromptStep::Named { at, back }
                if self.is_garbled
                    && !self.is_retried
                    && (now >= at + PASSWORD || back.is_some_and(|back| now >= back + BEHIND)) =>
            {
                (self.is_garbled, self.is_retried) = (false, true);
                (prompt.step, prompt.since) = (PromptStep::Dwelling, now);
                self.state = State::Prompt(prompt);
            }
            PromptStep::Named { at, back }
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
}
