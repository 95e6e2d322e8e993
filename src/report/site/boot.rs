//! The page of a boot: the machine, the duration of each stage, the screenshot, and the serial console with the
//! deciding lines highlighted.

use super::index::trend_of;
use super::{BootFiles, Site, chart, document, words};
use crate::boot::{CheckOutcome, CheckResult};
use crate::imagetest::{BootRecord, Record, StepRecord};
use maud::{Markup, html};

/// Number of directories between the page and the top of the site: image type and report.
const DEPTH: usize = 2;

pub(super) fn page(site: &Site, record: &Record, step: &StepRecord, boot: &BootRecord) -> Markup {
    let none = BootFiles::default();
    let files = site.files.get(&boot.report).unwrap_or(&none);
    let marked = deciding(&files.serial, &step.lines);
    let hardware = &boot.hardware;
    let processors = match hardware.cpus {
        1 => "1 processor".to_owned(),
        count => format!("{count} processors"),
    };
    let facts = [
        ("type", record.kind.clone()),
        ("file", boot.file.clone()),
        ("boot method", words::start(boot)),
        ("disk", words::disk(boot)),
        ("network card", hardware.network_card.name()),
        ("machine", format!("{processors}, {} MiB", hardware.memory)),
        ("accelerator", boot.accelerator.to_string()),
        ("duration", words::seconds(boot.seconds)),
    ];
    let body = html! {
        header {
            p { a href={ (("../").repeat(DEPTH)) "index.html" } { "← overview of run " (site.run.results.run.id) } }
            h1 { (boot.file) " " (words::badge(step.outcome)) }
            p { b { (words::prose(&step.what)) } @if let Some(last) = boot.stages.last() { " at stage " (last.stage) } }
            @if let Some(advice) = &boot.advice { p class="alert" { (words::prose(advice)) } }
            @for line in &boot.look_at { p { "Check " (words::prose(line)) } }
            @if !step.earlier.is_empty() {
                p { "Earlier attempts failed because of the host: " (step.earlier.join(", ")) "." }
            }
        }
        main {
            section {
                h2 { "Deciding lines" }
                ul class="proof" {
                    @for (line, number) in step.lines.iter().zip(&marked) {
                        li {
                            @match number {
                                Some(number) => a href={ "#line-" (number + 1) } { code { (clean(line)) } },
                                None => code { (clean(line)) },
                            }
                        }
                    }
                }
            }
            (stages(site, record, step, boot))
            (checks(boot))
            (cloud_requests(boot))
            section {
                h2 { "Machine" }
                dl { @for (name, value) in facts { dt { (name) } dd { (value) } } }
                p { "Reproduce: " code { (step.command) } }
            }
            @if files.has_boot_paths {
                section {
                    h2 { "Boot paths" }
                    p class="quiet" { "What each firmware finds in the image, as determined by verification before the boot." }
                    img class="screen" src=(BootFiles::BOOT_PATHS) alt="boot loaders, entries, kernels and command lines" loading="lazy";
                }
            }
            @if files.has_screen {
                section {
                    h2 { "Screen" }
                    img class="screen" src="screen.png" alt="screenshot at the end of the boot" loading="lazy";
                }
            }
            (serial_console(files, &marked))
        }
    };
    document(&format!("{}: {}", boot.file, step.what), DEPTH, &body)
}

/// The duration of each stage, and the trend.
fn stages(site: &Site, record: &Record, step: &StepRecord, boot: &BootRecord) -> Markup {
    html! {
        section {
            h2 { "Stages" }
            (chart::stages(&boot.stages, boot.seconds))
            div class="wide" {
                table {
                    thead { tr { th scope="col" { "stage" } th scope="col" { "at" } th scope="col" { "took" } } }
                    tbody {
                        @for time in &boot.stages {
                            tr {
                                th scope="row" { span class={ "swatch " (time.stage) } {} " " (time.stage) }
                                td data-label="at" { (words::seconds(time.at)) }
                                td data-label="took" { (words::seconds(time.took)) }
                            }
                        }
                    }
                }
            }
            p { "Previous runs: " (trend_of(site, &record.kind, &step.name)) }
        }
    }
}

/// The results of checks in the guest.
fn checks(boot: &BootRecord) -> Markup {
    let outcome = |result: &CheckResult| match result.outcome {
        CheckOutcome::Passed => ("passed", "✓"),
        CheckOutcome::Failed => ("failed", "✗"),
        CheckOutcome::Skipped => ("skipped", "–"),
    };
    html! {
        @if !boot.checks.is_empty() {
            section {
                h2 { "Checks in the guest" }
                div class="wide" {
                    table {
                        thead { tr { th scope="col" { "check" } th scope="col" { "result" } th scope="col" { "differences" } } }
                        tbody {
                            @for (result, (word, mark)) in boot.checks.iter().map(|result| (result, outcome(result))) {
                                tr {
                                    th scope="row" { (clean(&result.check)) }
                                    td data-label="result" { span class={ "badge " (word) } { (mark) " " (word) } }
                                    td data-label="differences" { @for problem in &result.problems { code { (clean(problem)) } br; } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the instance asked its cloud's metadata service.
fn cloud_requests(boot: &BootRecord) -> Markup {
    html! {
        @if !boot.cloud_requests.is_empty() {
            section {
                h2 { "Requests to the metadata service" }
                div class="wide" {
                    table {
                        thead { tr { th scope="col" { "request" } th scope="col" { "status" } th scope="col" { "times" } } }
                        tbody {
                            @for request in &boot.cloud_requests {
                                tr {
                                    th scope="row" { code { (clean(&request.method)) " " (clean(&request.path)) } }
                                    td data-label="status" { (request.status) }
                                    td data-label="times" { (request.count) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The serial console, with the deciding lines highlighted.
fn serial_console(files: &BootFiles, marked: &[Option<usize>]) -> Markup {
    html! {
        section {
            h2 { "Serial console" }
            @if files.serial.is_empty() { p class="quiet" { "No output." } }
            @if files.left_out > 0 {
                p class="quiet" { "Only the end is shown. Complete log: " a href="serial.log" { "serial.log" } }
            }
            pre class="serial" {
                @for (index, line) in files.serial.iter().enumerate() {
                    span id={ "line-" (index + 1) } class="line" {
                        @if marked.contains(&Some(index)) { mark { (clean(line)) } } @else { (clean(line)) }
                    }
                    "\n"
                }
            }
        }
    }
}

/// The position of each deciding line in the log. If a line occurs several times, its last occurrence is used.
fn deciding(serial: &[String], lines: &[String]) -> Vec<Option<usize>> {
    let mut before = serial.len();
    let mut places: Vec<Option<usize>> = lines
        .iter()
        .rev()
        .map(|line| {
            let found = serial[..before].iter().rposition(|other| other.trim_end() == line.trim_end());
            before = found.unwrap_or(before);
            found
        })
        .collect();
    places.reverse();
    places
}

/// Replaces control characters, most of which are not allowed in HTML.
fn clean(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deciding_lines_are_the_last_occurrences_in_order() {
        let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let serial = text(&["a", "b", "a", "b ", "c"]);
        assert_eq!(deciding(&serial, &text(&["a", "b"])), [Some(2), Some(3)]);
        assert_eq!(deciding(&serial, &text(&["x", "c"])), [None, Some(4)]);
        assert_eq!(deciding(&[], &text(&["x"])), [None]);
    }
}
