//! Rules that are reported by the parser, the JSON Schema check or the runner, and have no check function of their own.

use crate::lint::finding::{Check, Level, Rule};

pub static DUPLICATE_KEY: Rule = Rule {
    name: "duplicate-key",
    summary: "an object has a duplicate key",
    level: Level::Error,
    why: "JSON does not define the meaning of duplicate keys. ister.py silently uses the last one, so editing the first one has no effect.",
    example: r#"{ "Hostname": "old", "Hostname": "new" }"#,
    instead: r#"{ "Hostname": "new" }"#,
    check: Check::Reading,
};

pub static LINT_ALLOWANCE: Rule = Rule {
    name: "lint-allowance",
    summary: "an entry of `$lint` is unused, unknown or has no reason",
    level: Level::Warning,
    why: "An allowance documents that a finding is intended. One that suppresses nothing, gives no reason or names an unknown rule only hides future problems.",
    example: r#"{ "$lint": { "allow": { "hostname-long": "our names are long" } } }"#,
    instead: r#"{ "Hostname": "kvm" }"#,
    check: Check::Reading,
};

pub static MISSPELT_KEY: Rule = Rule {
    name: "misspelt-key",
    summary: "a key is similar to a known key",
    level: Level::Error,
    why: "ister.py ignores unknown keys, so a setting with a misspelt key silently has no effect.",
    example: r#"{ "CmdLine": "quiet" }"#,
    instead: r#"{ "cmdline": "quiet" }"#,
    check: Check::Reading,
};

pub static SCHEMA: Rule = Rule {
    name: "schema",
    summary: "the file does not match its JSON Schema",
    level: Level::Error,
    why: "`schema/ister-template.schema.json` is the published definition of the format. Other programs may reject a template that does not match it. The definition of an image type (`type.json`) is checked with `schema/ister-type.schema.json`.",
    example: r#"{ "Formats": ["qcow2", "qcow2"] }"#,
    instead: r#"{ "Formats": ["qcow2"] }"#,
    check: Check::Reading,
};

pub static SYNTAX: Rule = Rule {
    name: "syntax",
    summary: "the file is not valid JSON",
    level: Level::Error,
    why: "Every program that reads the template rejects invalid JSON (RFC 8259). Parsing continues after the error, so other findings are reported too.",
    example: r#"{ 'Hostname': "web" }"#,
    instead: r#"{ "Hostname": "web" }"#,
    check: Check::Reading,
};

pub static UNKNOWN_KEY: Rule = Rule {
    name: "unknown-key",
    summary: "an unknown key is ignored",
    level: Level::Warning,
    why: "ister and ister.py ignore unknown keys. Use `$comment` for comments.",
    example: r#"{ "Maintainer": "ada" }"#,
    instead: r#"{ "$comment": "maintained by ada" }"#,
    check: Check::Reading,
};

pub static WRONG_TYPE: Rule = Rule {
    name: "wrong-type",
    summary: "a value has the wrong JSON type",
    level: Level::Error,
    why: "ister.py fails with a Python exception or misinterprets the value: the string \"false\" counts as true.",
    example: r#"{ "LegacyBios": "false" }"#,
    instead: r#"{ "LegacyBios": false }"#,
    check: Check::Reading,
};
