//! Progress events. How they are displayed is decided elsewhere.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A new step starts; the previous one is complete.
    Step(String),
    /// Progress of the current step, for displays that can update it in place.
    Status(String),
    /// Information on a line of its own.
    Note(String),
    Warning(String),
    /// For the log: programs that are run, and their output.
    Debug(String),
}

/// Receives events, from several threads.
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
