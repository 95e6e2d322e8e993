//! Rules for people who want to know more, as Markdown and as JSON.

use super::Table;
use crate::lint::{Level, RULES, Rule};
use crate::template::limits;
use serde::Serialize;
use serde_json::{Value, json};

/// What a rule means, why, an example and what to write instead.
pub fn explain(rule: &Rule) -> String {
    format!(
        "# {} ({})\n\n{}.\n\n## Why\n\n{}\n\n## Example\n\nIn a template that is fine otherwise:\n\n```json\n{}\n```\n\n\
         ## Instead\n\n```json\n{}\n```\n",
        rule.name,
        rule.level.name(),
        capital(rule.summary),
        rule.why,
        rule.example,
        rule.instead,
    )
}

/// What a rule of verification means and why.
#[cfg(feature = "full")]
pub fn explain_verification(rule: &crate::verify::Rule) -> String {
    format!(
        "# {} ({}, `ister verify`)\n\n{}.\n\n## Why\n\n{}\n",
        rule.name,
        rule.level.name(),
        capital(rule.summary),
        rule.why
    )
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What is shown of a rule of verification.
#[derive(Serialize)]
struct ImageRule {
    name: &'static str,
    level: Level,
    summary: &'static str,
    why: &'static str,
}

/// The linter alone has none.
fn image_rules() -> Vec<ImageRule> {
    #[cfg(feature = "full")]
    let rules = crate::verify::RULES
        .iter()
        .map(|rule| ImageRule { name: rule.name, level: rule.level, summary: rule.summary, why: rule.why })
        .collect();
    #[cfg(not(feature = "full"))]
    let rules = Vec::new();
    rules
}

pub fn rules_table() -> String {
    let mut table = Table::new(&["rule", "level", "finds"], &[]);
    for rule in RULES {
        table.row([rule.name.to_owned(), rule.level.name().to_owned(), rule.summary.to_owned()]);
    }
    let of_images = image_rules();
    if of_images.is_empty() {
        return table.render();
    }
    let mut images = Table::new(&["rule of `verify`", "level", "finds"], &[]);
    for rule in of_images {
        images.row([rule.name.to_owned(), rule.level.name().to_owned(), rule.summary.to_owned()]);
    }
    table.render() + "\n" + &images.render()
}

/// All rules in one page, `docs/rules.md`.
pub fn rules_markdown() -> String {
    let mut out = String::from(
        "# Rules of `ister lint`\n\n<!-- Written by `ister rules --format markdown`; a test compares them. -->\n\n\
         An error will not build or not boot, a warning will bite, a note is worth knowing. `ister explain RULE` says why,\n\
         with an example.\n\n| rule | level | finds |\n| --- | --- | --- |\n",
    );
    for rule in RULES {
        out.push_str(&format!("| `{}` | {} | {} |\n", rule.name, rule.level.name(), rule.summary));
    }
    let of_images = image_rules();
    if !of_images.is_empty() {
        out.push_str("\n# Rules of `ister verify`\n\n| rule | level | finds |\n| --- | --- | --- |\n");
    }
    for rule in of_images {
        out.push_str(&format!("| `{}` | {} | {} |\n", rule.name, rule.level.name(), rule.summary));
    }
    out + &limits_markdown()
}

/// What formats and filesystems can have at most.
fn limits_markdown() -> String {
    let mut out = String::from(
        "\n# Limits\n\nWhat is larger is a finding (`format-size`, `filesystem-size`, `label-length`), and `plan` refuses it. No disk image is\n\
         larger than a file can be: 2^63 - 1 bytes.\n\n| format | disk of at most | sectors of 4096 bytes | why |\n| --- | --- | --- | --- |\n",
    );
    for limits in limits::FORMATS {
        let size = limits.size.map_or_else(|| "-".to_owned(), |size| size.exact());
        let sectors = if limits.large_sectors { "yes" } else { "no" };
        out.push_str(&format!("| {} | {size} | {sectors} | {} |\n", limits.format, limits.source));
    }
    out.push_str("\n| filesystem | at most | bytes of a label | why |\n| --- | --- | --- | --- |\n");
    for limits in limits::FILESYSTEMS {
        let size = limits.size("").map_or_else(|| "-".to_owned(), |size| size.exact());
        out.push_str(&format!("| {} | {size} | {} | {} |\n", limits.kind, limits.label, limits.source));
    }
    out
}

/// `{"version": 1, "rules": […], "verification": […]}`
pub fn rules_json() -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "name": rule.name,
                "level": rule.level,
                "summary": rule.summary,
                "why": rule.why,
                "example": rule.example,
                "instead": rule.instead,
            })
        })
        .collect();
    json!({ "version": 1, "rules": rules, "verification": image_rules() })
}
