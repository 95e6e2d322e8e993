//! Rules that fire while a template is read, by its JSON Schema, or by the runner: there is nothing to run for them.

use crate::lint::finding::{Check, Level, Rule};

pub static DUPLICATE_KEY: Rule = Rule {
    name: "duplicate-key",
    summary: "a key stands twice in an object",
    level: Level::Error,
    why: "JSON leaves open what two equal keys mean. ister.py takes the last one and says nothing, so an edit of the first one has no effect.",
    example: r#"{ "Hostname": "old", "Hostname": "new" }"#,
    instead: r#"{ "Hostname": "new" }"#,
    check: Check::Reading,
};

pub static LINT_ALLOWANCE: Rule = Rule {
    name: "lint-allowance",
    summary: "an allowance in `$lint` is needless, nameless or has no reason",
    level: Level::Warning,
    why: "An allowance is a promise to others that something is meant like that. One that silences nothing, has no reason, or names no rule only hides the next fault.",
    example: r#"{ "$lint": { "allow": { "hostname-long": "our names are long" } } }"#,
    instead: r#"{ "Hostname": "kvm" }"#,
    check: Check::Reading,
};

pub static MISSPELT_KEY: Rule = Rule {
    name: "misspelt-key",
    summary: "a key is nearly one that is known",
    level: Level::Error,
    why: "ister.py ignores keys that it does not know: a misspelt one is a setting that silently does not happen.",
    example: r#"{ "CmdLine": "quiet" }"#,
    instead: r#"{ "cmdline": "quiet" }"#,
    check: Check::Reading,
};

pub static SCHEMA: Rule = Rule {
    name: "schema",
    summary: "the JSON Schema refuses it",
    level: Level::Error,
    why: "`schema/ister-template.schema.json` is the published description of the format. What it refuses, some reader of the template will refuse.",
    example: r#"{ "Formats": ["qcow2", "qcow2"] }"#,
    instead: r#"{ "Formats": ["qcow2"] }"#,
    check: Check::Reading,
};

pub static SYNTAX: Rule = Rule {
    name: "syntax",
    summary: "the text is not JSON",
    level: Level::Error,
    why: "Everything that reads the template refuses what is not JSON (RFC 8259). Reading goes on behind the fault, so that all other findings show too.",
    example: r#"{ 'Hostname': "web" }"#,
    instead: r#"{ "Hostname": "web" }"#,
    check: Check::Reading,
};

pub static UNKNOWN_KEY: Rule = Rule {
    name: "unknown-key",
    summary: "a key means nothing, and is ignored",
    level: Level::Warning,
    why: "ister.py ignores keys that it does not know, and so does everything else. Comments have a key of their own, `$comment`.",
    example: r#"{ "Maintainer": "ada" }"#,
    instead: r#"{ "$comment": "maintained by ada" }"#,
    check: Check::Reading,
};

pub static WRONG_TYPE: Rule = Rule {
    name: "wrong-type",
    summary: "a value has the wrong JSON type",
    level: Level::Error,
    why: "The value has the wrong JSON type. ister.py ends with a Python exception, or does something unexpected: the text \"false\" is true to it.",
    example: r#"{ "LegacyBios": "false" }"#,
    instead: r#"{ "LegacyBios": false }"#,
    check: Check::Reading,
};
