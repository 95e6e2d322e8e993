//! Forwards debug messages of the `log` crate. Messages of dependencies are excluded: an HTTP client logs complete
//! URLs.

use std::sync::OnceLock;

static SINK: OnceLock<fn(String)> = OnceLock::new();

struct Facade;

impl log::Log for Facade {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("ister")
    }

    fn log(&self, message: &log::Record) {
        if let Some(sink) = SINK.get().filter(|_| self.enabled(message.metadata())) {
            sink(message.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Sends all further debug messages to `sink`. Only the first call has an effect.
pub fn debug_lines_to(sink: fn(String)) {
    if SINK.set(sink).is_ok() && log::set_logger(&Facade).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}
