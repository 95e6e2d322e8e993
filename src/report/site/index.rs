//! The overview: problems, a matrix of types, formats and firmware, changes, and trends.

use super::chart::{self, Point};
use super::{ContentsFiles, Site, boots, document, words};
use crate::imagetest::history::{Green, PastStep, flaky};
use crate::imagetest::{Record, StepKind, StepOutcome, StepRecord};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn page(site: &Site) -> Markup {
    let results = &site.run.results;
    let count =
        |outcome: StepOutcome| results.types.iter().filter(|record| record.outcome() == outcome).count();
    let good = results.types.iter().filter(|record| record.is_good()).count();
    let body = html! {
        header {
            h1 { "Image types: " (good) " of " (results.run.planned.len()) " passed" }
            p class="quiet" {
                "run " b { (results.run.id) } " · " (words::moment(&results.run.started)) " UTC · "
                (words::seconds(results.run.seconds)) " · ister " (results.run.ister)
                @if let Some(revision) = &results.run.revision {
                    " · commit " code { (words::short(revision)) }
                    @if words::is_changed(revision) { " with uncommitted changes" }
                }
            }
            p {
                @for outcome in [
                    StepOutcome::Failed, StepOutcome::Infrastructure, StepOutcome::Flaky, StepOutcome::Passed,
                ] {
                    @if count(outcome) > 0 { span class="count" { (words::badge(outcome)) " " (count(outcome)) } " " }
                }
            }
            (lost(site))
        }
        main {
            (wrong(site))
            (limits(site))
            section {
                h2 { "Results by type, format and firmware" }
                (matrix(site))
            }
            section {
                h2 { "Boots" }
                (boot_table(site))
            }
            (changes(site))
            (files(site))
        }
    };
    document(&format!("ister: run {}", results.run.id), 0, &body)
}

/// Alerts for missing shards and results, so that an incomplete run is noticed.
fn lost(site: &Site) -> Markup {
    let run = site.run;
    html! {
        @if !run.absent.is_empty() {
            p class="alert" {
                "No results from shard "
                (run.absent.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")) "."
            }
        }
        @if !run.missing.is_empty() {
            p class="alert" { "No result for planned types: " (run.missing.join(", ")) "." }
        }
    }
}

/// All steps that did not pass, with the cause.
fn wrong(site: &Site) -> Markup {
    let bad: Vec<(&Record, &StepRecord)> = site
        .run
        .results
        .types
        .iter()
        .flat_map(|record| record.steps.iter().map(move |step| (record, step)))
        .filter(|(_, step)| !step.outcome.is_good())
        .collect();
    html! {
        @if !bad.is_empty() {
            section {
                h2 { "Problems" }
                @for (record, step) in bad {
                    article class="wrong" id={ (record.kind) "-" (step.kind.name()) } {
                        h3 { (record.kind) ": " (step.name) " " (words::badge(step.outcome)) }
                        // The evidence comes first.
                        @if !step.lines.is_empty() { pre { @for line in &step.lines { (line) "\n" } } }
                        p { b { (words::prose(&step.what)) } @if let Some(boot) = &step.boot { @if let Some(last) = boot.stages.last() { " at stage " (last.stage) } } }
                        @if let Some(advice) = step.boot.as_ref().and_then(|boot| boot.advice.as_ref()) { p { (words::prose(advice)) } }
                        @for line in step.boot.iter().flat_map(|boot| &boot.look_at) { p { "Check " (words::prose(line)) } }
                        p { "Reproduce: " code { (step.command) } }
                        @if let Some(boot) = &step.boot { p { a href={ (boot.report) "/index.html" } { "Boot report of " (boot.file) } } }
                    }
                }
            }
        }
    }
}

/// The values that have limits.
fn limits(site: &Site) -> Markup {
    let steps: Vec<(&Record, &StepRecord)> = site
        .run
        .results
        .types
        .iter()
        .flat_map(|record| record.steps.iter().map(move |step| (record, step)))
        .filter(|(_, step)| step.kind == StepKind::Limits)
        .collect();
    html! {
        @if !steps.is_empty() {
            section {
                h2 { "Budgets and regressions" }
                @for (record, step) in steps {
                    h3 { (record.kind) " " (words::badge(step.outcome)) }
                    ul { @for line in &step.lines { li { (words::prose(line)) } } }
                }
            }
        }
    }
}

/// A table with one row per type and format, and one column per boot method.
fn matrix(site: &Site) -> Markup {
    let starts: BTreeSet<String> = boots(site).map(|(_, _, boot)| words::start(boot)).collect();
    html! {
        div class="wide" {
            table class="matrix" {
                thead {
                    tr {
                        th scope="col" { "type" }
                        th scope="col" { "built" }
                        th scope="col" { "format" }
                        th scope="col" { "verified" }
                        @for start in &starts { th scope="col" { (start) } }
                    }
                }
                @for record in &site.run.results.types {
                    tbody { (of_type(site, record, &starts)) }
                }
            }
        }
    }
}

fn of_type(site: &Site, record: &Record, starts: &BTreeSet<String>) -> Markup {
    let formats: BTreeSet<&str> = record.files.iter().map(|file| file.format.as_str()).collect();
    // A type that was not built has no formats, but still gets a row.
    let formats: Vec<&str> = if formats.is_empty() { vec![""] } else { formats.into_iter().collect() };
    html! {
        @for (index, format) in formats.iter().enumerate() {
            tr {
                @if index == 0 {
                    th scope="rowgroup" rowspan=(formats.len()) { (record.kind) (contents(site, record)) }
                    td data-label="built" rowspan=(formats.len()) {
                        @for step in record.steps.iter().filter(|step| step.kind == StepKind::Build) {
                            (words::badge(step.outcome)) " " (words::seconds(step.seconds))
                        }
                    }
                }
                td class="format" { (format) }
                td data-label="verified" {
                    @for step in about(record, format).filter(|step| step.boot.is_none()) {
                        div class="result" { (words::badge(step.outcome)) @if step.kind != StepKind::Verify { " " (step.kind.name()) } }
                    }
                }
                @for start in starts {
                    td data-label=(start) {
                        @for (step, boot) in about(record, format).filter_map(|step| Some((step, step.boot.as_ref()?))) {
                            @if words::start(boot) == *start {
                                div class="result" {
                                    (words::badge(step.outcome)) " "
                                    a href={ (boot.report) "/index.html" } title={ "Boot report of " (boot.file) } { (words::disk(boot)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Links to the layout, the packages and the SBOM of a type.
fn contents(site: &Site, record: &Record) -> Markup {
    let files = site.contents.get(&record.kind).copied().unwrap_or_default();
    let links = [
        (files.has_plan, ContentsFiles::PLAN, "layout"),
        (files.has_packages, ContentsFiles::PACKAGES, "packages"),
        (files.has_sbom, ContentsFiles::SBOM, "SBOM"),
    ];
    html! {
        @for (_, file, name) in links.into_iter().filter(|(exists, ..)| *exists) {
            " " a class="contents" href={ (record.kind) "/" (file) } { (name) }
        }
    }
}

/// The steps for the files of a type with a given format.
fn about<'r>(record: &'r Record, format: &str) -> impl Iterator<Item = &'r StepRecord> {
    let names: Vec<&str> =
        record.files.iter().filter(|file| file.format == format).map(|file| file.name.as_str()).collect();
    record.steps.iter().filter(move |step| match (&step.boot, step.kind) {
        (Some(boot), _) => names.contains(&boot.file.as_str()),
        (None, StepKind::Build) => false,
        // "verify kvm.qcow2", "boot kvm.qcow2 (uefi, nvme)".
        (None, _) => names.iter().any(|name| {
            step.name.ends_with(&format!(" {name}")) || step.name.starts_with(&format!("boot {name} ("))
        }),
    })
}

fn boot_table(site: &Site) -> Markup {
    let longest = boots(site).map(|(_, _, boot)| boot.seconds).fold(0.0, f64::max);
    html! {
        p class="legend" {
            @for stage in ["firmware", "loader", "kernel", "initramfs", "init", "login"] {
                span class="key" { span class={ "swatch " (stage) } {} " " (stage) } " "
            }
        }
        div class="wide" {
            table class="boots" {
                thead {
                    tr {
                        th scope="col" { "boot" }
                        th scope="col" { "result" }
                        th scope="col" { "duration" }
                        th scope="col" { "stages" }
                        th scope="col" { "trend" }
                        th scope="col" { "flaky" }
                    }
                }
                tbody {
                    @for (record, step, boot) in boots(site) {
                        tr {
                            th scope="row" {
                                a href={ (boot.report) "/index.html" } { (boot.file) } br;
                                span class="quiet" { (words::start(boot)) ", " (words::disk(boot)) }
                            }
                            td data-label="result" { (words::badge(step.outcome)) " " (step.what) }
                            td data-label="duration" { (words::seconds(boot.seconds)) }
                            td data-label="stages" class="picture" { (chart::stages(&boot.stages, longest)) }
                            td data-label="trend" { (trend_of(site, &record.kind, &step.name)) }
                            td data-label="flaky" { (often(site, &record.kind, &step.name)) }
                        }
                    }
                }
            }
        }
    }
}

fn past<'s>(site: &'s Site<'_>, kind: &str, step: &str) -> &'s [PastStep] {
    site.past.steps.get(&(kind.to_owned(), step.to_owned())).map_or(&[], Vec::as_slice)
}

pub(super) fn trend_of(site: &Site, kind: &str, step: &str) -> Markup {
    let points: Vec<Point> = past(site, kind, step)
        .iter()
        .map(|step| Point {
            value: step.seconds,
            outcome: step.outcome,
            title: format!(
                "{}: {}, {}",
                words::moment(&step.started),
                step.what,
                words::seconds(step.seconds)
            ),
        })
        .collect();
    html! { @if points.len() > 1 { (chart::trend(&points)) } @else { span class="quiet" { "first run" } } }
}

fn often(site: &Site, kind: &str, step: &str) -> Markup {
    let (times, runs) = flaky(past(site, kind, step));
    html! { @if times > 0 { (times) " of " (runs) " runs" } @else { span class="quiet" { "never" } } }
}

/// Differences from the last run in which the type passed.
fn changes(site: &Site) -> Markup {
    let results = &site.run.results;
    let changed: Vec<(&Record, &Green, Vec<String>)> = results
        .types
        .iter()
        .filter_map(|record| {
            let green = site.past.green.get(&record.kind)?;
            let changes = changes_of(site, record, green);
            (!changes.is_empty()).then_some((record, green, changes))
        })
        .collect();
    html! {
        section {
            h2 { "Changes since the last green run" }
            @if changed.is_empty() {
                p class="quiet" { "No known changes, or no earlier green run." }
            }
            @for (record, green, changes) in changed {
                details open[!record.is_good()] {
                    summary {
                        b { (record.kind) } " · green on " (words::moment(&green.started)) " · "
                        (changes.len()) @if changes.len() == 1 { " change" } @else { " changes" }
                    }
                    ul { @for change in changes { li { (change) } } }
                }
            }
        }
    }
}

fn changes_of(site: &Site, record: &Record, green: &Green) -> Vec<String> {
    let run = &site.run.results.run;
    let mut changes = Vec::new();
    if let Some((before, now)) = green.revision.as_ref().zip(run.revision.as_ref())
        && before != now
    {
        let (from, to) = (words::short(before), words::short(now));
        if from != to {
            changes.push(format!("commits: git log {from}..{to}"));
        }
        if words::is_changed(before) || words::is_changed(now) {
            changes.push("uncommitted changes".to_owned());
        }
    }
    if green.ister != run.ister {
        changes.push(format!("ister: {} → {}", green.ister, run.ister));
    }
    // Without a package list, packages cannot be compared.
    if record.packages.is_empty() {
        return changes;
    }
    let names: BTreeSet<&String> = green.packages.keys().chain(record.packages.keys()).collect();
    let version = |packages: &BTreeMap<String, String>, name: &String| {
        packages.get(name).cloned().unwrap_or_else(|| "none".to_owned())
    };
    for name in names {
        let (before, now) = (version(&green.packages, name), version(&record.packages, name));
        if before != now {
            changes.push(format!("{name}: {before} → {now}"));
        }
    }
    changes
}

fn files(site: &Site) -> Markup {
    let trend = |kind: &str, name: &str| {
        let sizes = site.past.sizes.get(&(kind.to_owned(), name.to_owned())).map_or(&[][..], Vec::as_slice);
        let points: Vec<Point> = sizes
            .iter()
            .map(|size| Point {
                value: size.bytes as f64,
                outcome: StepOutcome::Passed,
                title: format!("{}: {}", words::moment(&size.started), words::size(size.bytes)),
            })
            .collect();
        html! { @if points.len() > 1 { (chart::trend(&points)) } @else { span class="quiet" { "first run" } } }
    };
    html! {
        section {
            h2 { "File sizes" }
            div class="wide" {
                table class="sizes" {
                    thead { tr { th scope="col" { "file" } th scope="col" { "size" } th scope="col" { "trend" } } }
                    tbody {
                        @for (record, file) in site.run.results.types.iter().flat_map(|r| r.files.iter().map(move |f| (r, f))) {
                            tr {
                                th scope="row" { (file.name) }
                                td data-label="size" { (words::size(file.bytes)) }
                                td data-label="trend" { (trend(&record.kind, &file.name)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
