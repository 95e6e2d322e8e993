//! Tests of the rule table and of all rules' examples, and helpers for the tests of single rules.

use super::{LINT_ALLOWANCE, RULES};
use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Rule};
use crate::lint::partitions::Partitions;
use crate::lint::{FileFact, Files, Finding, LintResult, Program, fix, lint};
use crate::plan::bundle::builtin;
use crate::template::{Safety, SourceText, Template, Value, read_json};

/// Host files that the examples and tests refer to.
fn files() -> Files {
    let program = |executable, startable, writable_by_all| {
        FileFact::Program(Program { executable, startable, writable_by_all })
    };
    Files::from([
        ("./missing".to_owned(), FileFact::Missing),
        ("./there".to_owned(), program(true, true, false)),
        ("/usr/lib/ister/hook".to_owned(), program(true, true, false)),
        ("/srv/not-executable".to_owned(), program(false, true, false)),
        ("/srv/no-interpreter".to_owned(), program(true, false, false)),
        ("/tmp/hook".to_owned(), program(true, true, true)),
        (
            "./key.pub".to_owned(),
            FileFact::Text(
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
                    .to_owned(),
            ),
        ),
        ("./key".to_owned(), FileFact::Text("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned())),
    ])
}

/// Runs a single rule and compares its findings, formatted as `line:column message`.
#[track_caller]
pub(super) fn check_rule(rule: &'static Rule, text: &str, expect: &[&str]) {
    let source = SourceText::new("t.json", text);
    let (template, _, _) = crate::template::parse(&source);
    let definitions = builtin();
    let mut found = Findings::new(usize::MAX);
    found.set_rule(rule);
    match rule.check {
        Check::Reading => {}
        Check::Template(check) => check(&template, &mut found),
        Check::Partitions(check) => check(&template, &Partitions::of(&template), &mut found),
        Check::BundleContent(check) => {
            check(&template, &BundleContent::of(&template, &definitions), &mut found)
        }
        Check::Files(check) => check(&template, &files(), &mut found),
    }
    let (mut list, _) = found.into_parts();
    list.sort_by_key(|f| f.place);
    let got: Vec<String> = list
        .iter()
        .map(|f| {
            let place = source.position(f.place.start);
            format!("{}:{} {}", place.line, place.column, f.message)
        })
        .collect();
    assert_eq!(got, expect, "{text}");
}

pub(super) fn lint_text(text: &str) -> LintResult {
    lint_source(&SourceText::new("t.json", text))
}

fn lint_source(source: &SourceText) -> LintResult {
    lint(source, &builtin(), |_: &Template| files())
}

/// The `kvm` template with a user, whose top-level keys are overridden by those of the fragment.
pub(super) fn with_fragment(fragment: &str) -> String {
    let base = include_str!("../../../vm-tests/kvm/template.json");
    let keys = |text: &str| match read_json(text).0.value {
        Value::Object(members) => members,
        other => panic!("not an object: {other:?}"),
    };
    let own = keys(fragment);
    let inside = fragment.trim();
    let inside = inside[1..inside.len() - 1].trim();
    let mut parts = vec![inside.to_owned()];
    // A user who can log in, so that `login-impossible` is not reported.
    if own.iter().all(|own| own.key != "Users") {
        parts.push(r#""Users": [{ "username": "ada", "password": { "env": "ADA" } }]"#.to_owned());
    }
    for member in keys(base).iter().filter(|member| member.key != "$lint") {
        if own.iter().all(|own| own.key != member.key) {
            parts.push(base[member.key_span.start..member.value.span.end].to_owned());
        }
    }
    format!("{{\n    {}\n}}\n", parts.join(",\n    "))
}

#[track_caller]
fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{}: {}", f.rule, f.message)).collect()
}

#[expect(clippy::disallowed_methods, reason = "the test reads the source tree")]
#[test]
fn the_table_is_sorted_and_complete() {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted);

    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lint/rules");
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.trim_end_matches(".rs").replace('_', "-");
        if !["mod", "reading", "tests"].contains(&name.as_str()) {
            assert!(names.contains(&name.as_str()), "{file} is not in the table");
        }
    }
}

#[test]
fn summaries_and_reasons_have_a_consistent_style() {
    for rule in RULES {
        let proper = ["PostNon", "GRUB", "UEFI"].iter().any(|name| rule.summary.starts_with(name));
        assert!(rule.summary.starts_with(|c: char| c.is_lowercase()) || proper, "{}", rule.summary);
        assert!(!rule.summary.ends_with('.'), "{}", rule.summary);
        assert!(rule.why.ends_with(['.', ')']) && rule.why.len() > 30, "{}: {}", rule.name, rule.why);
    }
}

/// The example of each rule produces only its finding, and the corrected example produces none.
#[test]
fn examples_produce_their_finding_and_corrections_none() {
    let mut wrong = Vec::new();
    for rule in RULES {
        let found = lint_text(&with_fragment(rule.example)).findings;
        if found.is_empty() || found.iter().any(|f| f.rule != rule.name) {
            wrong.push(format!("{} example: {:?}", rule.name, shown(&found)));
        }
        let found = lint_text(&with_fragment(rule.instead)).findings;
        if !found.is_empty() {
            wrong.push(format!("{} instead: {:?}", rule.name, shown(&found)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A fix resolves its finding and introduces no errors.
#[test]
fn fixes_resolve_their_findings() {
    for rule in RULES {
        let source = SourceText::new("t.json", with_fragment(rule.example));
        let fixable = lint_source(&source).findings.iter().all(|f| f.fix.is_some());
        if !fixable {
            continue;
        }
        let fixed = fix(&source, &lint_source, &|f| f.fix.is_some());
        let left: Vec<_> = fixed.linted.findings.iter().filter(|f| f.rule == rule.name).collect();
        assert!(left.is_empty(), "{}: {}\n{left:?}", rule.name, fixed.source.text());
        let errors = fixed.linted.findings.iter().filter(|f| f.level == crate::lint::Level::Error).count();
        assert_eq!(errors, 0, "{}: {:?}", rule.name, shown(&fixed.linted.findings));
        assert!(!fixed.made.is_empty(), "{}", rule.name);
    }
}

/// Safe fixes are those that cannot change the meaning of a template; the list is reviewed by hand.
#[test]
fn safe_fixes_are_the_reviewed_ones() {
    let safe: Vec<&str> = RULES
        .iter()
        .filter(|rule| {
            let found = lint_text(&with_fragment(rule.example)).findings;
            found.iter().any(|f| f.fix.as_ref().is_some_and(|fix| fix.safety == Safety::Safe))
        })
        .map(|rule| rule.name)
        .collect();
    let expect = [
        "bundle-duplicate",
        "cmdline-grub",
        "disk-device",
        "lint-allowance",
        "misspelt-key",
        "mount-path",
        "syntax",
        "wrong-type",
    ];
    assert_eq!(safe, expect);
}

#[test]
fn messages_have_a_consistent_style() {
    for rule in RULES {
        for finding in lint_text(&with_fragment(rule.example)).findings {
            assert!(!finding.message.ends_with('.'), "{}", finding.message);
            let first = finding.message.chars().next().unwrap();
            let proper = ["GRUB", "JSON", "FAT", "MirrorURL", "HTTPSProxy"];
            assert!(
                !first.is_uppercase() || proper.iter().any(|p| finding.message.starts_with(p)),
                "{}",
                finding.message
            );
            assert!(
                finding.help.is_some() || finding.fix.is_some() || !finding.labels.is_empty(),
                "{} has no help, fix or label: {}",
                rule.name,
                finding.message
            );
        }
    }
}

#[test]
fn templates_can_allow_warnings_with_a_reason() {
    let name = "a".repeat(64);
    let allowed = |lint: &str| {
        shown(
            &lint_text(&with_fragment(&format!("{{ \"Hostname\": \"{name}\", \"$lint\": {lint} }}")))
                .findings,
        )
    };
    assert_eq!(allowed(r#"{ "allow": { "hostname-long": "given" } }"#), [""; 0]);
    assert_eq!(
        allowed(r#"{ "allow": { "hostname-long": " " } }"#),
        ["lint-allowance: missing reason for allowing `hostname-long`"]
    );
    let twice = allowed(r#"{ "allow": { "hostname-lang": "x", "syntax": "x" } }"#);
    assert_eq!(
        twice,
        [
            "hostname-long: the host name has 64 characters, RFC 1123 allows 63",
            "lint-allowance: unknown lint rule `hostname-lang`",
            "lint-allowance: `syntax` is an error and cannot be allowed in a template",
        ]
    );
    assert_eq!(LINT_ALLOWANCE.level, crate::lint::Level::Warning);
}
