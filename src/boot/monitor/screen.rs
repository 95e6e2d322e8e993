//! Reads the guest's screen from screenshots if there is no output on the serial console.

use super::limits::SERIAL_NO_OUTPUT;
use super::*;

impl BootMonitor {
    /// Whether the screen has to be read: there is no output on the serial console, and has been none since the kernel
    /// started. A kernel that prints to the serial console is judged only by that.
    pub fn wants_screen(&self, now: Duration) -> bool {
        match &self.state {
            State::Booting => !self.heard_kernel && now >= self.spoke + SERIAL_NO_OUTPUT,
            State::Prompt(_) | State::Ending { .. } => self.witnessed == Witnessed::Screen,
            State::Ended(_) => false,
        }
    }

    /// Processes the text on the screen. A blinking cursor is not a change.
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
        // The timer of an endless job and messages about a stalled kernel are not progress, but a cleared screen is.
        if !lines.iter().any(|line| is_new(&line)) {
            self.moved = at;
        }
        for line in lines.iter().filter(is_new) {
            let origin = ConsoleLine::of(line).origin;
            let stage = self.stage();
            let was_booting = matches!(self.state, State::Booting);
            self.complete(at, line);
            if origin == Origin::Kernel || (self.stage() > stage && self.stage() >= Stage::Kernel) {
                self.witnessed = Witnessed::Screen;
            }
            // A screenshot does not show whether a line is complete.
            self.apply_prompt(at, line);
            if was_booting && !matches!(self.state, State::Booting) {
                self.witnessed = Witnessed::Screen;
            }
        }
        // Kernel output may follow the prompt in the same line and below.
        let text = |line: &String| match insertion(line) {
            Some(place) => line[..place].to_owned(),
            None => format!("{line} "),
        };
        let last = lines.iter().rev().find(|line| !line.is_empty()).map(text).unwrap_or_default();
        if let State::Prompt(prompt) = &self.state
            && matches!(prompt.step, PromptStep::Named { .. })
            && lines.iter().any(|line| line.contains(UNKNOWN_USER))
            && is_password_prompt(&last)
        {
            let line = prompt.line.clone();
            return self.succeed(Class::LoginPrompt, Probed::Password, line);
        }
        let prompts: Vec<String> = lines.iter().map(text).filter(|line| is_login_prompt(line)).collect();
        let before = std::mem::replace(&mut self.screen_prompts, prompts.len());
        // Typed text follows the old prompt. Another prompt is a response.
        if let Some(prompt) = prompts.last()
            && self.limits.goal == Goal::LoginPrompt
            && prompts.len() > before
        {
            self.witnessed = Witnessed::Screen;
            self.begin_prompt(at, prompt, None);
        }
    }
}
