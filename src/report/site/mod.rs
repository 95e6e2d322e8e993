//! A run of `ister test` as static pages: one with everything, and one for each boot. No scripts; they follow the reader's
//! light or dark colours, and fit a phone.

mod boot;
mod chart;
mod index;
mod words;

use crate::imagetest::history::Past;
use crate::imagetest::{BootRecord, Merged, Record, StepRecord};
use maud::{DOCTYPE, Markup, html};
use std::collections::BTreeMap;

/// What the pages are made of.
pub struct Site<'a> {
    pub run: &'a Merged,
    pub past: &'a Past,
    /// Of each boot, by its report's directory.
    pub files: &'a BTreeMap<String, BootFiles>,
}

/// What a boot left in its report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootFiles {
    /// The serial console, a line each.
    pub serial: Vec<String>,
    /// Bytes in front of these that are only in `serial.log`, beside the page.
    pub left_out: u64,
    /// Whether there is a picture, which then lies beside the boot's page as `screen.png`.
    pub has_screen: bool,
    /// Whether verification drew how the file boots, as [`BootFiles::BOOT_PATHS`] beside the page.
    pub has_boot_paths: bool,
}

impl BootFiles {
    pub const BOOT_PATHS: &str = "boot-paths.svg";
}

/// A file of the site.
pub struct Page {
    /// From the site's directory.
    pub path: String,
    pub text: String,
}

/// All pages, the first one in front.
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

/// A whole document. `depth`: directories between the page and the site's top.
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
                // Nobody is asked for a picture that is not there.
                link rel="icon" href="data:,";
            }
            body { (body) }
        }
    }
}

#[cfg(test)]
mod tests;
