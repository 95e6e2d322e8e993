//! Timeouts of the monitor.

use super::super::verdict::{Class, Probed};
use std::time::Duration;

/// How the boot should end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// A getty prompts for a login, and responds.
    #[default]
    LoginPrompt,
    /// The guest does its work and powers itself off, as an installer does. A prompt may appear before.
    PowerOff,
}

impl Goal {
    /// Whether the class satisfies this goal. `probed` shows whether a console responded.
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

/// The responses that a getty has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A new prompt after Enter. This is sufficient where a login follows.
    Prompt,
    /// In addition, a password prompt after an unknown user name.
    Password,
}

/// Timeouts and the goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time without console output or disk traffic.
    pub silence: Duration,
    /// Total time.
    pub total: Duration,
    pub goal: Goal,
    /// How long a prompt has to remain before it is tested.
    pub dwell: Duration,
    pub probe: Probe,
}

/// Lines before and after an end that are recorded as its evidence.
pub(super) const EVIDENCE: usize = 12;

/// How long a later line can revoke an end.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// The same for a line of a program, which may have other reasons to print it. A getty may take this long to start.
pub(super) const PROGRAM_SETTLE: Duration = Duration::from_secs(9);

/// Length of a line that was interrupted by other output, in bytes, from which it is forgotten.
pub(super) const LONGEST_FRAGMENT: usize = 4 << 10;

/// How long an incomplete line has to remain after which Enter is pressed to test for a getty, although the init system
/// did not report that it has finished.
pub(super) const OPEN_PATIENCE: Duration = Duration::from_secs(15);

/// How long an incomplete line has to remain to be a prompt or a message without a line end.
pub(super) const STANDS: Duration = Duration::from_millis(1500);

/// How long a prompt and the response to Enter have to remain at least, because an issue file may contain the same
/// text.
pub(super) const ANSWER_STANDS: Duration = Duration::from_millis(500);

/// Time without output after which a menu or a dialog box is considered to wait for a key.
pub(super) const QUIET: Duration = Duration::from_secs(6);

/// How long a passphrase prompt has to remain before the passphrase is typed.
pub(super) const QUESTION_STANDS: Duration = Duration::from_secs(1);

/// From this number on, resets by the guest are a loop and no longer part of a firmware's initialization.
pub(super) const RESETS: u32 = 3;

/// Resets this soon after another, without output between them, are one. Those of SeaBIOS take 50 ms.
pub(super) const SAME_RESET: Duration = Duration::from_secs(1);

/// How long a guest may take to recover from a stall.
pub(super) const STALL_PATIENCE: Duration = Duration::from_secs(45);

/// The report of a stall takes at most this time; later output shows that the guest has recovered.
pub(super) const STALL_REPORT: Duration = Duration::from_secs(10);

/// Time without output on the serial console after which the screen is read.
pub(super) const SERIAL_NO_OUTPUT: Duration = Duration::from_secs(6);

/// Time without output after which Enter is pressed to test for a getty.
pub(super) const DOUBT_PATIENCE: Duration = Duration::from_secs(6);

/// How often that is done.
pub(super) const DOUBTS: u32 = 3;

/// How long a getty may take to start after everything else has. It is among the first units.
pub(super) const GETTY_PATIENCE: Duration = Duration::from_secs(20);

/// How long a getty may take to print a new prompt.
pub(super) const ANSWER: Duration = Duration::from_secs(6);

/// How long `login` may take to print a password prompt. Its programs have to be read from the disk.
pub(super) const PASSWORD: Duration = Duration::from_secs(45);

/// How long a password prompt may be delayed after the login prompt was printed again.
pub(super) const BEHIND: Duration = Duration::from_secs(8);
