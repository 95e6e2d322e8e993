//! Texts and formats that are used on all pages.

use crate::boot::Start;
use crate::imagetest::{BootRecord, StepOutcome};
use crate::template::Bytes;
use maud::{Markup, html};

/// A message as HTML: text in back-quotes becomes code.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A coloured badge that is also readable without colours.
pub(super) fn badge(outcome: StepOutcome) -> Markup {
    let mark = match outcome {
        StepOutcome::Passed => "✓",
        StepOutcome::Flaky => "≈",
        StepOutcome::Infrastructure => "!",
        StepOutcome::Failed => "✗",
    };
    html! { span class={ "badge " (outcome.name()) } { (mark) " " (outcome.name()) } }
}

/// The boot method.
pub(super) fn start(boot: &BootRecord) -> String {
    match boot.start {
        Start::Firmware => boot.firmware.to_string(),
        Start::Kernel => "direct kernel".to_owned(),
        Start::Network => "network".to_owned(),
    }
}

/// The type of the boot disk.
pub(super) fn disk(boot: &BootRecord) -> String {
    match boot.start {
        Start::Network => "no disk".to_owned(),
        Start::Firmware | Start::Kernel => boot.hardware.disk.name(),
    }
}

pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 90.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole / 3600 {
        0 => format!("{} min {:02} s", whole / 60, whole % 60),
        hours => format!("{hours} h {:02} min", whole % 3600 / 60),
    }
}

pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB {
        Bytes(bytes).to_string()
    } else {
        format!("{} MiB", bytes.saturating_add(MIB / 2) / MIB)
    }
}

/// Shortens an RFC 3339 timestamp to "2026-01-02 03:04".
pub(super) fn moment(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

/// The abbreviated commit, without the marker for uncommitted changes.
pub(super) fn short(revision: &str) -> &str {
    let commit = revision.split('+').next().unwrap_or(revision);
    commit.get(..12).unwrap_or(commit)
}

/// Whether there were uncommitted changes.
pub(super) fn is_changed(revision: &str) -> bool {
    revision.contains('+')
}
