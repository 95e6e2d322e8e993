//! The state of the monitor.

use super::super::verdict::Class;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) line: String,
    /// For a console without a getty: its class.
    pub(super) reached: Option<Class>,
    pub(super) since: Duration,
    pub(super) step: PromptStep,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PromptStep {
    Dwelling,
    /// Enter was pressed.
    Entered {
        at: Duration,
        again: bool,
    },
    /// A user name was typed. `back`: when the login prompt appeared again.
    Named {
        at: Duration,
        back: Option<Duration>,
    },
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Booting,
    /// A login prompt is shown.
    Prompt(Prompt),
    /// A possible end that later output can revoke.
    Ending {
        class: Class,
        at: Duration,
        /// How long later output can revoke it.
        settle: Duration,
        resume: Option<Prompt>,
    },
    Ended(Class),
}
