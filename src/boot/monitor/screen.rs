//! The guest's screen, read from pictures, where its serial console is silent.

use super::limits::SERIAL_SILENCE;
use super::*;

impl BootMonitor {
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
}
