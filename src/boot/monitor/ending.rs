//! Possible ends of a boot: their class, their cause, and what revokes them.

use super::*;

impl BootMonitor {
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
