//! Renders a run of `ister test` as static HTML pages: an overview, and one page per boot. The pages contain no
//! scripts, have light and dark colours, and fit on a phone.

mod boot;
mod chart;
mod index;
mod words;

use crate::imagetest::history::Past;
use crate::imagetest::{BootRecord, Merged, Record, StepRecord};
use maud::{DOCTYPE, Markup, html};
use std::collections::BTreeMap;

/// The data of the pages.
pub struct Site<'a> {
    pub run: &'a Merged,
    pub past: &'a Past,
    /// The files of each boot, by its report directory.
    pub files: &'a BTreeMap<String, BootFiles>,
    /// What is known about the contents of each image type, by its name.
    pub contents: &'a BTreeMap<String, ContentsFiles>,
}

/// Which files about the contents of an image type are in the type's directory of the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentsFiles {
    /// Picture of the partition layout, [`ContentsFiles::PLAN`].
    pub has_plan: bool,
    /// Packages with their versions, [`ContentsFiles::PACKAGES`].
    pub has_packages: bool,
    /// Software bill of materials (SPDX 2.3 JSON), [`ContentsFiles::SBOM`].
    pub has_sbom: bool,
}

impl ContentsFiles {
    pub const PLAN: &str = "plan.svg";
    pub const PACKAGES: &str = "packages.txt";
    pub const SBOM: &str = "spdx.json";
}

/// The files in the report directory of a boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootFiles {
    /// The lines of the serial console.
    pub serial: Vec<String>,
    /// Number of bytes before these lines that are only in `serial.log`, next to the page.
    pub left_out: u64,
    /// Whether there is a screenshot, `screen.png`, next to the page.
    pub has_screen: bool,
    /// Whether there is a picture of the boot paths, [`BootFiles::BOOT_PATHS`], next to the page.
    pub has_boot_paths: bool,
}

impl BootFiles {
    pub const BOOT_PATHS: &str = "boot-paths.svg";
}

/// A file of the site.
pub struct Page {
    /// Path in the directory of the site.
    pub path: String,
    pub text: String,
}

/// All pages, starting with the overview.
pub fn pages(site: &Site) -> Vec<Page> {
    let mut pages = vec![
        Page { path: "index.html".to_owned(), text: index::page(site).into_string() },
        Page { path: "style.css".to_owned(), text: include_str!("style.css").to_owned() },
    ];
    for (record, step, boot) in boots(site) {
        let text = boot::page(site, record, step, boot).into_string();
        pages.push(Page { path: format!("{}/index.html", boot.report), text });
    }
    pages
}

fn boots<'s>(site: &'s Site<'_>) -> impl Iterator<Item = (&'s Record, &'s StepRecord, &'s BootRecord)> {
    site.run
        .results
        .types
        .iter()
        .flat_map(|record| record.steps.iter().map(move |step| (record, step)))
        .filter_map(|(record, step)| Some((record, step, step.boot.as_ref()?)))
}

/// A complete document. `depth` is the number of directories between the page and the top of the site.
fn document(title: &str, depth: usize, body: &Markup) -> Markup {
    let top = "../".repeat(depth);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href={ (top) "style.css" };
                // Prevents requests for /favicon.ico.
                link rel="icon" href="data:,";
            }
            body { (body) }
        }
    }
}

#[cfg(test)]
mod tests;
