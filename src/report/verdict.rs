//! Renders a verdict as text.

use super::Table;
use crate::boot::{
    Answer, CheckOutcome, Class, Outcome, Probed, Stage, Start, Verdict, Witnessed, is_health_check,
};
use crate::host::visible;

/// A remark if the prompt did not appear on the serial console.
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
        out.push_str(&format!("check {line}\n"));
    }
    for (what, path) in [("serial log", &verdict.serial_log), ("screenshot", &verdict.screenshot)] {
        if let Some(path) = path {
            out.push_str(&format!("{what}: {}\n", path.display()));
        }
    }
    out
}

/// The line with the result.
fn headline(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = format!("{}: ", verdict.image.display());
    match verdict.outcome {
        Outcome::Reached => {
            let what = match last.class {
                Class::PoweredOff => "powered off after",
                Class::AutoLogin => "reached a console without a login (auto-login) in",
                Class::WindowsConsole => "reached the Windows console (SAC) in",
                _ => "reached the login prompt in",
            };
            out.push_str(&format!("{what} {:.1} s{}\n", last.seconds - last.dwelled, seen(verdict)))
        }
        Outcome::Failed => {
            let what = if last.stage == Stage::Login { "booted, but failed" } else { "did not boot" };
            out.push_str(&format!(
                "{what}: {} at stage {} after {:.1} s\n",
                last.class, last.stage, last.seconds
            ));
        }
        Outcome::Infrastructure => out.push_str(&format!(
            "could not be tested: {} at stage {} after {:.1} s\n",
            last.class, last.stage, last.seconds
        )),
    }
    out
}

/// Machine, login prompt and kernel.
fn circumstances(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = format!(
        "firmware {}, accelerator {} ({})\n",
        verdict.firmware, verdict.accelerator, verdict.accelerator_reason
    );
    if let Some(other) = &verdict.other_firmware {
        out.push_str(&format!(
            "first attempt with firmware {}: {} at stage {}\n",
            other.firmware, other.class, other.stage
        ));
    }
    let answer = match last.probed {
        Probed::Not => None,
        Probed::Silent => Some("no response"),
        Probed::Prompt => Some("getty responded"),
        Probed::Password => Some("getty responded, and a password prompt appeared"),
    };
    if let Some(answer) = answer {
        out.push_str(&format!("prompt observed for {:.1} s: {answer}\n", last.dwelled));
    }
    if let Some(version) = &last.kernel.version {
        out.push_str(&format!("kernel {}\n", visible(version)));
    }
    if let Some(line) = &last.kernel.command_line {
        out.push_str(&format!("command line {}\n", visible(line)));
    }
    for attempt in &verdict.earlier {
        out.push_str(&format!(
            "an earlier attempt failed because of the host: {} at stage {} after {:.1} s\n",
            attempt.class, attempt.stage, attempt.seconds
        ));
    }
    if !verdict.given.is_empty() {
        out.push_str(&format!("additional inputs: {}\n", verdict.given.join(", ")));
    }
    if verdict.start == Start::Network {
        out.push_str("network boot by iPXE\n");
    }
    if verdict.start == Start::Kernel {
        out.push_str("direct kernel boot: firmware and boot loader were not tested\n");
    }
    out
}

/// The console lines that decided the verdict, and notes.
fn evidence(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = String::new();
    out.push_str(if verdict.outcome == Outcome::Reached { "matched: " } else { "last output:\n" });
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

/// Further boots, updates, and commands that were run in the guest.
fn afterwards(verdict: &Verdict) -> String {
    let last = &verdict.last;
    let mut out = String::new();
    if let Some(again) = &last.again {
        out.push_str(&format!(
            "powered off in {:.1} s; second boot {} after {:.1} s\n",
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
            if update.reinstalled.is_some() { "; the same kernel was reinstalled first" } else { "" },
            if update.fallback == Some(true) {
                "; the old kernel still boots from the boot menu"
            } else {
                ""
            }
        ));
    }
    let asked = last.cloud_requests.iter().map(|request| u64::from(request.count)).sum::<u64>();
    if asked > 0 {
        out.push_str(&format!(
            "{asked} requests to the metadata service, {} different ones\n",
            last.cloud_requests.len()
        ));
    }
    for result in &last.checks {
        let mark = match result.outcome {
            CheckOutcome::Passed => "passed",
            CheckOutcome::Failed => "FAILED",
            CheckOutcome::Skipped => "skipped",
        };
        out.push_str(&format!("{mark:8} {}\n", visible(&result.check)));
        for problem in &result.problems {
            out.push_str(&format!("         {}\n", visible(problem)));
        }
    }
    // The output of successful checks is in verdict.json.
    let is_shown =
        |answer: &&Answer| verdict.outcome != Outcome::Reached || !is_health_check(&answer.command);
    let checks = last.answers.len() - last.answers.iter().filter(is_shown).count();
    if checks > 0 {
        out.push_str(&format!("{checks} checks of `--healthy` passed\n"));
    }
    for answer in last.answers.iter().filter(is_shown) {
        out.push_str(&format!("$ {}    (status {})\n", answer.command, answer.status));
        for line in &answer.lines {
            out.push_str(&format!("  {}\n", visible(line)));
        }
    }
    out
}
