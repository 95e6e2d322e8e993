//! Renderers for the differences between two images.

use super::document;
use crate::verify::compare::{Difference, DifferenceGroup, group, grouped};
use maud::{DOCTYPE, Markup, html};
use serde::Serialize;

/// Renders each difference with its place and the value on each side. Empty if there are none.
pub fn differences_human<'d>(
    a: &str,
    b: &str,
    differences: impl IntoIterator<Item = &'d Difference>,
) -> String {
    let mut out = String::new();
    for difference in differences {
        out.push_str(&format!("{}\n", difference.place.join(" > ")));
        if difference.a == difference.b {
            out.push_str(&format!("  {}\n", difference.a));
        } else {
            out.push_str(&format!("  {a}: {}\n  {b}: {}\n", difference.a, difference.b));
        }
    }
    out
}

/// Renders differences in groups: real changes first, then what differs in every build.
pub fn differences_grouped(a: &str, b: &str, differences: &[Difference]) -> String {
    let groups = grouped(differences);
    let mut out = String::new();
    let changed = groups.iter().filter(|(group, _)| !group.differs_in_every_build());
    if changed.clone().next().is_none() {
        out.push_str("no changes except those that differ in every build\n\n");
    }
    for (group, list) in &groups {
        let always = if group.differs_in_every_build() { ", differ in every build" } else { "" };
        out.push_str(&format!("== {group} ({}{always})\n", list.len()));
        match group {
            DifferenceGroup::Packages => {
                for difference in list {
                    let name = difference.place.last().map_or("", String::as_str);
                    out.push_str(&format!("{name}: {} -> {}\n", difference.a, difference.b));
                }
            }
            _ => out.push_str(&differences_human(a, b, list.iter().copied())),
        }
        out.push('\n');
    }
    out
}

/// `ister diff --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DiffOutput<'d> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u32,
    /// Whether the images are equal.
    same: bool,
    differences: Vec<DifferenceJson<'d>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Difference"))]
struct DifferenceJson<'d> {
    #[serde(flatten)]
    difference: &'d Difference,
    group: DifferenceGroup,
}

pub fn differences_json(differences: &[Difference]) -> String {
    let list = differences.iter();
    document(&DiffOutput {
        version: 1,
        same: differences.is_empty(),
        differences: list.map(|difference| DifferenceJson { difference, group: group(difference) }).collect(),
    })
}

const STYLE: &str = "body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color-scheme: light dark } \
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .2rem .6rem; border-bottom: 1px solid #8884 } \
td { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere } summary { font-weight: 600; font-size: 1.2rem; margin-top: 1rem }";

/// Renders an HTML page. Real changes are expanded, the other groups are collapsed.
pub fn differences_html(a: &str, b: &str, differences: &[Difference]) -> String {
    let table = |list: &[&Difference]| -> Markup {
        html! {
            table {
                tr { th { "place" } th { (a) } th { (b) } }
                @for difference in list {
                    tr {
                        td { (difference.place.join(" > ")) }
                        td { (difference.a) }
                        td { @if difference.a != difference.b { (difference.b) } }
                    }
                }
            }
        }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (a) " and " (b) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { (a) " and " (b) }
                @if differences.is_empty() { p { "The images are identical." } }
                @for (group, list) in grouped(differences) {
                    details open[!group.differs_in_every_build()] {
                        summary {
                            (group.to_string()) " (" (list.len()) ")"
                            @if group.differs_in_every_build() { ", differ in every build" }
                        }
                        (table(&list))
                    }
                }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences() -> Vec<Difference> {
        let difference = |place: &[&str], a: &str, b: &str| Difference {
            place: place.iter().map(|part| (*part).to_owned()).collect(),
            a: a.into(),
            b: b.into(),
            is_identity: false,
        };
        vec![
            difference(&["primary partition table", "disk GUID"], "1", "2"),
            difference(&["packages", "netbase"], "6.4", "6.5"),
            difference(&["partition 3 (`root`)", "ext", "/etc/motd", "content"], "byte 0: a<b", "byte 0: c"),
        ]
    }

    #[test]
    fn real_changes_come_first() {
        insta::assert_snapshot!(differences_grouped("a.img", "b.img", &differences()), @r"
        == packages (1)
        netbase: 6.4 -> 6.5

        == files (1)
        partition 3 (`root`) > ext > /etc/motd > content
          a.img: byte 0: a<b
          b.img: byte 0: c

        == identifiers (1, differ in every build)
        primary partition table > disk GUID
          a.img: 1
          b.img: 2
        ");
        let identifiers = &differences()[..1];
        assert!(differences_grouped("a", "b", identifiers).starts_with("no changes except"));
    }

    #[test]
    fn html_and_json_have_groups() {
        let page = differences_html("a.img", "b.img", &differences());
        assert!(page.contains("<details open><summary>packages (1)") && page.contains("a&lt;b"), "{page}");
        assert!(page.contains("<details><summary>identifiers (1), differ in every build"), "{page}");
        let json = differences_json(&differences());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["differences"][2]["group"], "files");
    }
}
