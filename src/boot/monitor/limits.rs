//! What the monitor waits for, and for how long.

use super::super::verdict::{Class, Probed};
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
    /// A line end, after which the prompt appears again: enough where a login follows.
    Prompt,
    /// Then an unknown user name: a password question follows.
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

/// Lines around an end that are kept as its evidence.
pub(super) const EVIDENCE: usize = 12;

/// How long a later line can still take an end back.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// How long an unfinished line has to stand to be a prompt of somebody who waits, or a message without a line end.
pub(super) const STANDS: Duration = Duration::from_millis(1500);

/// How long a prompt has to stand at least, and whatever follows Enter: an issue file may have the same words.
pub(super) const ANSWER_STANDS: Duration = Duration::from_millis(500);

/// How long a menu or a box has to be left alone to wait for a key.
pub(super) const QUIET: Duration = Duration::from_secs(6);

/// How long a question for a passphrase must stand before it is answered.
pub(super) const QUESTION_STANDS: Duration = Duration::from_secs(1);

/// Resets by the guest that are no longer a firmware that settles in.
pub(super) const RESETS: u32 = 3;

/// How long a guest may need to recover from a stall.
pub(super) const STALL_PATIENCE: Duration = Duration::from_secs(45);

/// The report of a stall takes no longer: whatever comes later comes from a guest that goes on.
pub(super) const STALL_REPORT: Duration = Duration::from_secs(10);

/// How long the serial console must be silent for the screen to be looked at.
pub(super) const SERIAL_SILENCE: Duration = Duration::from_secs(6);

/// How long nothing is printed before Enter is pressed to see whether there is a getty.
pub(super) const DOUBT_PATIENCE: Duration = Duration::from_secs(6);

/// How often that is done.
pub(super) const DOUBTS: u32 = 3;

/// How long a getty may take to start once everything else has: it is among the first units.
pub(super) const GETTY_PATIENCE: Duration = Duration::from_secs(20);

/// How long a getty may take to ask again.
pub(super) const ANSWER: Duration = Duration::from_secs(6);

/// How long `login` may take to ask for a password: programs have to be read from the disk.
pub(super) const PASSWORD: Duration = Duration::from_secs(45);

/// How long a password question may be behind a prompt that came back.
pub(super) const BEHIND: Duration = Duration::from_secs(8);
