//! A verdict for people.

use super::Table;
use crate::boot::{Class, Outcome, Probed, Start, Verdict, Witnessed};
use crate::host::visible;

/// Where it was seen, if not on the serial console.
fn seen(verdict: &Verdict) -> &'static str {
    match verdict.last.witnessed {
        Witnessed::Serial => "",
        Witnessed::Screen => ", seen on the screen",
    }
}

pub fn verdict_human(verdict: &Verdict) -> String {
    let mut out = headline(verdict);
    out.push_str(&circumstances(verdict));
    let last = &verdict.last;
    let mut table = Table::new(&["stage", "at", "took"], &[1, 2]);
    for time in &last.stages {
        table.row([time.stage.to_string(), format!("{:.1} s", time.at), format!("{:.1} s", time.took)]);
    }
    out.push_str(&table.render());
    out.push_str(&evidence(verdict));
    out.push_str(&afterwards(verdict));
    if let Some(advice) = &verdict.advice {
        out.push_str(&format!("help: {advice}\n"));
    }
    for line in &verdict.look_at {
        out.push_str(&format!("look at {line}\n"));
    }
    for (what, path) in [("serial log", &verdict.serial_log), ("screenshot", &verdict.screenshot)] {
        if let Some(path) = path {
            out.push_str(&format!("{what}: {}\n", path.display()));
        }
    }
    out
}

/// What it came to.
fn headline(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = format!("{}: ", verdict.image.display());
    match verdict.outcome {
        Outcome::Reached => {
            let what = match last.class {
                Class::PoweredOff => "switched itself off after",
                Class::AutoLogin => "reached a console without a login (auto-login) in",
                Class::WindowsConsole => "reached the console of Windows (SAC) in",
                _ => "reached the login prompt in",
            };
            out.push_str(&format!("{what} {:.1} s{}\n", last.seconds - last.dwelled, seen(verdict)))
        }
        Outcome::Failed => out.push_str(&format!(
            "did NOT boot: {} at stage {} after {:.1} s\n",
            last.class, last.stage, last.seconds
        )),
        Outcome::Infrastructure => out.push_str(&format!(
            "could not be tested: {} at stage {} after {:.1} s\n",
            last.class, last.stage, last.seconds
        )),
    }
    out
}

/// Of the machine, the prompt and the kernel.
fn circumstances(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = format!(
        "firmware {}, accelerator {} ({})\n",
        verdict.firmware, verdict.accelerator, verdict.accelerator_reason
    );
    if let Some(other) = &verdict.other_firmware {
        out.push_str(&format!(
            "tried first: firmware {}: {} at stage {}\n",
            other.firmware, other.class, other.stage
        ));
    }
    let answer = match last.probed {
        Probed::Not => None,
        Probed::Silent => Some("nothing answered there"),
        Probed::Prompt => Some("the getty answered"),
        Probed::Password => Some("the getty answered, and login asked for a password"),
    };
    if let Some(answer) = answer {
        out.push_str(&format!("the prompt was watched for {:.1} s; {answer}\n", last.dwelled));
    }
    if let Some(version) = &last.kernel.version {
        out.push_str(&format!("kernel {}\n", visible(version)));
    }
    if let Some(line) = &last.kernel.command_line {
        out.push_str(&format!("command line {}\n", visible(line)));
    }
    for attempt in &verdict.earlier {
        out.push_str(&format!(
            "an earlier attempt ended by the host's fault: {} at stage {} after {:.1} s\n",
            attempt.class, attempt.stage, attempt.seconds
        ));
    }
    if !verdict.given.is_empty() {
        out.push_str(&format!("besides the image it had: {}\n", verdict.given.join(", ")));
    }
    if verdict.start != Start::Firmware {
        out.push_str("QEMU started the kernel itself: nothing is said of firmware and loader\n");
    }
    out
}

/// Lines that prove it, and notes.
fn evidence(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = String::new();
    out.push_str(if verdict.outcome == Outcome::Reached { "seen: " } else { "what was seen last:\n" });
    if verdict.outcome == Outcome::Reached {
        out.push_str(&format!("{}\n", visible(last.lines.join(" ").trim_end())));
    } else {
        for line in &last.lines {
            out.push_str(&format!("  | {}\n", visible(line)));
        }
    }
    for note in &last.notes {
        out.push_str(&format!("note: {}: {}\n", note.kind, visible(&note.line)));
    }
    out
}

/// Further boots, and what was asked inside.
fn afterwards(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = String::new();
    if let Some(again) = &last.again {
        out.push_str(&format!(
            "switched off in {:.1} s, {} again after {:.1} s\n",
            again.power_off,
            if verdict.outcome == Outcome::Reached { "reached the prompt" } else { "ended" },
            again.seconds
        ));
    }
    if let Some(update) = &last.update {
        out.push_str(&format!(
            "updated from kernel {} to {}, {} packages{}{}\n",
            update.from,
            update.to,
            update.packages.len(),
            if update.reinstalled.is_some() { "; the same kernel was installed again before" } else { "" },
            if update.fallback == Some(true) { "; from the loader's menu the old one started" } else { "" }
        ));
    }
    for answer in &last.answers {
        out.push_str(&format!("$ {}    (status {})\n", answer.command, answer.status));
        for line in &answer.lines {
            out.push_str(&format!("  {}\n", visible(line)));
        }
    }
    out
}
