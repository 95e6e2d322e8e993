//! Rules that fire while a template is read, or by its JSON Schema: there is nothing to run for them.

use crate::lint::finding::{Check, Level, Rule};

const fn reading(name: &'static str, level: Level, summary: &'static str) -> Rule {
    Rule { name, summary, level, check: Check::Reading }
}

pub static DUPLICATE_KEY: Rule = reading("duplicate-key", Level::Error, "a key stands twice in an object");
pub static MISSPELT_KEY: Rule = reading("misspelt-key", Level::Error, "a key is nearly one that is known");
pub static SCHEMA: Rule = reading("schema", Level::Error, "the JSON Schema refuses it");
pub static SYNTAX: Rule = reading("syntax", Level::Error, "the text is not JSON");
pub static UNKNOWN_KEY: Rule = reading("unknown-key", Level::Warning, "a key means nothing, and is ignored");
pub static WRONG_TYPE: Rule = reading("wrong-type", Level::Error, "a value has the wrong JSON type");
