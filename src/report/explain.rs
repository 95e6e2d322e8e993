//! Rules for people who want to know more, as Markdown and as JSON.

use super::Table;
use crate::finding::{Level, RuleExample, RuleText};
use crate::template::limits;
use serde::Serialize;

/// A rule as a page of Markdown: what it finds, why, an example and its fix.
pub fn explain(rule: &RuleText) -> String {
    let command = if rule.example.is_none() { ", `ister verify`" } else { "" };
    let mut out = format!(
        "# {} ({}{command})\n\n{}.\n\n## Why\n\n{}\n",
        rule.name,
        rule.level.name(),
        capital(rule.summary),
        rule.why,
    );
    if let Some(RuleExample { broken, fixed }) = rule.example {
        out += &format!(
            "\n## Example\n\nIn a template that is fine otherwise:\n\n```json\n{broken}\n```\n\n\
             ## Instead\n\n```json\n{fixed}\n```\n"
        );
    }
    out
}

/// The rule of a name, of `lint` or of `verify`.
pub fn rule_text(name: &str) -> Option<RuleText> {
    let all = lint_rules().into_iter().chain(verify_rules());
    all.into_iter().find(|rule| rule.name == name)
}

/// All rule names, for suggestions.
pub fn rule_names() -> Vec<&'static str> {
    lint_rules().iter().chain(&verify_rules()).map(|rule| rule.name).collect()
}

fn lint_rules() -> Vec<RuleText> {
    crate::lint::RULES.iter().map(|rule| rule.text()).collect()
}

/// Empty in a program that has only the linter.
fn verify_rules() -> Vec<RuleText> {
    #[cfg(feature = "full")]
    let rules = crate::verify::RULES.iter().map(|rule| rule.text()).collect();
    #[cfg(not(feature = "full"))]
    let rules = Vec::new();
    rules
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

pub fn rules_table() -> String {
    let mut table = Table::new(&["rule", "level", "finds"], &[]);
    for rule in lint_rules() {
        table.row([rule.name.to_owned(), rule.level.name().to_owned(), rule.summary.to_owned()]);
    }
    let of_images = verify_rules();
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
    for rule in lint_rules() {
        out.push_str(&format!("| `{}` | {} | {} |\n", rule.name, rule.level.name(), rule.summary));
    }
    let of_images = verify_rules();
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

/// `ister rules --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RulesOutput {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u32,
    /// Rules of `ister lint`.
    rules: Vec<LintRule>,
    /// Rules of `ister verify`.
    verification: Vec<VerifyRule>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LintRule {
    #[serde(flatten)]
    rule: VerifyRule,
    /// Top-level keys with which a template gets this finding.
    example: &'static str,
    /// The same keys, fixed.
    instead: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct VerifyRule {
    name: &'static str,
    level: Level,
    summary: &'static str,
    why: &'static str,
}

pub fn rules_output() -> RulesOutput {
    let plain = |rule: RuleText| VerifyRule {
        name: rule.name,
        level: rule.level,
        summary: rule.summary,
        why: rule.why,
    };
    let with_example = |rule: RuleText| {
        let RuleExample { broken, fixed } = rule.example?;
        Some(LintRule { rule: plain(rule), example: broken, instead: fixed })
    };
    RulesOutput {
        version: 1,
        rules: lint_rules().into_iter().filter_map(with_example).collect(),
        verification: verify_rules().into_iter().map(plain).collect(),
    }
}
