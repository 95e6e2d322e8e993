//! How far a boot is for the monitor.

use super::super::verdict::Class;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) line: String,
    /// For a console that is no getty: what it is called.
    pub(super) reached: Option<Class>,
    pub(super) since: Duration,
    pub(super) step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
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
pub(super) enum State {
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
