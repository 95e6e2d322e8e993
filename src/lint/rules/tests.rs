//! The table is honest, and what rule tests share.

use super::RULES;
use crate::lint::finding::{Check, Findings, Rule};
use crate::lint::{FileFact, Files};
use crate::template::{SourceText, parse};

/// Runs one rule alone and compares its findings, each as `line:column message`.
#[track_caller]
pub fn check_rule(rule: &'static Rule, text: &str, expect: &[&str]) {
    let source = SourceText::new("t.json", text);
    let (template, _, _) = parse(&source);
    let files = Files::from([
        ("./missing".to_owned(), FileFact::Missing),
        ("./there".to_owned(), FileFact::Text(String::new())),
        ("./key.pub".to_owned(), FileFact::Text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n".to_owned())),
        ("./key".to_owned(), FileFact::Text("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned())),
    ]);
    let mut found = Findings::new(rule);
    match rule.check {
        Check::Reading => {}
        Check::Template(check) => check(&template, &mut found),
        Check::Files(check) => check(&template, &files, &mut found),
    }
    let mut list = found.into_list();
    list.sort_by_key(|f| f.span);
    let got: Vec<String> = list
        .iter()
        .map(|f| {
            let place = source.position(f.span.start);
            format!("{}:{} {}", place.line, place.column, f.message)
        })
        .collect();
    assert_eq!(got, expect, "{text}");
}

#[expect(clippy::disallowed_methods, reason = "it looks at the source tree")]
#[test]
fn the_table_is_sorted_and_holds_every_file() {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lint/rules");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.trim_end_matches(".rs").replace('_', "-");
        if !["mod", "reading", "tests"].contains(&name.as_str()) {
            assert!(names.contains(&name.as_str()), "{file} is not in the table");
        }
    }
}

#[test]
fn summaries_read_alike() {
    for rule in RULES {
        assert!(
            rule.summary.starts_with(|c: char| c.is_lowercase()) || rule.summary.starts_with("PostNon"),
            "{rule:?}"
        );
        assert!(!rule.summary.ends_with('.'), "{rule:?}");
    }
}
