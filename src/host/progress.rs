//! What an effect tells about itself while it works. Who shows it, and how, is not decided here.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A piece of work begins; the one before it is done.
    Step(String),
    /// How far the step is: for where it can be shown in place.
    Status(String),
    /// Something worth a line of its own.
    Note(String),
    Warning(String),
    /// For the log: which program ran, and what it said.
    Debug(String),
}

/// Where events go. Called from several threads.
pub trait Progress: Sync {
    fn event(&self, event: Event);
}

impl<F: Fn(Event) + Sync> Progress for F {
    fn event(&self, event: Event) {
        self(event);
    }
}

impl dyn Progress + '_ {
    pub fn begin(&self, text: impl Into<String>) {
        self.event(Event::Step(text.into()));
    }

    pub fn status(&self, text: impl Into<String>) {
        self.event(Event::Status(text.into()));
    }

    pub fn note(&self, text: impl Into<String>) {
        self.event(Event::Note(text.into()));
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.event(Event::Warning(text.into()));
    }
}
