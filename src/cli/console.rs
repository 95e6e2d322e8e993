//! Console output: results on stdout, progress on stderr, as a spinner on terminals and as plain lines elsewhere.

use super::log_file;
use crate::host::{Event, Progress, visible};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How much is printed on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    Quiet,
    Normal,
    /// Also shows the output of programs, through the log file module.
    Debug,
}

pub(super) struct Console {
    verbosity: Verbosity,
    colour: bool,
    /// Whether steps are shown by a spinner instead of lines.
    spins: bool,
    state: Mutex<ConsoleState>,
}

#[derive(Default)]
struct ConsoleState {
    /// The spinner, from the first step on.
    bar: Option<ProgressBar>,
    step: Option<(String, Instant)>,
}

/// The spinner that is on the terminal. Results on stdout are printed around it.
static SPINNER: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn spinner(colour: bool) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = if colour { "{spinner:.cyan} {msg} {elapsed:.dim}" } else { "{spinner} {msg} {elapsed}" };
    bar.set_style(ProgressStyle::with_template(style).expect("the progress template is valid"));
    bar.enable_steady_tick(Duration::from_millis(120));
    *SPINNER.lock().unwrap_or_else(|e| e.into_inner()) = Some(bar.clone());
    bar
}

impl Console {
    pub(super) fn new(verbosity: Verbosity) -> Console {
        let colour = use_colour(std::io::stderr().is_terminal());
        let spins = std::io::stderr().is_terminal()
            && verbosity == Verbosity::Normal
            && std::env::var_os("CI").is_none();
        Console { verbosity, colour, spins, state: Mutex::default() }
    }

    /// Whether output on stderr is coloured.
    pub(super) fn colour(&self) -> bool {
        self.colour
    }

    /// Prints a line on stderr without disturbing the spinner.
    pub(super) fn say(&self, text: &str) {
        log_file::record("info", text);
        self.show(text);
    }

    fn show(&self, text: &str) {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        match &state.bar {
            Some(bar) => bar.suspend(|| eprintln_quietly(text)),
            None => eprintln_quietly(text),
        }
    }

    /// Ends the last step and removes the spinner.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        self.end_step(&mut state);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
            *SPINNER.lock().unwrap_or_else(|e| e.into_inner()) = None;
        }
    }

    fn end_step(&self, state: &mut ConsoleState) {
        if let (Some((text, started)), Some(bar)) = (state.step.take(), &state.bar) {
            let line = format!("  {text} {:.1} s", started.elapsed().as_secs_f64());
            bar.suspend(|| eprintln_quietly(&line));
        }
    }
}

/// An error that ends a command early leaves no spinner.
impl Drop for Console {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for Console {
    fn event(&self, event: Event) {
        let event = match event {
            Event::Step(text) => Event::Step(visible(&text).into_owned()),
            Event::Status(text) => Event::Status(visible(&text).into_owned()),
            Event::Note(text) => Event::Note(visible(&text).into_owned()),
            Event::Warning(text) => Event::Warning(visible(&text).into_owned()),
            Event::Debug(text) => Event::Debug(text),
        };
        match &event {
            Event::Step(text) | Event::Note(text) => log_file::record("info", text),
            Event::Warning(text) => log_file::record("warning", text),
            Event::Debug(text) => log_file::record("debug", text),
            Event::Status(_) => {}
        }
        if self.verbosity == Verbosity::Quiet && !matches!(event, Event::Warning(_)) {
            return;
        }
        match event {
            // The log file module prints it if debug output is enabled.
            Event::Debug(_) => {}
            Event::Step(text) => {
                let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
                self.end_step(&mut state);
                if self.spins && state.bar.is_none() {
                    state.bar = Some(spinner(self.colour));
                }
                match &state.bar {
                    Some(bar) => {
                        bar.reset_elapsed();
                        bar.set_message(text.clone());
                    }
                    None => eprintln_quietly(&format!("ister: {text}")),
                }
                state.step = Some((text, Instant::now()));
            }
            Event::Status(text) => {
                let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
                if let (Some(bar), Some((step, _))) = (&state.bar, &state.step) {
                    bar.set_message(format!("{step}: {text}"));
                }
            }
            Event::Note(text) => self.show(&format!("  {text}")),
            Event::Warning(text) => self.show(&format!("warning: {text}")),
        }
    }
}

/// Columns of the terminal that results are printed on; `None` if they go elsewhere.
pub(super) fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (stdout.is_terminal() && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Whether to use colours: on terminals, unless `NO_COLOR` is set (https://no-color.org) or the terminal is dumb.
pub(super) fn use_colour(terminal: bool) -> bool {
    terminal
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn eprintln_quietly(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a result on stdout. A closed pipe is not an error.
pub(super) fn print(text: &str) {
    let write = || {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    let spinner = SPINNER.lock().unwrap_or_else(|e| e.into_inner()).clone();
    match spinner.map_or_else(write, |bar| bar.suspend(write)) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln_quietly(&format!("error: could not write the result to standard output: {error}"));
            std::process::exit(3);
        }
        _ => {}
    }
}
