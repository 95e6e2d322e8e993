//! Recorded consoles in files: output, pauses, resets and expected input. Each is a test of the boot monitor, here with
//! a simulated clock and in the boot tests with QEMU.

use super::monitor::{Action, BootMonitor, Limits};
use super::verdict::{Class, NoteKind, Stage};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A recorded console and its expected class.
#[derive(Clone, Debug)]
pub struct Transcript {
    pub name: String,
    /// Names of classes, each of which is correct.
    pub want: Vec<String>,
    pub stage: Option<Stage>,
    pub notes: Vec<NoteKind>,
    /// Seconds that a verdict may take after the last step, if this is intentionally long.
    pub patience: Option<u64>,
    pub steps: Vec<TranscriptStep>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TranscriptStep {
    Text(String),
    Sleep(Duration),
    /// Waits for Enter.
    Enter,
    Reset,
    PowerOff,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    want: Vec<String>,
    stage: Option<Stage>,
    #[serde(default)]
    notes: Vec<NoteKind>,
    patience: Option<u64>,
    steps: Vec<Written>,
}

/// A step in the form of the file.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Text(String),
    Sleep(f64),
    Enter(#[expect(dead_code, reason = "always true")] bool),
    Reset(#[expect(dead_code, reason = "always true")] bool),
    PowerOff(#[expect(dead_code, reason = "always true")] bool),
    /// The name of a prelude.
    Boot(String),
    /// Prints this prompt and behaves as a getty from then on.
    Getty(String),
    /// Behaves as a getty whose prompt is already printed.
    Answers(String),
}

/// Parses the transcripts in a file. `preludes` contains common beginnings by name.
///
/// # Errors
/// The text is not TOML of this form, or names an unknown prelude.
pub fn parse(text: &str, preludes: &BTreeMap<String, String>) -> Result<Vec<Transcript>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    file.case.into_iter().map(|case| transcript(case, preludes)).collect()
}

fn transcript(case: Case, preludes: &BTreeMap<String, String>) -> Result<Transcript, String> {
    let mut steps = Vec::new();
    for step in case.steps {
        match step {
            Written::Text(text) => steps.push(TranscriptStep::Text(text)),
            Written::Sleep(seconds) => steps.push(TranscriptStep::Sleep(Duration::from_secs_f64(seconds))),
            Written::Enter(_) => steps.push(TranscriptStep::Enter),
            Written::Reset(_) => steps.push(TranscriptStep::Reset),
            Written::PowerOff(_) => steps.push(TranscriptStep::PowerOff),
            Written::Boot(name) => {
                let text = preludes.get(&name);
                let text = text.ok_or_else(|| format!("{}: unknown prelude `{name}`", case.name))?;
                steps.push(TranscriptStep::Text(text.clone()));
            }
            Written::Getty(prompt) => {
                steps.push(TranscriptStep::Text(prompt.clone()));
                steps.extend(answers(&prompt));
            }
            Written::Answers(prompt) => steps.extend(answers(&prompt)),
        }
    }
    Ok(Transcript {
        name: case.name,
        want: case.want,
        stage: case.stage,
        notes: case.notes,
        patience: case.patience,
        steps,
    })
}

/// The output of a getty after Enter, and after a user name.
fn answers(prompt: &str) -> [TranscriptStep; 4] {
    [
        TranscriptStep::Enter,
        TranscriptStep::Text(format!("\r\n{prompt}")),
        TranscriptStep::Enter,
        TranscriptStep::Text("isterprobe\r\nPassword: ".to_owned()),
    ]
}

impl Transcript {
    /// Replays the transcript to a monitor in pieces of this size. No passphrase is available.
    pub fn replay(&self, limits: Limits, piece: usize) -> (Class, BootMonitor, Duration) {
        const TICK: Duration = Duration::from_millis(1);
        /// How long a firmware takes after a reset.
        const FIRMWARE: Duration = Duration::from_millis(200);
        let mut monitor = BootMonitor::new(limits);
        let mut now = TICK;
        let mut steps = self.steps.iter();
        let mut sleeps = Duration::ZERO;
        let mut waits_for_enter = false;
        let mut entered = 0;
        loop {
            if let Some(class) = monitor.decide(now) {
                return (class, monitor, now);
            }
            while let Some(action) = monitor.action(now) {
                match action {
                    Action::Enter | Action::Type(_) => entered += 1,
                    Action::Unlock(_) => monitor.unanswered(now),
                }
            }
            if waits_for_enter && entered > 0 {
                (waits_for_enter, entered) = (false, entered - 1);
            }
            if now < sleeps || waits_for_enter {
                let left = monitor.patience(now).max(TICK);
                now += if now < sleeps { left.min(sleeps - now) } else { left };
                continue;
            }
            match steps.next() {
                Some(TranscriptStep::Text(text)) => {
                    for piece in text.as_bytes().chunks(piece.max(1)) {
                        monitor.serial(now, piece);
                    }
                }
                Some(TranscriptStep::Sleep(time)) => sleeps = now + *time,
                Some(TranscriptStep::Enter) => waits_for_enter = true,
                Some(TranscriptStep::Reset) => {
                    monitor.reset(now);
                    now += FIRMWARE;
                }
                Some(TranscriptStep::PowerOff) => {
                    monitor.shut_down(now);
                    let class = monitor.ended().unwrap_or(Class::EmulatorFailed);
                    return (class, monitor, now);
                }
                None => now += monitor.patience(now).max(TICK),
            }
        }
    }

    /// The total of its pauses.
    pub fn pauses(&self) -> Duration {
        let pauses = self.steps.iter().map(|step| match step {
            TranscriptStep::Sleep(time) => *time,
            _ => Duration::ZERO,
        });
        pauses.sum()
    }
}
