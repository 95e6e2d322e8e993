//! What the library tells through the `log` crate. Others' messages are left out: an HTTP client shows whole URLs.

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

/// From here on each debug line goes there. Only the first call counts.
pub fn debug_lines_to(sink: fn(String)) {
    if SINK.set(sink).is_ok() && log::set_logger(&Facade).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}
