//! A manual page of a command: what clap_mangen makes of its options, and sections of our own.

use anyhow::Context;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The date in the footer of the pages: that of the release.
const DATE: &str = "2026-11-30";

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Success."),
    (
        "1",
        "Findings, a template that cannot be built, a failed hook, or a boot that did not reach the login prompt.",
    ),
    ("2", "Wrong usage: an unknown option, or an input that does not exist."),
    ("3", "An error of the host: a missing program, no space, no network."),
    ("13", "Stopped by ister.exit on the kernel command line."),
    ("130, 143", "Interrupted by SIGINT or SIGTERM."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("SOURCE_DATE_EPOCH", "Seconds since 1970: later timestamps in images are set to this time."),
    ("XDG_CACHE_HOME", "Directory of the content cache, ister/ in it. The default is ~/.cache."),
    ("TMPDIR", "Directory for temporary files. The default is /var/tmp for large files, otherwise /tmp."),
    ("http_proxy, https_proxy, no_proxy", "Proxies for downloads, if the template has none."),
    ("NO_COLOR", "If set and not empty, output has no colours."),
    ("CI", "If set, progress is printed as lines, also on a terminal."),
];

const FILES: &[(&str, &str)] = &[
    ("~/.cache/ister", "Content of earlier builds. ister cache lists and removes it."),
    ("IMAGE.plan.json", "The plan that an image was built by, next to the image."),
    ("IMAGE.receipt.json", "The receipt of an image that booted."),
    (
        "IMAGE.packages, IMAGE.spdx.json, IMAGE.cdx.json",
        "The packages of an image: as a list, and as SBOMs (SPDX 2.3 and CycloneDX 1.5).",
    ),
    ("/etc/subuid, /etc/subgid", "Ranges of IDs for user namespaces; needed unless ister runs as root."),
];

/// The page, as roff.
pub(super) fn page(mut command: clap::Command) -> anyhow::Result<String> {
    let (about, examples) = without_examples(&command);
    command = command.long_about(about);
    let is_top = command.get_name() == "ister";
    let see_also: Vec<String> = match is_top {
        true => command.get_subcommands().filter(|c| !c.is_hide_set()).map(page_of).collect(),
        false => vec!["ister(1)".to_owned()],
    };
    let version = concat!("ister ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).date(DATE).source(version).manual("ister manual");
    let mut out = Vec::new();
    let mut render = || -> std::io::Result<()> {
        man.render_title(&mut out)?;
        man.render_name_section(&mut out)?;
        man.render_synopsis_section(&mut out)?;
        man.render_description_section(&mut out)?;
        man.render_options_section(&mut out)?;
        if command.get_subcommands().any(|command| !command.is_hide_set()) {
            man.render_subcommands_section(&mut out)?;
        }
        let mut more = Roff::new();
        definitions(&mut more, "EXIT STATUS", EXIT_STATUS);
        definitions(&mut more, "ENVIRONMENT", ENVIRONMENT);
        definitions(&mut more, "FILES", FILES);
        if !examples.is_empty() {
            more.control("SH", ["EXAMPLES"]);
            for (index, example) in examples.iter().enumerate() {
                if index > 0 {
                    more.control("PP", []);
                }
                more.control("EX", []);
                more.text([roman(example.as_str())]);
                more.control("EE", []);
            }
        }
        more.control("SH", ["SEE ALSO"]);
        more.text([roman(see_also.join(", "))]);
        more.to_writer(&mut out)
    };
    render().context("could not render the manual page")?;
    let page = String::from_utf8(out).context("the manual page is not UTF-8")?;
    // clap_mangen breaks lines next to blank lines, which has no effect.
    let lines: Vec<&str> = page.lines().collect();
    let is_blank = |index: usize| lines.get(index).is_some_and(|line| line.is_empty() || *line == ".sp");
    let kept = lines.iter().enumerate().filter(|(index, line)| {
        **line != ".br" || !(is_blank(index + 1) || index.checked_sub(1).is_some_and(is_blank))
    });
    Ok(kept.map(|(_, line)| format!("{line}\n")).collect())
}

fn page_of(command: &clap::Command) -> String {
    format!("{}(1)", command.get_display_name().unwrap_or_else(|| command.get_name()))
}

fn definitions(roff: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (term, text) in rows {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
}

/// The description without its `Example: …` paragraphs, and these. The exit codes have a section too.
fn without_examples(command: &clap::Command) -> (String, Vec<String>) {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut examples = Vec::new();
    let mut paragraphs = Vec::new();
    for paragraph in about.split("\n\n") {
        match paragraph.strip_prefix("Example: ") {
            Some(example) => examples.push(example.to_owned()),
            None if command.get_name() == "ister" && paragraph.starts_with("Exit codes: ") => {}
            None => paragraphs.push(paragraph),
        }
    }
    (paragraphs.join("\n\n"), examples)
}
