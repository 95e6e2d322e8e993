//! Resets, and possible ends of a boot: their class, their cause, and what revokes them.

use super::limits::{RESETS, SAME_RESET};
use super::*;

impl BootMonitor {
    /// The guest reset the machine. SeaBIOS continues a reset by the guest with its own, so QEMU may report several in a
    /// row. Source: SeaBIOS, src/resume.c, `handle_resume` and `tryReboot`.
    pub fn reset(&mut self, at: Duration) {
        let is_same = |last: Duration| self.spoke <= last && at < last + SAME_RESET;
        if self.reset_at.is_some_and(is_same) {
            return;
        }
        self.reset_at = Some(at);
        (self.moved, self.spoke) = (at, at);
        self.resets += 1;
        match &self.state {
            State::Ended(_) => return,
            // A reset proves that a crash was one, also if the next start succeeds.
            State::Ending { class, .. } if is_final(*class) => {
                self.state = State::Ended(*class);
                return;
            }
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
        // The stages start from the beginning, and earlier output belongs to the previous start.
        self.seen = vec![(Stage::Firmware, at)];
        (self.up, self.stalled, self.question, self.doubted) = (None, None, None, None);
        (self.waiting, self.asked_at, self.countdown) = (None, None, false);
        (self.stamped, self.is_bsd, self.shell_is_init, self.left_initramfs) = (false, false, false, false);
        (self.screen, self.screen_prompts) = (Vec::new(), 0);
        (self.root_full, self.root_read_only) = (None, None);
        self.answered.clear();
        (self.is_echoed, self.is_garbled, self.is_retried) = (false, false, false);
        self.lines = Lines::default();
        self.fragment.clear();
        self.open.clear();
        self.counts.clear();
        self.actions.clear();
        // These causes remain, because a boot loader that finds no kernel may reset into the firmware setup.
        self.causes.retain(|(cause, _)| matches!(cause, Class::LoaderFailed | Class::SecureBootRefused));
    }

    pub(super) fn end(&mut self, class: Class, at: Duration, firm: bool) {
        self.end_after(class, at, firm, SETTLE);
    }

    /// `settle`: how long later output can revoke it.
    pub(super) fn end_after(&mut self, class: Class, at: Duration, firm: bool, settle: Duration) {
        let resume = match &self.state {
            State::Booting => None,
            State::Prompt(prompt) => Some(prompt.clone()),
            State::Ending { .. } | State::Ended(_) => return,
        };
        let (class, cause) = self.with_cause(class, firm);
        let recent = &self.recent[self.recent.len().saturating_sub(EVIDENCE)..];
        let before = cause.filter(|line| !recent.iter().any(|other| other.ends_with(line.as_str())));
        self.evidence = before.into_iter().chain(recent.iter().cloned()).collect();
        self.ended_by = recent.last().cloned().unwrap_or_default();
        self.state = State::Ending { class, at, settle, resume };
    }

    /// Replaces the class by an earlier cause, and returns it with the line of that cause.
    pub(super) fn with_cause(&mut self, class: Class, firm: bool) -> (Class, Option<String>) {
        let find = |wanted: &[Class]| {
            wanted.iter().find_map(|class| self.causes.iter().find(|(cause, _)| cause == class)).cloned()
        };
        // Lack of memory has many consequences, and none of them is an error in the image.
        if fails(class)
            && let Some((class, line)) = find(&[Class::TooLittleMemory])
        {
            return (class, Some(line));
        }
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
        // After a boot loader has returned, the firmware shows its menu or its shell, or stops.
        if class == Class::NoBootableDevice && self.stage() >= Stage::Loader && !firm {
            return (Class::LoaderFailed, None);
        }
        (class, None)
    }

    pub(super) fn reach(&mut self, stage: Stage, at: Duration) {
        if self.seen.last().is_some_and(|(last, _)| *last >= stage) {
            return;
        }
        // The boot continues: a stalled guest has recovered, and a possible end was not one.
        self.stalled = None;
        if !self.waits_for(Class::EmergencyShell) && !self.waits_for(Class::InitramfsShell) {
            self.waiting = None;
        }
        self.seen.push((stage, at));
        if let State::Ending { class, resume, .. } = &self.state
            && !is_final(*class)
            && stage > Stage::Loader
        {
            let line = format!("{class}: {}", self.ended_by);
            self.state = match resume.clone() {
                Some(prompt) => State::Prompt(prompt),
                None => State::Booting,
            };
            self.evidence.clear();
            self.note(at, NoteKind::NotTheEnd, &line);
        }
    }
}

/// Whether lack of memory can cause this class.
fn fails(class: Class) -> bool {
    matches!(
        class,
        Class::NoBootableDevice
            | Class::GrubShell
            | Class::LoaderFailed
            | Class::LoaderWaits
            | Class::FirmwareCrashed
            | Class::KernelPanic
            | Class::InitramfsShell
            | Class::EmergencyShell
            | Class::NoInit
            | Class::InitCrashed
            | Class::ShellInsteadOfInit
            | Class::MountFailed
            | Class::NoGetty
            | Class::ResetLoop
            | Class::NoProgress
    )
}
