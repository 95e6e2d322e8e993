//! A boot's own page: what it ran on, how long each stage took, the screen, and the serial console with the lines that prove
//! how it ended.

use super::index::trend_of;
use super::{BootFiles, Site, chart, document, words};
use crate::imagetest::{BootRecord, Record, StepRecord};
use maud::{Markup, html};

/// Directories between a boot's page and the site's top: type and report.
const DEPTH: usize = 2;

pub(super) fn page(site: &Site, record: &Record, step: &StepRecord, boot: &BootRecord) -> Markup {
    let none = BootFiles::default();
    let files = site.files.get(&boot.report).unwrap_or(&none);
    let marked = proving(&files.serial, &step.lines);
    let hardware = &boot.hardware;
    let processors = match hardware.cpus {
        1 => "1 processor".to_owned(),
        count => format!("{count} processors"),
    };
    let facts = [
        ("type", record.kind.clone()),
        ("file", boot.file.clone()),
        ("started by", words::start(boot)),
        ("disk", words::disk(boot)),
        ("network card", hardware.network_card.name()),
        ("machine", format!("{processors}, {} MiB", hardware.memory)),
        ("accelerator", boot.accelerator.to_string()),
        ("ended after", words::seconds(boot.seconds)),
    ];
    let body = html! {
        header {
            p { a href={ (("../").repeat(DEPTH)) "index.html" } { "← run " (site.run.results.run.id) } }
            h1 { (boot.file) " " (words::badge(step.outcome)) }
            p { b { (step.what) } @if let Some(last) = boot.stages.last() { " at stage " (last.stage) } }
            @if let Some(advice) = &boot.advice { p class="alert" { (advice) } }
            @for line in &boot.look_at { p { "Look at " code { (line) } } }
            @if !step.earlier.is_empty() {
                p { "Earlier attempts ended by the host's fault: " (step.earlier.join(", ")) "." }
            }
        }
        main {
            (stages(site, record, step, boot))
            section {
                h2 { "Machine" }
                dl { @for (name, value) in facts { dt { (name) } dd { (value) } } }
                p { "Repeat it: " code { (step.command) } }
            }
            section {
                h2 { "What proves it" }
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
            @if files.has_boot_paths {
                section {
                    h2 { "How it boots" }
                    p class="quiet" { "What each firmware finds on it, as verification read it before the boot." }
                    img class="screen" src=(BootFiles::BOOT_PATHS) alt="loaders, entries, kernels and command lines" loading="lazy";
                }
            }
            @if files.has_screen {
                section {
                    h2 { "Screen" }
                    img class="screen" src="screen.png" alt="the screen when it ended" loading="lazy";
                }
            }
            (serial_console(files, &marked))
        }
    };
    document(&format!("{}: {}", boot.file, step.what), DEPTH, &body)
}

/// How long each stage took, and did before.
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
            p { "Before: " (trend_of(site, &record.kind, &step.name)) }
        }
    }
}

/// With the proving lines marked.
fn serial_console(files: &BootFiles, marked: &[Option<usize>]) -> Markup {
    html! {
        section {
            h2 { "Serial console" }
            @if files.serial.is_empty() { p class="quiet" { "Nothing was said." } }
            @if files.left_out > 0 {
                p class="quiet" { "The end of it; all is in " a href="serial.log" { "serial.log" } "." }
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

/// Where each proving line stands in the log: the last ones of that text, since the end is what they prove.
fn proving(serial: &[String], lines: &[String]) -> Vec<Option<usize>> {
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

/// HTML has no way to write most control characters.
fn clean(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proving_lines_are_the_last_of_their_kind_in_order() {
        let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let serial = text(&["a", "b", "a", "b ", "c"]);
        assert_eq!(proving(&serial, &text(&["a", "b"])), [Some(2), Some(3)]);
        assert_eq!(proving(&serial, &text(&["x", "c"])), [None, Some(4)]);
        assert_eq!(proving(&[], &text(&["x"])), [None]);
    }
}
